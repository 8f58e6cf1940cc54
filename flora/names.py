"""Scientific names: one key for all the ways in which people write one.

`Quercus robur L.`, `quercus_robur` and `"QUERCUS ROBUR"` are all `quercus robur`; so are
`Abelia x grandiflora`, `Abelia ×grandiflora` and `Abelia grandiflora` one. A key holds the
genus, the epithet and the infraspecific epithet, in small plain letters, without ranks, hybrid
signs, accents, hyphens and authors.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_RANKS = {
    **dict.fromkeys(("subsp", "ssp", "subspecies", "nothosubsp"), "subsp."),
    **dict.fromkeys(("var", "variety", "varietas", "nothovar"), "var."),
    **dict.fromkeys(("f", "fo", "forma", "form", "nothof"), "f."),
    **{rank: f"{rank}." for rank in ("subvar", "subf", "convar", "proles", "lusus", "monstr")},
}
_DOUBTS = frozenset(("cf", "aff"))
_AUTHOR_WORDS = frozenset(
    [
        "and",
        "auct",
        "bis",
        "de",
        "del",
        "della",
        "den",
        "der",
        "des",
        "dos",
        "emend",
        "et",
        "ex",
        "fil",
        "hort",
        "in",
        "ined",
        "nec",
        "nom",
        "non",
        "pro",
        "sensu",
        "van",
        "von",
        "zur",
    ]
)
_QUOTES = "'\"‘’‚‛“”„`´«»"
_HYBRID = "×"
_SIGNS = re.compile(r"[×✕✖⨯+]|(?<!\S)[xX](?!\S)")
_CULTIVAR = re.compile(rf"(?<=\s)[{_QUOTES}]\s*[A-Z][^{_QUOTES}]*[{_QUOTES}]")
_EPITHET = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_LIGATURES = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "ß": "ss", "ł": "l", "ı": "i"})
_PLAIN = r"^[A-Z][a-z]+ [a-z][a-z-]+( (subsp|var|f)\. [a-z][a-z-]+)?$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A name in its parts, each in small plain letters."""

    genus: str = ""
    epithet: str = ""
    """The species epithet; for a hybrid formula, all of it (`robur x petraea`)."""
    rank: str = ""
    """`subsp.`, `var.`, `f.`, ...; empty where the name has none, or does not say."""
    infra: str = ""
    """The lowest infraspecific epithet."""
    author: str = ""
    """Authors of the lowest epithet as `author_key` has them."""

    @property
    def key(self) -> str:
        """What the name is sorted and found by."""
        return " ".join(filter(None, (self.genus, self.epithet, self.infra)))

    def readings(self) -> Iterator[str]:
        """Yield the keys under which a list may have this name, the likeliest first.

        A small x stuck to a word may be a hybrid sign (`xCuprocyparis`) or its first letter
        (`xanthina`); a third word without a rank may be infraspecific, the second half of an
        epithet (`novi belgii`), or an author in small letters.
        """
        if not self.epithet:
            return
        for genus, epithet in product(
            _with_and_without_x(self.genus), _with_and_without_x(self.epithet)
        ):
            if self.infra:
                yield f"{genus} {epithet} {self.infra}"
            if self.infra and not self.rank:
                yield f"{genus} {epithet}{self.infra}"
            yield f"{genus} {epithet}"


def parse(text: str) -> Name:
    """Return the parts of the scientific name *text*. Never fails: what is no name has no key.

    Cultivar names and the doubts `cf.` and `aff.` are read past.
    """
    text = unicodedata.normalize("NFKC", text).replace("_", " ").strip(_QUOTES + " \t\r\n")
    text = _CULTIVAR.sub(" ", text.lower() if text.isupper() else text)
    words = [w for w in _SIGNS.sub(f" {_HYBRID} ", text).split() if _bare(w) not in _DOUBTS]
    genus, words = _next(words)
    epithet, words = _next(words)
    if words[:1] == [_HYBRID]:
        return Name(genus=letters(genus), epithet=f"{letters(epithet)} {_formula(words)}")
    rank, infra, words = _below(words)
    return Name(
        genus=letters(genus),
        epithet=letters(epithet),
        rank=rank,
        infra=letters(infra),
        author=author_key(" ".join(words)),
    )


def keys(names: pa.Array) -> pa.Array:
    """Return the key of every name (without author) in *names*.

    Most are plain and go through arrow in one sweep; the others are parsed one by one.
    """
    plain = pc.match_substring_regex(names, _PLAIN)
    swept = pc.replace_substring_regex(pc.ascii_lower(names), r" (subsp|var|f)\. ", " ")
    parsed = [parse(name).key for name in names.filter(pc.invert(plain)).to_pylist()]
    swept = pc.replace_substring(swept, "-", "")
    return pc.replace_with_mask(swept, pc.invert(plain), pa.array(parsed, swept.type))


def author_key(text: str) -> str:
    """Return the letters and brackets of an author string, to be compared and nothing else.

    `(L.) Mill. & Foo` and `(L.)Mill. et Foo` are the same authors; `L. & Mill.` are others.
    """
    words = unicodedata.normalize("NFKC", text).replace("&", " ").lower().split()
    parts = re.split(r"([()])", " ".join(word for word in words if word not in ("et", "and")))
    return "".join(part if part in "()" else letters(part) for part in parts)


def letters(word: str) -> str:
    """Return the letters and digits of *word*, small and without accents."""
    if word.isascii() and word.isalpha():
        return word.lower()
    word = unicodedata.normalize("NFKD", word.lower().translate(_LIGATURES))
    return "".join(letter for letter in word if letter.isalnum())


def within(limit: int, word: str, words: Iterable[str]) -> list[tuple[int, str]]:
    """Return those of *words* that are at most *limit* edits from *word*, after how many."""
    near = [other for other in words if abs(len(other) - len(word)) <= limit]
    edits = distances(word, near) if near else np.zeros(0, np.int16)
    return [(int(edits[at]), near[at]) for at in np.flatnonzero(edits <= limit)]


def distances(word: str, words: Sequence[str]) -> npt.NDArray[np.int16]:
    """Return how many letters must be changed, added or dropped to get from *word* to each.

    The usual table of edits, filled for all *words* at once, one letter of *word* at a time.
    """
    table = np.array([other.encode() for other in words], dtype=np.bytes_)
    lengths = np.char.str_len(table)
    letters_of = table.view(np.uint8).reshape(len(words), -1)
    steps = np.arange(letters_of.shape[1] + 1, dtype=np.int16)
    edits = np.tile(steps, (len(words), 1))
    for count, letter in enumerate(word.encode(), start=1):
        replaced = edits[:, :-1] + (letters_of != letter)
        edits[:, 1:] = np.minimum(edits[:, 1:] + 1, replaced)
        edits[:, 0] = count
        # A run of added letters costs one each: a running minimum on a slope.
        edits = np.minimum.accumulate(edits - steps, axis=1) + steps
    return edits[np.arange(len(words)), lengths]


def _next(words: list[str]) -> tuple[str, list[str]]:
    """Split off the first word that is not a hybrid sign."""
    while words and words[0] == _HYBRID:
        words = words[1:]
    return (words[0], words[1:]) if words else ("", [])


def _formula(words: list[str]) -> str:
    """Return the other parents of a hybrid formula, without the authors behind them."""
    parts = []
    for before, word in zip(["", *words], words, strict=False):
        if word != _HYBRID and before != _HYBRID and not _is_epithet(word):
            break
        parts.append("x" if word == _HYBRID else letters(word))
    return " ".join(parts)


def _below(words: list[str]) -> tuple[str, str, list[str]]:
    """Return rank and epithet of the lowest infraspecific part of *words*, and what follows it."""
    rank, infra, rest = "", "", words
    if words and len(words[0]) > 2 and _is_epithet(words[0]):
        infra, rest = words[0], words[1:]
    for at, word in enumerate(words):
        mark = _RANKS.get(_bare(word))
        epithet, after = _next(words[at + 1 :])
        # Hook. f. is a son, not a form: a form's epithet is small and no author's `ex`.
        if mark and epithet and (mark != "f." or _is_epithet(epithet)):
            rank, infra, rest = mark, epithet, after
    return rank, infra, rest


def _is_epithet(word: str) -> bool:
    return word[0].islower() and _EPITHET.fullmatch(word) is not None and word not in _AUTHOR_WORDS


def _bare(word: str) -> str:
    return word.lower().rstrip(".")


def _with_and_without_x(word: str) -> tuple[str, ...]:
    return (word, word[1:]) if word.startswith("x") and len(word) > 4 else (word,)
