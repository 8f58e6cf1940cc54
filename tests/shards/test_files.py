import json
import zlib
from pathlib import Path

import pytest
from aiohttp import web

from crawler.__main__ import main as crawl
from crawler.config import CrawlerSettings
from dedup.__main__ import main as dedup
from dedup.config import DedupSettings
from flora import taxa
from flora.command import Options
from flora.ledger import Ledger
from shards import files, lustre
from shards.__main__ import shards
from shards.config import ShardSettings
from shards.files import Cuts
from tests.conftest import picture
from tests.crawler.server import serving
from tests.crawler.test_main import NAMES

CRAWL = (
    "crawler.sources=['openverse']", "crawler.openverse.endpoint=http://a.test/openverse",
    "crawler.openverse.pages=1", "crawler.openverse.requests_per_second=1000",
    "crawler.politeness.requests_per_second=1000", "crawler.unit_names=1",
    "crawler.unit_images=4", "crawler.pack_bytes=10000", "crawler.synonyms=0",
)  # fmt: skip
SHARDS = (
    "shards.gather_bytes=30000", "shards.stripe_bytes=8192", "shards.stripes=4",
    "shards.min_images=2", "shards.val=0.25", "shards.test=0.25",
)  # fmt: skip


async def site(request: web.BaseRequest) -> web.StreamResponse:
    """An engine that lists eight pictures for each name, and the pictures."""
    if request.path == "/openverse":
        slug = request.query["q"].strip('"').replace(" ", "-")
        found = [{"url": f"http://b.test/{slug}-{n}.jpg"} for n in range(8)]
        return web.json_response({"page_count": 1, "results": found})
    if not request.path.endswith(".jpg"):
        return web.Response(status=404)
    name, _, number = request.path[1:-4].rpartition("-")
    seed = zlib.crc32(name.encode()) + int(number) // 2  # two and two are near copies
    size = ((320, 240), (260, 200))[int(number) % 2]
    return web.Response(body=picture(seed, size))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, cluster: str) -> Path:
    """The folder of a build, small but whole, from names to shards."""
    data = tmp_path_factory.mktemp("build")
    (data / "names.csv").write_text(NAMES)
    taxa.build(data / "names.csv", data / "checklist")
    with serving(site) as address:
        sets = [*CRAWL, f"crawler.net.connect_to={{'*.test' = '{address}'}}"]
        flags = ["--data", str(data), "--cluster", cluster]
        assert crawl([*flags, *(flag for each in sets for flag in ("--set", each))]) == 0
    assert dedup([*flags, "--set", "dedup.unit_pairs=4", "--set", "dedup.pdq_sure=0"]) == 0
    shards(Options(data=data, cluster=cluster, sets=SHARDS))
    return data


def cuts(data: Path) -> Cuts:
    """Into what a build was cut, by its receipts and tables."""
    receipts = {
        stage: list(Ledger(data / stage).receipts())
        for stage in ("candidates", "images", "verdicts", "shards")
    }
    return Cuts(
        downloads=0,
        engines=1,
        rounds=len(list((data / "candidates" / "rounds").iterdir())),
        searches=len(receipts["candidates"]),
        generations=len(list((data / "images").glob("plan-*"))),
        fetches=len(receipts["images"]),
        packs=len(list((data / "images" / "packs").iterdir())),
        looks=sum(name.startswith("pixels/") for name in receipts["verdicts"]),
        gathers=sum(name.startswith("gather/") for name in receipts["shards"]),
        shards=len(list((data / "shards").glob("*.tar"))),
    )


def test_a_build_takes_so_many_files_as_is_said(built: Path) -> None:
    found = cuts(built)
    assert found.searches > 1 and found.fetches > 2 and found.packs > found.fetches
    assert found.looks > 1 and found.gathers > 1 and found.shards > 2
    missing = {  # counted whether they are there or not
        "checklist": ["receipts/checklist.json", ".lock"],  # the list was read without a stage
        "candidates": ["log.jsonl"],
        "images": ["log.jsonl", "conflicts-000.parquet"],
        "verdicts": ["log.jsonl", "holdout.parquet", "evaluation.parquet", "receipts/holdout.json"],
        "shards": ["log.jsonl", "pictures/most.jpg", "pictures/fewest.jpg"],
    }
    for stage, most in files.count(found).items():
        there = [path for path in (built / stage).rglob("*") if path.is_file()]
        absent = [name for name in missing[stage] if not (built / stage / name).exists()]
        assert len(there) + len(absent) == most, (stage, sorted(map(str, there)))


def test_what_is_taken_for_granted_of_other_stages_is_so() -> None:
    crawler, pixels = CrawlerSettings(contact="tests@example.org"), DedupSettings()
    assert crawler.unit_images == files.UNIT_IMAGES
    assert crawler.pack_bytes == files.PACK_BYTES
    assert pixels.unit_pairs == files.UNIT_PAIRS


def test_twelve_million_pictures_stay_below_ten_thousand_files() -> None:
    settings = ShardSettings()
    foreseen = files.foresee(12_000_000, 650, settings,
                             image_bytes=lustre.PICTURE_BYTES["original"])  # fmt: skip
    most = sum(files.count(foreseen).values()) + files.on_the_way(foreseen)
    assert most < files.LIMIT, json.dumps(files.count(foreseen))
