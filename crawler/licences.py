"""One spelling for each licence, out of the many that sources use."""

import functools
import re

KNOWN = r"^(CC BY(-[A-Z]+)*( \d\.\d)?( [A-Z]+)?|CC0 1\.0|Public domain|All rights reserved)$"
"""Matches the spellings given here (RE2 and Python read it alike)."""

_WORDS = [
    (re.compile(pattern), short)
    for pattern, short in (
        (r"[_\s–—-]+", "-"),
        (r"creative-?commons(?!\.)", "cc"),
        (r"non-?commercial", "nc"),
        (r"share-?alike", "sa"),
        (r"no-?deriv(?:ative)?s?(?:-works)?", "nd"),
        (r"attribution", "by"),
        (r"(\d)-(\d)(?=-|$)", r"\1.\2"),  # cc-by-4-0
    )
]
_TERMS = r"(by(?:-(?:nc|sa|nd))*)"
_VERSION = r"(?:[-/]?v?(\d\.\d))?"
_PORT = r"(?:[-/]([a-z]{2}|igo|scotland)(?=/?(?:$|legalcode|deed)))?"
_CC = re.compile(
    rf"(?:\bcc[-:]*(?:licen[cs]e[-:]*)?|creativecommons\.org/licen[cs]es/)"
    rf"{_TERMS}(?![a-z]){_VERSION}{_PORT}"
)
_BARE = re.compile(rf"{_TERMS}{_VERSION}(?:-licen[cs]e)?")
_ZERO = re.compile(
    r"\bcc-?(?:0|zero)(?![a-z])|publicdomain/zero|public-domain-dedication|\bno-rights-reserved"
)
_PUBLIC = re.compile(
    r"public-?domain(?!-dedication|/zero)|^pdm?(?:-1\.0)?$|^(?:us|united-states)-government-work$"
)
_RESERVED = re.compile(r"\ball-rights-reserved|^arr$|^©$|^copyright(?:ed)?$")


@functools.lru_cache(maxsize=2**14)
def normalise(text: str | None) -> str | None:
    """Return the licence *text* names in one spelling: `CC BY-SA 4.0`, `CC0 1.0`, ...

    Text that names none, or several that differ, comes back as it is.
    """
    if not text or not text.strip():
        return None
    folded = text.strip().lower().rstrip(".")
    for pattern, short in _WORDS:
        folded = pattern.sub(short, folded)
    found = {_creative(match) for match in _CC.finditer(folded)}
    bare = _BARE.fullmatch(folded)
    if bare is not None and not re.fullmatch("attribution", text.strip(), re.IGNORECASE):
        found.add(_creative(bare))
    if _ZERO.search(folded):
        found.add("CC0 1.0")
    elif _PUBLIC.search(folded):
        found.add("Public domain")
    if _RESERVED.search(folded):
        found.add("All rights reserved")
    found = {name for name in found if not any(other.startswith(f"{name} ") for other in found)}
    return found.pop() if len(found) == 1 else text


def _creative(match: re.Match[str]) -> str:
    terms = match[1].split("-")
    name = "-".join(term for term in ("by", "nc", "sa", "nd") if term in terms).upper()
    rest = [group.upper() for group in match.groups()[1:] if group]
    return " ".join(["CC", name, *rest])
