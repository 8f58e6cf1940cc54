"""Duplicates in a folder of pictures, without a crawl: `python -m dedup folder DIR`.

from dedup.folder import duplicates
for group in duplicates("photos"):
    print(group.keeper, [copy.path for copy in group.copies])
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dedup import candidates, closeup, prints
from dedup.candidates import Edges
from dedup.config import DedupSettings
from dedup.listings import priority
from dedup.prints import Folder
from dedup.rule import Answer
from dedup.stars import Neighbours, stars
from flora.console import say, show
from flora.ledger import publish

_BYTES: dict[str, Any] = {"rule": "bytes", "distance": 0, "phash_distance": 0, "similarity": None,
                          "mirrored": False}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A picture that is the keeper's copy."""

    path: str
    rule: str
    """How it was found: `bytes`, `pdq` (by the hash), `pixels` (by a look at both)."""
    distance: int
    """Bits (of 256) between the PDQ hashes."""
    phash_distance: int
    similarity: float | None
    mirrored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Pictures that are one. Each copy was itself found to be the same as the keeper."""

    keeper: str
    """The one with the most pixels (a plain frame apart), then bytes; a path in the folder."""
    copies: Sequence[Copy]


def duplicates(folder: str | Path, settings: DedupSettings | None = None) -> list[Group]:
    """Return the groups of pictures below *folder* that are one, in order of their keepers.

    Files that are no pictures are passed over. Raises ConfigError if there is no such folder.
    """
    return _groups(Path(folder), prints.read(Path(folder)), settings or DedupSettings())


def run(folder: Path, out: Path | None, settings: DedupSettings) -> None:
    """Write the groups of *folder* as JSON lines to *out* (CSV by its name) or to stdout."""
    read = prints.read(folder)
    groups = _groups(folder, read, settings)
    text = _csv(groups) if out and out.suffix.lower() == ".csv" else _lines(groups)
    if out is None:
        if text:
            show(text.rstrip("\n"))
    else:
        with publish(out) as draft:
            draft.write_text(text, encoding="utf-8")
    copies = sum(len(group.copies) for group in groups)
    pictures = len(read.paths) + sum(len(twins) for twins in read.twins.values())
    say(f"{pictures:,} pictures, {copies:,} of them copies of {len(groups):,} others. "
        f"{len(read.refused):,} other files were no whole pictures.")  # fmt: skip


def _groups(folder: Path, read: Folder, settings: DedupSettings) -> list[Group]:
    pictures = read.pictures
    everything = np.ones(len(pictures), np.bool_)
    edges = candidates.find(pictures, everything, priority(pictures), settings)
    similarity, inside = _look(edges, read)
    verified = (edges.answer == Answer.SAME) | (similarity >= settings.similarity)
    edges, similarity = edges.take(verified), similarity[verified]
    keeper, via = stars(priority(pictures, inside), Neighbours.of(edges, len(pictures)))
    found = defaultdict[Path, list[Copy]](list)
    for number, path in enumerate(read.paths):
        evidence = dict(_BYTES)
        if via[number] >= 0:
            edge, looked = int(via[number]), not np.isnan(similarity[via[number]])
            evidence = {
                "rule": "pixels" if looked else "pdq",
                "distance": int(edges.distance[edge]),
                "phash_distance": int(edges.phash_distance[edge]),
                "similarity": round(float(similarity[edge]), 4) if looked else None,
                "mirrored": bool(edges.mirrored[edge]),
            }
        best = read.paths[keeper[number]]
        for other in (path, *read.twins.get(path, [])):
            if other != best:
                name = str(other.relative_to(folder))
                found[best].append(Copy(path=name, **evidence))
    return [
        Group(keeper=str(best.relative_to(folder)), copies=found[best]) for best in sorted(found)
    ]


def _look(edges: Edges, read: Folder) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the similarity of each edge (NaN if not looked at), and each picture's inside."""
    similarity = np.full(len(edges), np.nan, np.float32)
    inside = np.ones(len(read.pictures), np.float32)
    for number in np.unique([edges.i, edges.j]).tolist():
        inside[number] = closeup.unframed(read.paths[number].read_bytes())
    open_ = np.flatnonzero(edges.answer == Answer.LOOK)
    open_ = open_[np.lexsort((edges.j[open_], edges.i[open_]))]
    some = edges.take(open_)
    asked = zip(some.i.tolist(), some.j.tolist(), some.mirrored.tolist(), strict=True)
    looks = closeup.look(asked, lambda number: read.paths[number].read_bytes())
    similarity[open_] = [seen.similarity for seen in looks]
    return similarity, inside


def _lines(groups: Sequence[Group]) -> str:
    return "".join(json.dumps(asdict(group), ensure_ascii=False) + "\n" for group in groups)


def _csv(groups: Sequence[Group]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["keeper", *Copy.__dataclass_fields__])
    writer.writerows(_rows(groups))
    return out.getvalue()


def _rows(groups: Sequence[Group]) -> Iterator[list[object]]:
    for group in groups:
        for copy in group.copies:
            yield [group.keeper, *asdict(copy).values()]
