"""A made-up data folder of any size in which every stage has run: what bench/report.py reports."""

import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from flora import ids, predictions, records, tar
from flora.ledger import Ledger, Receipt
from flora.predictions import Predictions, words
from flora.records import Reason, Tier, Verdict
from tests.conftest import encode

_FILE, _PART = 10_000, 500_000
_SPECIES, _FAMILIES = 350_000, 640
_SIZES = ((640, 480), (1600, 1200), (4000, 3000))
_DRAWN = 120
_REFUSED = ("not_found", "timeout", "http_5xx", "too_small", "robots", "corrupt", "opted_out")
_SHARES = {Reason.KEEPER: 0.05, Reason.NEAR_DUPLICATE: 0.06, Reason.MIRRORED: 0.005,
           Reason.OUTVOTED: 0.02, Reason.CONFLICT: 0.01, Reason.QUARANTINE: 0.004,
           Reason.PLACEHOLDER: 0.003, Reason.LOW_INFORMATION: 0.002,
           Reason.HOLDOUT: 0.001}  # fmt: skip
"""The rest is unique."""
_GUESSES = 10


def write(data: Path, rows: int) -> None:
    """Write a folder of so many listings, unless *data* has one already."""
    done = data / f"made-{rows}"
    if done.exists():
        return
    rng = np.random.default_rng(1)
    weights = np.cumsum(1 / (np.arange(_SPECIES * 6 // 7) + 100))
    species = np.searchsorted(weights, rng.random(rows) * weights[-1])
    found = rng.integers(0, 2**64, (rows, 4), dtype=np.uint64)
    again = rng.choice(rows, rows * 3 // 100, replace=False)
    found[again] = found[rng.integers(0, rows, len(again))]
    whole = rng.random(rows) < 0.88
    _checklist(data)
    _crawl(data, rng, found, species, whole)
    kept = _judge(data, rng, found[whole], species[whole])
    tested = _shelve(data, rng, found[whole], species[whole], kept)
    _train(data, rng, *tested)
    done.touch()


def _checklist(data: Path) -> None:
    n = np.arange(_SPECIES)
    family = (_FAMILIES * (n / _SPECIES) ** 3).astype(np.int64)  # few are large
    columns = {
        "species_id": _text("kew-", n), "class_index": pa.array(n, pa.int32()),
        "name": _text("Genus species", n), "genus": _text("Genus", n // 20),
        "family": _text("Familiaceae ", family),
    }  # fmt: skip
    records.write(data / "checklist" / "species.parquet", _table(records.SPECIES, columns))
    asked = {"query": _text("Genus species", n), "how": pa.repeat("name", _SPECIES),
             "species_id": pc.if_else(pa.array(n % 50 > 0), _text("kew-", n), None),
             "suggestions": pa.nulls(_SPECIES, pa.list_(pa.string()))}  # fmt: skip
    records.write(data / "candidates" / "names.parquet", pa.table(asked))


def _crawl(data: Path, rng: Any, found: Any, species: Any, whole: Any) -> None:
    """Write listings, plan, images, receipts. The sources list a fifth more than is planned."""
    packs = _packs(data / "images" / "packs")
    plan, listed = data / "images" / "plan-000.parquet", data / "candidates" / "tables"
    listed.mkdir(parents=True)
    with pq.ParquetWriter(plan, records.CANDIDATES, compression="zstd") as planned:
        for number, start in enumerate(range(0, len(found), _FILE)):
            here = slice(start, min(start + _FILE, len(found)))
            numbers = np.arange(len(found))[here]
            table = _images(rng, numbers, found[here], species[here], whole[here], packs)
            name = f"host{number % 40}.example~000-{number:05}"
            path = data / "images" / "tables" / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path, compression="zstd")
            few = table.select(records.CANDIDATES.names)
            planned.write_table(few)
            more = pa.concat_tables([few, few.slice(0, _FILE // 5)])
            pq.write_table(more, listed / f"openverse~{number:05}.parquet", compression="zstd")
            receipt = Receipt(unit=f"host{number % 40}.example/000-{number:05}", recipe="r",
                              rows=len(table), bytes=10**9, seconds=1000.0,
                              finished_at="2026-11-23T10:20:30+00:00")  # fmt: skip
            Ledger(data / "images").write(receipt)


def _images(rng: Any, n: Any, found: Any, species: Any, whole: Any, packs: pa.Table) -> pa.Table:
    count, here = len(n), pa.array(whole)
    source = rng.integers(0, 4, count)
    reason = pa.array(_REFUSED).take(rng.integers(0, len(_REFUSED), count))
    drawn = packs.take(n % len(packs))
    licences = pa.array(["CC BY 4.0", "CC BY-NC 4.0", "CC0 1.0", "CC BY-SA 4.0", None])
    host = f"https://host{n[0] // _FILE % 40}.example"
    columns = {
        "image_id": pc.if_else(here, ids.to_hex(found), None),
        "url": _text(f"{host}/photos/large/", n, ".jpg"), "photo_id": _text("host:", n),
        "final_url": _text(f"{host}/photos/large/", n, ".jpg"),
        "species_id": _text("kew-", species), "query": _text("Genus species", species),
        "source": pa.array(["commons", "eol", "gbif", "openverse"]).take(source),
        "tier": pa.array([Tier.WEB, Tier.EXPERT, Tier.CITIZEN, Tier.WEB], pa.string()).take(source),
        "rank": pa.array(rng.integers(0, 100, count), pa.int32()),
        "page_url": _text(f"{host}/pages/", n),
        "title": _text("A plant that somebody saw, number ", n),
        "licence": licences.take(rng.integers(0, 5, count)),
        "creator": _text("Somebody Number ", n % 50_000),
        "rights_holder": _text("Somebody Number ", n % 50_000),
        "observation_id": _text("gbif:", n // 2),
        "status": pc.if_else(here, "kept", reason),
        "format": pa.repeat("jpg", count), "phash": pa.array(found[:, 0]),
        **{name: pc.if_else(here, drawn[name], None) for name in drawn.column_names},
    }  # fmt: skip
    return _table(records.IMAGES, columns)


def _packs(folder: Path) -> pa.Table:
    """Write drawn pictures; return where they lie."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(_DRAWN):
        size = _SIZES[0 if seed % 10 < 5 else 1 if seed % 10 < 9 else 2]
        noise = np.random.default_rng(seed).integers(0, 256, (40, 53, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
        jpeg, path = encode(image, "JPEG", quality=85), folder / f"host{seed % 4}-000.tar"
        with path.open("ab") as pack:
            rows.append({"pack": path.name, "offset": pack.tell() + tar.BLOCK, "length": len(jpeg),
                         "width": size[0], "height": size[1]})  # fmt: skip
            pack.write(tar.member(f"{hashlib.sha256(jpeg).hexdigest()}.jpg", jpeg))
    return pa.Table.from_pylist(rows)


def _judge(data: Path, rng: Any, found: Any, species: Any) -> Any:
    """Write verdicts and near pairs, in order of ids; return which listings they keep."""
    order = ids.sort([*found.T])
    new = np.ones(len(order), np.bool_)
    new[1:] = (found[order[1:]] != found[order[:-1]]).any(axis=1)
    order = order[new]
    reasons = [Reason.UNIQUE, *_SHARES]
    odds = [1 - sum(_SHARES.values()), *_SHARES.values()]
    reason = rng.choice(len(reasons), len(order), p=odds)
    reason[0] = 1
    centre = np.where(reason == 1, np.arange(len(order)), 0)
    centre = np.where(reason == 0, np.arange(len(order)), np.maximum.accumulate(centre))
    copies = (reason == 2) | (reason == 3)  # these are listed as what they are copies of
    claimed = np.where(copies, species[order[centre]], species[order])
    verdict = [Verdict.KEEP] * 2 + [Verdict.SET_ASIDE if each in (Reason.QUARANTINE,
               Reason.LOW_INFORMATION) else Verdict.DROP for each in reasons[2:]]  # fmt: skip
    path = data / "verdicts" / "verdicts.parquet"
    path.parent.mkdir()
    with pq.ParquetWriter(path, records.VERDICTS, compression="zstd") as out:
        for start in range(0, len(order), _PART):
            here = slice(start, start + _PART)
            cluster = ids.to_hex(found[order[centre[here]]])
            columns = {
                "image_id": ids.to_hex(found[order[here]]),
                "species_id": _text("kew-", claimed[here]),
                "verdict": pa.array([str(each) for each in verdict]).take(reason[here]),
                "reason": pa.array([str(each) for each in reasons]).take(reason[here]),
                "cluster_id": cluster, "keeper_id": cluster,
                "distance": pc.if_else(pa.array(copies[here]), pa.array(reason[here] * 4), None),
            }  # fmt: skip
            out.write_table(_table(records.VERDICTS, columns))
    near = rng.choice(len(order) - 1, len(order) // 500, replace=False)
    few = {"a": ids.to_hex(found[order[near]]), "b": ids.to_hex(found[order[near + 1]]),
           "distance": pa.repeat(20, len(near)), "similarity": rng.random(len(near))}  # fmt: skip
    records.write(data / "verdicts" / "pairs" / "pixels~00000.parquet", _table(records.PAIRS, few))
    return order[reason < 2]


def _shelve(data: Path, rng: Any, found: Any, species: Any, kept: Any) -> tuple[Any, Any, Any]:
    """Write index and classes; return ids and labels of the tested, and training pictures."""
    known, label = np.unique(species[kept], return_inverse=True)
    split = np.repeat(np.arange(3), (len(kept) * np.array([0.9, 0.05, 0.06])).astype(int) + 1)
    split = split[: len(kept)]
    where = data / "shards" / "index.parquet"
    where.parent.mkdir()
    with pq.ParquetWriter(where, records.INDEX, compression="zstd") as out:
        for start in range(0, len(kept), _FILE):
            here = slice(start, start + _FILE)
            rows = kept[here]
            n = np.arange(start, start + len(rows))
            key, names = ids.to_hex(found[rows]), pa.array(["train", "val", "test"])
            source = rng.integers(0, 2, len(rows))
            columns = {
                "key": key, "image_id": key, "species_id": _text("kew-", species[rows]),
                "label": label[here], "split": names.take(split[here]),
                "shard": pa.repeat(f"train-{start // _FILE:06}.tar", len(rows)),
                "offset": n * 50_000, "length": n % 1000 + 40_000,
                "format": pa.repeat("jpg", len(rows)), "width": n % 500 + 400,
                "height": n % 400 + 400, "source": pa.array(["gbif", "commons"]).take(source),
                "tier": pa.array([Tier.CITIZEN, Tier.WEB], pa.string()).take(source),
                "licence": pa.array(["CC BY 4.0", "CC BY-NC 4.0"]).take(source),
                "creator": _text("Somebody Number ", n % 50_000),
                "page_url": _text("https://host.example/pages/", n),
                "observation_id": _text("gbif:", n // 2),
            }  # fmt: skip
            out.write_table(_table(records.INDEX, columns))
    counts = [np.bincount(label[split == k], minlength=len(known)) for k in range(3)]
    columns = {"label": np.arange(len(known)), "class_index": known,
               "species_id": _text("kew-", known), "name": _text("Genus species", known),
               **dict(zip(("train", "val", "test"), counts, strict=True))}  # fmt: skip
    records.write(data / "shards" / "classes.parquet", _table(records.CLASSES, columns))
    tested = split == 2
    return found[kept[tested]], label[tested], counts[0]


def _train(data: Path, rng: Any, keys: Any, labels: Any, train_counts: Any) -> None:
    """Write the curves of a run, its guesses (seven of ten are right at once), its figures."""
    run = data / "runs" / "main"
    n, classes = len(labels), len(train_counts)
    top = rng.integers(0, classes, (n, _GUESSES)).astype(np.int32)
    top[:, 0] = np.where(rng.random(n) < 0.7, labels, (labels + 1) % classes)
    ranks = np.where(top[:, 0] == labels, 1, rng.integers(2, 100, n))
    none = np.full(n, -1)
    names = words(ids.to_hex(keys).to_pylist())
    found = Predictions(
        keys=names, observations=names, labels=labels, ranks=ranks, truths=-1.0 * ranks,
        genus_ranks=none, family_ranks=none, candidates=none, genus_candidates=none,
        family_candidates=none, top_labels=top, top=np.zeros(top.shape, np.float32),
    )  # fmt: skip
    with predictions.writing(run / "guesses-test.parquet") as append:
        for start in range(0, n, _PART):
            append(found.take(slice(start, start + _PART)))
    hits = {f"top{k}": float((ranks <= k).mean()) for k in (1, 5)}
    few = {**hits, "mrr": float((1 / ranks).mean()), "macro_top1": hits["top1"]}
    figures = {"images": n, "classes": classes, "classes_tested": classes, **few, "random": few,
               "commonest": few, "tail": []}  # fmt: skip
    (run / "evaluation.json").write_text(json.dumps({"test": figures}))
    lines: Iterator[str] = (
        json.dumps({"phase": phase, "epoch": 1, "step": step, "loss": 9 / step**0.2,
                    "train_top1": 1 - step**-0.1, "seconds": step}) + "\n"
        for phase, step in itertools.product(("head", "full"), range(20, 200_000, 20))
    )  # fmt: skip
    (run / "metrics.jsonl").write_text("".join(lines))


def _text(before: str, numbers: Any, after: str = "") -> pa.Array:
    digits = pa.array(numbers, pa.int64()).cast(pa.string())
    return pc.binary_join_element_wise(before, digits, after, "")


def _table(schema: pa.Schema, columns: dict[str, Any]) -> pa.Table:
    rows = len(next(iter(columns.values())))
    arrays = [
        _array(columns[each.name]).cast(each.type)
        if each.name in columns
        else pa.nulls(rows, each.type)
        for each in schema
    ]
    return pa.table(arrays, schema=schema)


def _array(column: Any) -> Any:
    return pa.array(column) if isinstance(column, np.ndarray) else column
