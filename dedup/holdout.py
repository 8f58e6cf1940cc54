"""What must not be learnt from, because it is tested on: copies of an evaluation set.

Of our pictures, those go that have the same bytes as one of the set, that the rule calls the
same (as they are or mirrored), or that are of the same observation; and what is the same
picture as one that goes.

Where the hashes leave a pair open, the pixels of both are looked at. A table has none, unless
it is an images table of this project with its packs beside it. Without pixels an open pair
counts as the same: a clean test is worth a few pictures.
"""

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup import closeup, pairs, rule
from dedup.candidates import Edges
from dedup.config import DedupSettings
from dedup.evaluation import Evaluation
from dedup.listings import Bools, Listings, Pictures, distinct, first_rows, places, scan
from dedup.rule import Answer
from dedup.stars import Neighbours
from flora import records
from flora.hashes import distance, mirror_pdq, mirror_phash
from flora.ids import to_hex
from flora.packs import Packs
from flora.records import HOLDOUT


def find(
    evaluation: Evaluation, images: Path, pictures: Pictures, listings: Listings,
    settings: DedupSettings,
) -> pa.Table:  # fmt: skip
    """Return what goes, and why: a row (of `HOLDOUT`) for each of our pictures, at most."""
    found: dict[int, dict[str, Any]] = {}
    for number, row in _all(evaluation, images, pictures, listings, settings):
        found.setdefault(number, row)
    ids = to_hex(pictures.ids[sorted(found)]).to_pylist()
    rows = [
        {**dict.fromkeys(HOLDOUT.names), "image_id": image_id, **found[number]}
        for image_id, number in zip(ids, sorted(found), strict=True)
    ]
    return records.table(HOLDOUT, rows)


def spread(direct: pa.Table, pictures: Pictures, edges: Edges) -> tuple[pa.Table, Bools]:
    """Return *direct* and what is the same picture as one of it; and which pictures those are."""
    gone, rows = np.zeros(len(pictures), np.bool_), []
    gone[_ours(pictures, direct["image_id"].to_pylist())] = True
    neighbours = Neighbours.of(edges, len(pictures))
    for number in np.flatnonzero(gone).tolist():
        for other in neighbours.at(number)[0].tolist():
            if not gone[other]:
                gone[other] = True
                ids = to_hex(pictures.ids[[other, number]]).to_pylist()
                rows.append({**dict.fromkeys(HOLDOUT.names), "image_id": ids[0],
                             "evaluation_id": ids[1], "why": "same_picture"})  # fmt: skip
    return pa.concat_tables([direct, records.table(HOLDOUT, rows)]), gone


def _ours(pictures: Pictures, digests: Collection[str]) -> list[int]:
    """Return the numbers of those of *pictures* whose ids are among *digests*, in order."""
    wanted = {digest for digest in digests if re.fullmatch("[0-9a-f]{64}", digest)}
    first = np.array(sorted(int(digest[:16], 16) for digest in wanted), np.uint64)
    near = np.flatnonzero(np.isin(pictures.ids[:, 0], first))
    known = to_hex(pictures.ids[near]).to_pylist()
    return [int(k) for k, name in zip(near, known, strict=True) if name in wanted]


def _all(
    evaluation: Evaluation, images: Path, pictures: Pictures, listings: Listings,
    settings: DedupSettings,
) -> Iterator[tuple[int, dict[str, Any]]]:  # fmt: skip
    """Yield our pictures that go, the plainest reasons first."""
    yield from _by_bytes(evaluation, pictures)
    yield from _by_looks(evaluation, images, pictures, listings, settings)
    yield from _by_observation(evaluation, images, listings)


def _by_bytes(evaluation: Evaluation, pictures: Pictures) -> Iterator[tuple[int, dict[str, Any]]]:
    for number in _ours(pictures, evaluation.digests):
        digest = to_hex(pictures.ids[[number]])[0].as_py()
        yield number, {"evaluation_id": evaluation.digests[digest], "why": "bytes"}


def _by_looks(
    evaluation: Evaluation, images: Path, pictures: Pictures, listings: Listings,
    settings: DedupSettings,
) -> Iterator[tuple[int, dict[str, Any]]]:  # fmt: skip
    edges = _near(evaluation, pictures, settings)
    similarity = np.full(len(edges), np.nan, np.float32)
    if evaluation.read is not None:
        open_ = np.flatnonzero(edges.answer == Answer.LOOK)
        similarity[open_] = _looked(evaluation.read, edges.take(open_), images, listings, pictures)
    for k in np.argsort(edges.answer == Answer.LOOK, kind="stable").tolist():
        seen = not np.isnan(similarity[k])
        if seen and similarity[k] < settings.similarity:
            continue
        why = "pdq" if edges.answer[k] == Answer.SAME else "pixels" if seen else "hashes"
        yield (
            int(edges.j[k]),
            {
                "evaluation_id": evaluation.ids[edges.i[k]],
                "why": f"mirrored_{why}" if edges.mirrored[k] else why,
                "distance": int(edges.distance[k]),
                "phash_distance": int(edges.phash_distance[k]),
                "similarity": float(similarity[k]) if seen else None,
            },
        )


def _near(evaluation: Evaluation, pictures: Pictures, settings: DedupSettings) -> Edges:
    """Return the pairs (one of theirs, one of ours) that the rule does not call different."""
    count = len(evaluation.pdq)
    pdq = np.concatenate([evaluation.pdq, mirror_pdq(evaluation.pdq)])
    phash = np.concatenate([evaluation.phash, mirror_phash(evaluation.phash)])
    found = [
        pairs.near_queries(pdq, pictures.pdq, settings.pdq_radius),
        pairs.near_queries(phash, pictures.phash, settings.phash_radius),
    ]
    keys = distinct(np.concatenate([q * len(pictures) + j for q, j, _ in found]))
    q, j = np.divmod(keys, max(len(pictures), 1))
    apart = distance(pdq[q], pictures.pdq[j]).sum(axis=1, dtype=np.uint16)
    near = distance(phash[q], pictures.phash[j]).astype(np.uint16)
    i = q % max(count, 1)
    quality = np.minimum(evaluation.quality[i], pictures.quality[j])
    answer = rule.sort_out(apart, near, quality, settings)
    edges = Edges(i=i.astype(np.int32), j=j.astype(np.int32), distance=apart,
                  phash_distance=near, mirrored=q >= count, answer=answer)  # fmt: skip
    return edges.take(answer != Answer.DIFFERENT)


def _looked(
    read: Callable[[int], bytes], edges: Edges, images: Path, listings: Listings,
    pictures: Pictures,
) -> list[float]:  # fmt: skip
    """Return the similarity of each edge."""
    rows = first_rows(listings, len(pictures))[edges.j]
    where = list(zip(*(column.to_pylist() for column in places(images, rows)), strict=True))
    with Packs(images) as packs:

        def either(number: int) -> bytes:  # theirs, and below 0 those of our edges
            return read(number) if number >= 0 else packs.read(*where[-1 - number])

        ours = range(-1, -1 - len(edges), -1)
        asked = zip(edges.i.tolist(), ours, edges.mirrored.tolist(), strict=True)
        return [seen.similarity for seen in closeup.look(asked, either)]


def _by_observation(
    evaluation: Evaluation, images: Path, listings: Listings
) -> Iterator[tuple[int, dict[str, Any]]]:
    if not len(evaluation.observations):
        return
    for here, table in scan(images, listings.row, ["observation_id"]):
        column = table["observation_id"]
        some = np.flatnonzero(pc.is_in(column, evaluation.observations).to_numpy())
        numbers = listings.picture[here][some].tolist()
        for number, name in zip(numbers, column.take(some).to_pylist(), strict=True):
            yield number, {"evaluation_id": name, "why": "observation"}
