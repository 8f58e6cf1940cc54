"""Is the crawler polite, and does it lose no time over it? `make bench NAME=polite` (3 minutes).

A web of 545 hosts, as many as publish plant pictures through GBIF, with a skew like theirs: one
has a third of the images, most a handful. Each host has a budget of its own (requests a second,
connections), known to the crawler and to the host. Some turn requests away now and then, with a
`Retry-After`. The judge is the servers' own log. A host is wronged if

- more of its requests are under way at once than it grants connections;
- in any ten seconds it gets more than ten seconds' worth of requests, and two: one because both
  ends of a window can fall on a request, one for a request that the network held up;
- a request comes before the time has passed that it asked for (but for the first tenth of a
  second: such a request may have been sent before the answer was read).

No crawler can be done before the slowest host is, or before the link has carried all bytes:
max(images / rate of a host, bytes / bandwidth). The time taken, from the first request (that of
a robots.txt) to the last answer, is given as a multiple of it.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.dataset as ds

from bench import loopback
from bench.loopback import Web
from bench.server import Hit, Rule

HOSTS = 545
WINDOW = 10.0
BURST = 2
GRACE = 0.1
BANDWIDTH = 12.5e6  # bytes a second: 100 Mbit/s
LARGEST = 20
"""Hosts that need long; four of them as long as the largest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A host and its budget."""

    name: str
    images: int
    requests_per_second: float
    connections: int
    rule: Rule

    @property
    def seconds(self) -> float:
        """The least time in which its images can be had."""
        return self.images / self.requests_per_second


def main() -> None:
    """Crawl, judge, print a table and one JSON object."""
    flags = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flags.add_argument("--images", type=int, default=20_000)
    flags.add_argument("--seconds", type=float, default=120.0, help="that the slowest host takes")
    args = flags.parse_args()
    found = sites(args.images, args.seconds, random.Random(1))
    pictures = loopback.photographs(64, size=(320, 240), quality=85)
    with (
        tempfile.TemporaryDirectory() as temporary,
        Web(
            pictures,
            folder=Path(temporary),
            rules={site.name: site.rule for site in found},
            bandwidth=BANDWIDTH,
        ) as web,
    ):
        kept = crawl(found, web, Path(temporary))
        hits = web.hits()
    wanted = sum(site.images for site in found)
    if kept != wanted:
        sys.exit(f"{kept:,} of {wanted:,} images were kept.")
    by_link = wanted * statistics.fmean(map(len, pictures)) / BANDWIDTH
    bound = max(by_link, max(site.seconds for site in found))
    wrongs = judge(found, hits)
    _show(found, hits, wrongs, by_link)
    figures = {
        "hosts": len({hit.host for hit in hits}),
        "violations": sum(map(len, wrongs.values())),
        "over_lower_bound": round(loopback.span(hits) / bound, 3),
    }
    print(json.dumps(figures))
    sys.exit(bool(figures["violations"]))


def sites(images: int, seconds: float, rng: random.Random) -> list[Site]:
    """Return the hosts, largest first; the slowest of them takes *seconds*."""
    weights = [rank**-1.1 for rank in range(1, HOSTS)]
    share = images * 2 / 3 / sum(weights)
    counts = [images // 3, *(max(1, round(share * weight)) for weight in weights)]
    found = []
    for number, count in enumerate(counts):
        if number in (0, 1, 5, 12):
            need = 1.0
        elif number < LARGEST:
            need = rng.uniform(0.4, 0.95)
        else:
            need = rng.uniform(0.05, 0.4)
        rate = max(count / (need * seconds), 0.2)
        delay = rng.uniform(0.01, 0.06)
        refuses = number >= LARGEST and number % 5 == 0
        found.append(
            Site(
                name=f"h{number:03}.test",
                images=count,
                requests_per_second=round(rate, 3),
                connections=max(rng.choice((1, 2, 2, 4)), round(4 * rate * delay)),
                rule=Rule(
                    delay=delay,
                    refuse_every=rng.randint(8, 25) if refuses else 0,
                    retry_after=rng.randint(1, 4),
                ),
            )
        )
    return found


def crawl(found: Sequence[Site], web: Web, folder: Path) -> int:
    """Fetch all images of *found*; return how many were kept."""
    urls, config, data = folder / "urls.txt", folder / "hosts.toml", folder / "data"
    lines = [f"http://{site.name}/{n}.jpg\n" for site in found for n in range(site.images)]
    urls.write_text("".join(lines), encoding="utf-8")
    config.write_text(
        "".join(
            f'[crawler.hosts."{site.name}"]\n'
            f"requests_per_second = {site.requests_per_second}\nconnections = {site.connections}\n"
            for site in found
        ),
        encoding="utf-8",
    )
    command = loopback.crawler(urls, data, web.http, "--config", str(config))
    subprocess.run(command, env=web.environment, check=True)
    table = ds.dataset(data / "images" / "tables").to_table(["status"])
    status: list[str] = table["status"].to_pylist()
    return status.count("kept")


def judge(found: Sequence[Site], hits: Sequence[Hit]) -> dict[str, list[str]]:
    """Return what each host has to complain of."""
    by_host: dict[str, list[Hit]] = defaultdict(list)
    for hit in hits:
        by_host[hit.host].append(hit)
    wrongs: dict[str, list[str]] = {}
    for site in found:
        theirs = by_host[site.name]
        wrongs[site.name] = [
            f"{hit.under_way} requests at once, {site.connections} granted"
            for hit in theirs
            if hit.under_way > site.connections
        ]
        wrongs[site.name] += _too_many(site, theirs) + _too_early(site, theirs)
    return wrongs


def _too_many(site: Site, hits: Sequence[Hit]) -> list[str]:
    """Look at every window that begins with a request."""
    most, last, found = site.requests_per_second * WINDOW + BURST, 0, []
    for first, hit in enumerate(hits):
        while last < len(hits) and hits[last].at < hit.at + WINDOW:
            last += 1
        if last - first > most:
            found.append(f"{last - first} requests in {WINDOW:.0f} s, {most:.1f} granted")
    return found


def _too_early(site: Site, hits: Sequence[Hit]) -> list[str]:
    found, pause = [], (0.0, 0.0)
    for hit in hits:
        if pause[0] + GRACE < hit.at < pause[1]:
            found.append(f"asked {pause[1] - hit.at:.2f} s before the pause was over")
        if hit.status == 429:
            pause = (hit.until, max(pause[1], hit.until + site.rule.retry_after))
    return found


def _show(
    found: Sequence[Site], hits: Sequence[Hit], wrongs: dict[str, list[str]], by_link: float
) -> None:
    start = min(hit.at for hit in hits)
    by_host: dict[str, list[Hit]] = defaultdict(list)
    for hit in hits:
        by_host[hit.host].append(hit)
    print(f"{'host':<10} {'images':>7} {'rate/s':>7} {'at once':>8} {'bound s':>8} "
          f"{'first s':>8} {'last s':>7} {'at once':>8} {'429s':>5} {'wrongs':>7}")  # fmt: skip
    for site in [*found[:15], *found[20::100]]:
        theirs = by_host[site.name]
        refused = sum(hit.status == 429 for hit in theirs)
        print(
            f"{site.name:<10} {site.images:>7} {site.requests_per_second:>7.2f} "
            f"{site.connections:>8} {site.seconds:>8.1f} {theirs[0].at - start:>8.1f} "
            f"{theirs[-1].until - start:>7.1f} {max(hit.under_way for hit in theirs):>8} "
            f"{refused:>5} {len(wrongs[site.name]):>7}"
        )
    print(f"and {len(found) - 15 - len(found[20::100])} more hosts; {len(hits):,} requests, "
          f"{sum(hit.status == 429 for hit in hits)} of them turned away; "
          f"the link alone would take {by_link:.0f} s")  # fmt: skip
    for name, each in wrongs.items():
        if each:
            print(f"{name}: {len(each)} wrongs, the first: {each[0]}")


if __name__ == "__main__":
    main()
