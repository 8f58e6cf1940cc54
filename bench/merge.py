"""How fast millions of candidates become a plan: `python bench/merge.py [ROWS]`.

Synthetic rows, the same every time: a quarter of them list a photograph that another row lists
too, at another address, and one photograph in a hundred is claimed by several species. Each run
is a process of its own, so that its peak of memory is its own too. The crawler's run ends in a
plan: merged, dealt out by host, a row group a unit. The peers' (Polars, streaming; pyarrow, in
memory) end in a sorted table of the same merged rows, and hold no limit: 12 million rows take
Polars more than 20 GiB. A peer that is not installed is left out: `pip install polars`.
"""

import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROWS = 12_000_000
FILES = 24
SEED = 7
SPECIES = 300_000
SITES = ("inat", "flickr", "commons", "plantnet", "museum")
SHARE = (45, 65, 75, 85)
"""In the hundred: where the photographs of each site end."""
SOURCES = ("inaturalist", "openverse", "commons", "gbif", "eol")
TIERS = ("expert", "citizen", "web")
LICENCES = ("CC BY-NC 4.0", "CC BY 4.0", "CC BY-SA 4.0", "CC0 1.0", "Free for use in class")
GENERA = ("Quercus", "Rosa", "Acer", "Carex", "Salix", "Viola", "Solanum", "Ficus")
Numbers = Any  # an array of numpy


def generate(folder: Path, rows: int) -> None:
    """Write *rows* candidates into *folder*, as several tables."""
    folder.mkdir(parents=True)
    size = -(-rows // FILES)
    for i in range(FILES):
        listed = np.arange(i * size, min((i + 1) * size, rows))
        if len(listed):
            table = candidates(np.random.default_rng([SEED, i]), listed, rows * 3 // 4)
            pq.write_table(table, folder / f"part-{i:03}.parquet", compression="zstd")


def candidates(rng: np.random.Generator, listed: Numbers, photos: int) -> pa.Table:
    """Return the rows with the numbers *listed*: the first *photos* are new, the others known."""
    rows = len(listed)
    again = listed >= photos
    photo = np.where(again, rng.integers(0, photos, rows), listed)
    other = again & (rng.random(rows) < 0.04)
    species = np.where(other, rng.integers(0, SPECIES, rows), _mixed(photo, 1) % SPECIES)
    site = np.searchsorted(SHARE, _mixed(photo, 2) % 100, side="right")
    eol = again & (site < 3) & (_mixed(photo, 5) % 2 == 0)
    source = np.where(eol, 4, np.where(again & (site > 0), 3, np.minimum(site, 3)))
    source = np.where(again & (site == 0) & ~eol, 3, source)
    tier = np.choose(source, [1, 2, 2, 1, 0])
    number, code = pa.array(photo + 10_000_000), pa.array(map("{:016x}".format, _mixed(photo, 3)))
    museum = pa.array((300 * (_mixed(photo, 4) / 2**63) ** 3).astype(int))  # some have most
    file = _text("Flora_of_the_world_", number, "_", code, ".jpg")
    iiif = _text(
        "images.museum-", museum, ".example.org/iiif/2/", code, "/full/1200,/0/default.jpg"
    )
    at = pa.array(site)
    home = pc.choose(
        at,
        _text("https://inaturalist-open-data.s3.amazonaws.com/photos/", number,
              _pick(("/medium.jpg", "/original.jpg"), again * 1)),
        _text("https://live.staticflickr.com/65535/", number, "_",
              pc.utf8_slice_codeunits(code, 0, 10), _pick(("_b.jpg", ".jpg"), again * 1)),
        _text("https://upload.wikimedia.org/wikipedia/commons/a/ab/", file),
        _text("https://bs.plantnet.org/image/o/", code, code),
        _text("https://", iiif),
    )  # fmt: skip
    copy = _text("https://content.eol.org/data/media/00/", code, ".509.", number, ".jpg")
    page = pc.choose(
        at,
        _text("https://www.inaturalist.org/photos/", number),
        _text("https://www.flickr.com/photos/user/", number),
        _text("https://commons.wikimedia.org/wiki/File:", file),
        _text("https://identify.plantnet.org/o/", number),
        _text("https://museum-", museum, ".example.org/specimen/", number),
    )
    photo_id = pc.choose(
        at,
        _text("inat:", number),
        _text("flickr:", number),
        _text("commons:", file),
        _text("plantnet:", code, code),
        iiif,
    )
    name = _text(_pick(GENERA, species % len(GENERA)), " species", pa.array(species))
    creator = _some(rng, 0.8, _text("Person Number ", pa.array(_mixed(photo, 6) % 200_000)))
    place = pa.array(rng.integers(0, 10**6, rows))
    rank = pa.array(rng.integers(1, 200, rows), pa.int32(), mask=~np.isin(source, [1, 2]))
    seen = pc.if_else(pa.array(np.isin(source, [0, 3])), pa.array(photo // 3), None)
    return pa.table(
        {
            "url": pc.if_else(pa.array(eol), copy, home),
            "photo_id": photo_id,
            "species_id": _text("wfo-", pa.array(species + 1_000_000_000)),
            "query": name,
            "source": _pick(SOURCES, source),
            "tier": _pick(TIERS, tier),
            "rank": rank,
            "page_url": pc.if_else(pa.array(eol), page, _some(rng, 0.9, page)),
            "title": _some(rng, 0.7, _text(name, " in flower, seen near place ", place)),
            "licence": _some(rng, 0.9, _pick(LICENCES, rng.integers(0, len(LICENCES), rows))),
            "creator": creator,
            "rights_holder": _some(rng, 0.5, creator),
            "observation_id": _text("gbif:", seen),
            "width": pa.array(rng.integers(500, 4000, rows), pa.int32()),
            "height": pa.array(rng.integers(500, 4000, rows), pa.int32()),
        }
    )


def ours(folder: Path, out: Path) -> int:
    """Plan the candidates as the crawler does."""
    from crawler import plan
    from crawler.config import CrawlerSettings

    paths = sorted(folder.glob("*.parquet"))
    return plan.extend(out, paths, CrawlerSettings(contact="bench@example.org"))


def polars(folder: Path, out: Path) -> int:
    """Merge with Polars."""
    import polars as pl  # type: ignore[import-not-found, unused-ignore]

    from crawler.licences import KNOWN
    from crawler.photos import COPIERS, THUMBNAIL

    url, tiers = pl.col("url"), {tier: i for i, tier in enumerate(TIERS)}
    known = pl.col("licence").str.contains(KNOWN)
    rows = pl.scan_parquet(folder / "*.parquet").with_columns(
        trust=pl.col("tier").replace_strict(tiers, return_dtype=pl.Int8),
        order=pl.col("rank").fill_null(0),
        copy=url.str.extract("://([^/:]*)").is_in(COPIERS),
        small=url.str.contains(THUMBNAIL),
        gaps=4 * pl.when(known).then(0).when(known.is_null()).then(2).otherwise(1)
        + 2 * pl.col("creator").is_null().cast(pl.Int8)
        + pl.col("page_url").is_null().cast(pl.Int8),
    )
    tie = ["trust", "order", "source", "url"]

    def first(names: tuple[str, ...], by: list[str]) -> list[Any]:
        return [pl.struct(names).sort_by(by).first().alias(names[0] + "_")]

    credit = ("licence", "creator", "rights_holder", "page_url")
    photos = rows.group_by("photo_id").agg(
        *first(("url", "width", "height"), ["copy", "small", *tie]),
        *first(credit, ["gaps", *tie]),
        pl.col("observation_id").min(),
    )
    claims = rows.group_by("photo_id", "species_id").agg(
        *first(("tier", "source", "query", "rank", "title"), tie)
    )
    merged = claims.join(photos, on="photo_id").unnest("tier_", "url_", "licence_")
    path = out / "merged.parquet"
    merged.sort("url", "species_id").sink_parquet(path, engine="streaming")
    return int(pq.read_metadata(path).num_rows)


def pyarrow(folder: Path, out: Path) -> int:
    """Merge with pyarrow: sort, and take the first of each group."""
    from crawler.licences import KNOWN
    from crawler.photos import COPIERS, THUMBNAIL

    rows = pq.read_table(folder)
    host = pc.struct_field(pc.extract_regex(rows["url"], "://(?P<host>[^/:]*)"), "host")
    known = pc.if_else(pc.match_substring_regex(rows["licence"], KNOWN), 0, 1)
    gaps = pc.multiply(pc.fill_null(known, 2), 4)
    gaps = pc.add(gaps, pc.multiply(pc.cast(pc.is_null(rows["creator"]), pa.int8()), 2))
    keys = pa.table(
        {
            "photo_id": rows["photo_id"],
            "species_id": rows["species_id"],
            "source": rows["source"],
            "url": rows["url"],
            "trust": pc.index_in(rows["tier"], pa.array(TIERS)),
            "order": pc.fill_null(rows["rank"], 0),
            "copy": pc.is_in(host, pa.array(COPIERS)),
            "small": pc.match_substring_regex(rows["url"], THUMBNAIL),
            "gaps": pc.add(gaps, pc.cast(pc.is_null(rows["page_url"]), pa.int8())),
            "id": pa.array(np.arange(rows.num_rows)),
        }
    )
    tie = ["trust", "order", "source", "url"]

    def first(keys: pa.Table, group: list[str], by: list[str], name: str) -> pa.Table:
        order = pc.sort_indices(keys, [(key, "ascending") for key in by])
        best = keys.select([*group, "id"]).take(order)
        grouped = pa.TableGroupBy(best, group, use_threads=False)
        return grouped.aggregate([("id", "first")]).rename_columns({"id_first": name})

    claims = first(keys, ["photo_id", "species_id"], tie, "best")
    address = first(keys, ["photo_id"], ["copy", "small", *tie], "address")
    credit = first(keys, ["photo_id"], ["gaps", *tie], "credit")
    seen = rows.group_by("photo_id").aggregate([("observation_id", "min")])
    del keys
    for more in (address, credit, seen):
        claims = claims.join(more, "photo_id")
    merged = pa.table(
        {
            "photo_id": claims["photo_id"],
            "species_id": claims["species_id"],
            "observation_id": claims["observation_id_min"],
            **{
                name: rows[name].take(claims[index])
                for index, names in (
                    ("best", ("tier", "source", "query", "rank", "title")),
                    ("address", ("url", "width", "height")),
                    ("credit", ("licence", "creator", "rights_holder", "page_url")),
                )
                for name in names
            },
        }
    )
    merged = merged.sort_by([("url", "ascending"), ("species_id", "ascending")])
    pq.write_table(merged, out / "merged.parquet", compression="zstd")
    return int(merged.num_rows)


def main(arguments: list[str]) -> None:
    """Run each once, and print a table and one JSON object."""
    rows = int(arguments[0]) if arguments else ROWS
    runs = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        generate(folder / "candidates", rows)
        print(f"{'with':>8} {'merged rows':>12} {'seconds':>8} {'CPU':>8} {'peak GiB':>9}")
        for work in (ours, polars, pyarrow):
            if work is polars and importlib.util.find_spec("polars") is None:
                continue
            out = folder / work.__name__
            out.mkdir()
            command = [sys.executable, __file__, work.__name__, folder / "candidates", out]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
            if done.returncode:
                print(f"{work.__name__:>8} failed (status {done.returncode})")
                continue
            run = runs[work.__name__] = json.loads(done.stdout)
            print(f"{work.__name__:>8} {run['merged_rows']:>12,} {run['seconds']:>8.1f} "
                  f"{run['cpu_seconds']:>8.1f} "
                  f"{run['peak_gib']:>9.2f}")  # fmt: skip
    if "ours" not in runs:
        sys.exit(1)
    figures = {"rows": rows, **runs["ours"]}
    for name in ("polars", "pyarrow"):
        ratio = runs[name]["seconds"] / figures["seconds"] if name in runs else None
        figures[f"vs_{name}"] = ratio and round(ratio, 2)
    print(json.dumps(figures))


def child(name: str, folder: str, out: str) -> None:
    """Do one run; print its rows, seconds and peak of memory."""
    start = time.perf_counter()
    merged = {"ours": ours, "polars": polars, "pyarrow": pyarrow}[name](Path(folder), Path(out))
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "merged_rows": merged,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_gib": round(used.ru_maxrss / 2**20, 2),
    }
    print(json.dumps(figures))


def _mixed(numbers: Numbers, salt: int) -> Numbers:
    """Return for each number another, below 2**63, that looks random."""
    with np.errstate(over="ignore"):
        mixed = (numbers.astype(np.uint64) + np.uint64(salt)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return ((mixed ^ (mixed >> np.uint64(32))) >> np.uint64(1)).astype(np.int64)


def _text(*parts: Any) -> pa.Array:
    """Return the rows of *parts* joined to texts."""
    texts = [part if isinstance(part, str) else pc.cast(part, pa.string()) for part in parts]
    return pc.binary_join_element_wise(*texts, "")


def _pick(words: tuple[str, ...], codes: Numbers) -> pa.Array:
    return pa.array(words).take(pa.array(codes))


def _some(rng: np.random.Generator, share: float, column: pa.Array) -> pa.Array:
    """Return *column* with only a *share* of its values."""
    return pc.if_else(pa.array(rng.random(len(column)) < share), column, None)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ("ours", "polars", "pyarrow"):
        child(*sys.argv[1:])
    else:
        main(sys.argv[1:])
