"""Candidates -> what to fetch: each URL once, each host in the hands of one unit at a time.

The plan grows by generations (`plan-000.parquet`, ...): candidates found later get units of
their own, and what was planned before is never touched. A generation has one row group a unit.
"""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crawler.config import CrawlerSettings
from crawler.harvest import FetchTask
from flora import records
from flora.config import digest
from flora.ledger import publish
from flora.records import Tier
from flora.stage import Unit

_HOST = r"^https?://(?:[^/?#@]*@)?\[?(?P<host>[^/?#:\]]+)"
_SHARED = "small-hosts"
_SMALL = 10
"""A host with less than a tenth of a unit shares its unit with others."""


def merge(candidates: pa.Table) -> pa.Table:
    """Return one row for each picture and species: the best-ranked of the best tier."""
    order = pc.index_in(candidates["tier"], pa.array([str(tier) for tier in Tier]))
    ranked = candidates.append_column("_tier", order).append_column(
        "_rank", pc.fill_null(candidates["rank"], 0)
    )
    keys = ["url", "species_id", "_tier", "_rank", "source"]
    ranked = ranked.sort_by([(key, "ascending") for key in keys])
    others = [name for name in records.CANDIDATES.names if name not in ("url", "species_id")]
    first = pc.ScalarAggregateOptions(skip_nulls=False)
    best = pa.TableGroupBy(ranked, ["url", "species_id"], use_threads=False).aggregate(
        [(name, "first", first) for name in others]
    )
    columns = {name: best[name if name in best.column_names else f"{name}_first"]
               for name in records.CANDIDATES.names}  # fmt: skip
    return pa.table(columns).cast(records.CANDIDATES)


def extend(folder: Path, candidates: pa.Table, settings: CrawlerSettings) -> None:
    """Add a generation to the plan in *folder* for those of *candidates* that have no unit yet."""
    fresh, known = merge(candidates), generations(folder)
    for path in known:
        planned = pq.read_table(path, columns=["url", "species_id"])
        fresh = fresh.join(planned, keys=["url", "species_id"], join_type="left anti")
    if fresh.num_rows == 0:
        return
    path = folder / f"plan-{len(known):03}.parquet"
    host = pc.struct_field(pc.extract_regex(fresh["url"], _HOST), "host")
    fresh = fresh.append_column("host", pc.fill_null(host, "unknown"))
    fresh = fresh.sort_by([(name, "ascending") for name in ("host", "url", "species_id")])
    fresh = fresh.append_column("unit", _assign(fresh, len(known), settings.unit_images))
    fresh = fresh.sort_by([(name, "ascending") for name in ("unit", "host", "url", "species_id")])
    names, starts = np.unique(fresh["unit"].to_numpy(zero_copy_only=False), return_index=True)
    ends = [*starts[1:], fresh.num_rows]
    schema = fresh.schema.with_metadata({"units": "\n".join(names)})
    with publish(path) as draft, pq.ParquetWriter(draft, schema, compression="zstd") as writer:
        for start, end in zip(starts, ends, strict=True):
            part = fresh.slice(int(start), int(end - start))
            writer.write_table(part.replace_schema_metadata(schema.metadata), end - start)


def units(path: Path, settings: CrawlerSettings) -> list[Unit]:
    """Return the units of the generation at *path*, those with the most pictures first.

    What was fetched stays fetched when settings change: they hold for what is fetched from
    then on, so a unit's recipe is its part of the plan alone.
    """
    metadata = pq.read_metadata(path)
    names = metadata.metadata[b"units"].decode().split("\n")
    identity = digest(path.name, metadata.num_rows, names)
    found = []
    for group, name in enumerate(names):
        task = FetchTask(
            images=path.parent,
            stage=label(path),
            unit=name,
            plan=path,
            row_group=group,
            settings=settings,
        )
        host = name.rpartition("/")[0]
        lane = "" if host == _SHARED else host
        unit = Unit(name=name, recipe=digest(identity, group), task=task, lane=lane)
        found.append((metadata.row_group(group).num_rows, unit))
    return [unit for _, unit in sorted(found, key=lambda pair: (-pair[0], pair[1].name))]


def generations(folder: Path) -> list[Path]:
    """Return the files of the plan, oldest first."""
    return sorted(folder.glob("plan-[0-9]*.parquet"))


def label(generation: Path) -> str:
    """Return what a generation's fetching is called: fetch, fetch-001, ..."""
    number = generation.stem.removeprefix("plan")
    return "fetch" if number == "-000" else f"fetch{number}"


def _assign(rows: pa.Table, generation: int, size: int) -> pa.Array:
    """Return each row's unit: `<host>/<generation>-<slice>`, or a shared one for small hosts.

    *rows* come in order of host and URL; a URL's rows stay together.
    """
    hosts = rows["host"].combine_chunks().dictionary_encode()  # codes 0, 0, 1, 1, 1, 2, ...
    codes, names = hosts.indices.to_numpy(), hosts.dictionary.to_pylist()
    urls = rows["url"].to_numpy(zero_copy_only=False)
    number = np.cumsum(np.concatenate([[True], urls[1:] != urls[:-1]])) - 1  # of distinct URLs
    starts = np.searchsorted(codes, np.arange(len(names)))
    slices = (number - number[starts][codes]) // size
    counts = np.bincount(codes)
    shared: dict[int, str] = {}
    unit, room = -1, 0
    for code, count in enumerate(counts):
        if count * _SMALL < size:
            if room < count:
                unit, room = unit + 1, size
            room -= int(count)
            shared[code] = f"{_SHARED}/{generation:03}-{unit:04}"
    return pa.array(
        shared.get(code) or f"{_word(names[code])}/{generation:03}-{part:04}"
        for code, part in zip(codes.tolist(), slices.tolist(), strict=True)
    )


def _word(host: str) -> str:
    """Return *host* as a word that may stand in a unit's name."""
    word = re.sub(r"[^a-z0-9.-]", "-", host.lower())
    return word if word[:1].isalnum() and len(word) < 120 else f"host-{digest(host)}"
