"""`python -m demo`: the whole job on this machine, against a web of its own on loopback."""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from crawler.__main__ import crawl
from crawler.config import CrawlerSettings
from dedup.__main__ import dedup
from dedup.config import DedupSettings
from demo import apis, archives, score, world
from demo.web import Web
from demo.world import World
from evaluate.__main__ import tabulate
from flora import cluster
from flora.__main__ import checklist
from flora.cluster import ClusterSettings
from flora.command import Options, guard, options, parser
from flora.console import clock, say, show
from flora.errors import ConfigError
from flora.ledger import Ledger
from report.__main__ import report
from shards.__main__ import shards
from shards.config import ShardSettings
from train.__main__ import evaluate, train
from train.config import TrainSettings

SETTINGS = (
    "crawler.contact=the demo on this machine",
    "crawler.synonyms=5",
    "crawler.unit_names=20",
    "crawler.unit_images=250",
    "crawler.pack_bytes=33554432",
    "crawler.politeness.requests_per_second=200",
    "crawler.politeness.connections=8",
    "crawler.politeness.longest_wait=5",
    "crawler.net.timeout=10",
    f"crawler.openverse.endpoint={apis.OPENVERSE}",
    "crawler.openverse.pages=10",
    "crawler.openverse.requests_per_second=200",
    "crawler.openverse.requests_per_day=0",
    f"crawler.commons.endpoint={apis.COMMONS}",
    "crawler.commons.pages=5",
    "crawler.commons.requests_per_second=200",
    f"crawler.gbif.archives=['{archives.GBIF}']",
    f"crawler.eol.manifest={archives.EOL_MANIFEST}",
    f"crawler.eol.names={archives.EOL_NAMES}",
    "shards.stripe_bytes=131072",
)
"""What differs from flora.toml: the addresses, and a pace that only one's own machine may see."""

PHOTOGRAPHS = ("shards.min_images=4", "shards.val=0.15", "shards.test=0.25")
"""A handful of pictures a species: some of them must be kept to test on."""

DRAWN = (
    "train.image_size=128", "train.head.views=0", "train.head.epochs=10", "train.full.epochs=2",
    "train.full.backbone_lr=0.0005", "train.full.head_lr=0.001", "train.full.blend=1",
    "train.full.smallest_crop=0.25",
)  # fmt: skip
"""Drawn plants are told apart at this size, and train in a minute or two."""

SECTIONS: dict[str, type] = {
    "cluster": ClusterSettings,
    "crawler": CrawlerSettings,
    "dedup": DedupSettings,
    "shards": ShardSettings,
    "train": TrainSettings,
}


def demo(
    shared: Options, *, photos: Path | None, names: Path | None, species: int, pictures: int
) -> None:
    """Run every stage over the demo's web, score what came out, and write the report."""
    start = time.monotonic()
    data = shared.data
    usual = (*SETTINGS, *(DRAWN if photos is None else PHOTOGRAPHS))
    for section, kind in SECTIONS.items():  # a mistake is told at once, not after minutes
        replace(shared, sets=(*usual, *shared.sets)).settings(section, kind)
    if shared.dry_run:
        say(f"The demo would make its web in {data / 'web'}, then run checklist, crawl, dedup, ")
        say("shards, train, evaluate and report against it, with")
        say("\n".join(f"  --set {each}" for each in (*usual, *shared.sets)))
        return
    with Ledger(data).lock():
        say("The web: drawing plants." if photos is None else f"The web: pictures of {photos}.")
        made = world.build(data / "web", photos=photos, species=species, pictures=pictures)
        with contextlib.ExitStack() as stack:
            web = stack.enter_context(Web(made))
            connect = f"crawler.net.connect_to={{'*.test' = '{web.address}'}}"
            here = replace(shared, sets=(*usual, connect, *shared.sets))
            if shared.cluster == "local":
                settings = here.settings("cluster", ClusterSettings)
                client = stack.enter_context(cluster.connect("local", settings))
                here = replace(here, cluster=client.scheduler.address)
            _stages(here, made, photos, names or made.checklist)
    _conclude(data, time.monotonic() - start)


def _stages(here: Options, made: World, photos: Path | None, names: Path) -> None:
    wanted = ""
    if photos is not None:  # the list may be of the whole world: look for what the folder has
        wanted = str(_folder_names(here.data / "web", made))
    steps: Sequence[Callable[[], None]] = (
        lambda: checklist(here, names),
        lambda: crawl(here, wanted),
        lambda: dedup(here),
        lambda: shards(here),
        lambda: train(replace(here, cluster="local")),  # not on Dask
        lambda: evaluate(replace(here, cluster="local")),
        lambda: tabulate(here, "main"),
    )
    for step in steps:
        step()
    score.write(here.data / "truth.json", score.score(here.data, made, drawn=photos is None))
    report(here, here.data / "report.html", here.data / "truth.json")


def _folder_names(folder: Path, made: World) -> Path:
    """Write the names the photographs are filed under, for the crawler to look for."""
    path = folder / "names.txt"
    listed = sorted({row.true_species for row in made.listings if row.true_species})
    path.write_text("\n".join(listed) + "\n", encoding="utf-8")
    return path


def _conclude(data: Path, seconds: float) -> None:
    """Show the short table, the goals met and missed, and where the report is."""
    found = json.loads((data / "truth.json").read_text(encoding="utf-8"))
    for title, rows in found["sections"].items():
        show(title)
        for label, value in rows.items():
            show(f"  {label:<52} {value:>12}")
    show("Goals")
    for goal in found["goals"]:
        mark = "met" if goal["met"] else "MISSED"
        show(f"  {goal['what']:<52} {goal['value']:>12}  {goal['goal']}: {mark}")
    show(f"Done in {clock(seconds)}. The report: {data / 'report.html'}")


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return its exit code."""
    flags = parser("demo", "The whole job on this machine, against a web of its own on loopback.")
    flags.set_defaults(data=Path("data/demo"))
    flags.add_argument("--photos", type=Path, help="a folder of <Genus species>/*.jpg to serve")
    flags.add_argument("--checklist", type=Path, help="the list of names (the drawn plants')")
    flags.add_argument("--species", type=int, default=world.SPECIES, help="how many to draw")
    flags.add_argument("--pictures", type=int, default=world.PICTURES, help="how many to draw")
    args: argparse.Namespace = flags.parse_args(arguments)

    def body() -> None:
        if args.photos is not None and args.checklist is None:
            raise ConfigError("--photos needs --checklist: the list their names are looked up in.")
        demo(options(args), photos=args.photos, names=args.checklist, species=args.species,
             pictures=args.pictures)  # fmt: skip

    return guard(body, verbose=args.verbose)


if __name__ == "__main__":
    sys.exit(main())
