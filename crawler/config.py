"""The crawler's settings, one small dataclass a concern."""

import fnmatch
import ipaddress
from dataclasses import dataclass, field

from crawler.terms import (
    Bing,
    Brave,
    Commons,
    Eol,
    Flickr,
    Gbif,
    GoogleCse,
    Inaturalist,
    Openverse,
    Plantnet,
    Searxng,
    SerpApi,
    Serper,
    above_zero,
)
from flora.config import OPERATIONAL
from flora.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one host may be asked for, over all workers together."""

    requests_per_second: float = field(default=1.0, metadata=OPERATIONAL)
    """Upper bound. A `Retry-After` or a robots.txt `Crawl-delay` can only lower it."""
    connections: int = field(default=2, metadata=OPERATIONAL)
    """At a time."""
    megabits: float = field(default=0.0, metadata=OPERATIONAL)
    """Megabits a second that we read from it at most; 0 is no limit."""
    lanes: int = field(default=1, metadata=OPERATIONAL)
    """Workers that may share the host, each with its part of the budget: for giants only."""

    def __post_init__(self) -> None:
        above_zero("crawler.politeness", self, "requests_per_second", "connections", "lanes")
        if self.megabits < 0:
            raise ConfigError(f"crawler.politeness.megabits is {self.megabits}, not 0 or more.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Politeness(Budget):
    """The budget of a host that has none of its own in [crawler.hosts], and our patience."""

    retries: int = field(default=3, metadata=OPERATIONAL)
    """Further tries after a failure that may pass (429, 5xx, a lost connection)."""
    longest_wait: float = field(default=600.0, metadata=OPERATIONAL)
    """Seconds to wait at most when a host asks for it; one that asks for more is left for later."""

    def __post_init__(self) -> None:
        Budget.__post_init__(self)
        above_zero("crawler.politeness", self, "longest_wait")
        if self.retries < 0:
            raise ConfigError(f"crawler.politeness.retries is {self.retries}, not 0 or more.")


def _known_hosts() -> dict[str, Budget]:
    """Return the budgets of hosts that have published limits, or are built for more."""
    return {
        # https://wikitech.wikimedia.org/wiki/Robot_policy, April 2025
        "upload.wikimedia.org": Budget(requests_per_second=10.0, connections=2, megabits=25.0),
        # The API's media guidance: 24 GB a day. Their open data bucket is for the rest.
        "static.inaturalist.org": Budget(requests_per_second=1.0, connections=2, megabits=2.2),
        "inaturalist-open-data.s3.amazonaws.com": Budget(
            requests_per_second=100.0, connections=32, lanes=2
        ),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """What a server may do to us."""

    timeout: float = field(default=30.0, metadata=OPERATIONAL)
    """Seconds for one picture from first to last byte, redirects included."""
    max_bytes: int = field(default=32_000_000, metadata=OPERATIONAL)
    """A longer body is refused, and not read further."""
    max_pixels: int = field(default=80_000_000, metadata=OPERATIONAL)
    """Width x height, checked before anything is decoded."""
    min_side: int = field(default=64, metadata=OPERATIONAL)
    """A picture with a shorter side is refused as too small (buttons, tracking pixels)."""
    max_redirects: int = field(default=5, metadata=OPERATIONAL)
    """Each hop is checked like a first request."""
    connect_to: dict[str, str] = field(default_factory=dict, metadata=OPERATIONAL)
    """Host pattern -> ip:port to connect to instead of asking the DNS: {"*.test" = "127.0.0.1:80"}.
    For a mirror or a test web of your own; such hosts may be private addresses."""

    def __post_init__(self) -> None:
        above_zero("crawler.net", self, "timeout", "max_bytes", "max_pixels", "min_side")
        for pattern, target in self.connect_to.items():
            host, _, port = target.rpartition(":")
            try:
                ipaddress.ip_address(host.strip("[]"))
            except ValueError:
                host = ""
            if not host or not port.isdigit():
                raise ConfigError(
                    f"crawler.net.connect_to: {pattern} = {target!r}, but must be ip:port."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlerSettings:
    """The [crawler] section."""

    contact: str = field(default="", metadata=OPERATIONAL)
    """An e-mail address or page, told to every server we ask. Required."""
    sources: tuple[str, ...] = ("eol", "gbif", "commons", "openverse")
    """Which sources to ask."""
    target: int = 100
    """Photographs a species should have as candidates: who has them is not searched for. 0: all."""
    synonyms: int = 2
    """Synonyms to ask for, for a species below its target once all its names were asked for."""
    dollars: float = 0.0
    """The most this crawl may spend, over its whole life, on engines that cost money."""
    unit_names: int = 1000
    """Queries a search unit asks; what was answered is kept if it stops half-way."""
    unit_images: int = field(default=10_000, metadata=OPERATIONAL)
    """Pictures a fetch unit brings; one host's pictures share a unit up to this number."""
    pack_bytes: int = field(default=2**31, metadata=OPERATIONAL)
    """Size at which an image pack is closed and the next one begun."""
    openverse: Openverse = field(default_factory=Openverse)
    commons: Commons = field(default_factory=Commons)
    gbif: Gbif = field(default_factory=Gbif)
    eol: Eol = field(default_factory=Eol)
    plantnet: Plantnet = field(default_factory=Plantnet)
    inaturalist: Inaturalist = field(default_factory=Inaturalist)
    searxng: Searxng = field(default_factory=Searxng)
    brave: Brave = field(default_factory=Brave)
    google_cse: GoogleCse = field(default_factory=GoogleCse)
    serper: Serper = field(default_factory=Serper)
    serpapi: SerpApi = field(default_factory=SerpApi)
    flickr: Flickr = field(default_factory=Flickr)
    bing: Bing = field(default_factory=Bing)
    connections: int = field(default=64, metadata=OPERATIONAL)
    """Requests that one worker may have under way, over all hosts; a kill costs at most these."""
    opt_out: str = field(default="", metadata=OPERATIONAL)
    """A file of hosts and URL patterns that are never asked, one a line (docs/runbook.md)."""
    politeness: Politeness = field(default_factory=Politeness)
    hosts: dict[str, Budget] = field(default_factory=_known_hosts, metadata=OPERATIONAL)
    """Budgets of hosts by name or pattern (`*.example.org`); the first that matches holds."""
    net: Net = field(default_factory=Net)

    def __post_init__(self) -> None:
        above_zero("crawler", self, "unit_names", "unit_images", "pack_bytes", "connections")
        for name in ("target", "synonyms", "dollars"):
            if getattr(self, name) < 0:
                raise ConfigError(f"crawler.{name} is {getattr(self, name)}, not 0 or more.")
        if not self.contact and not self.net.connect_to:
            raise ConfigError(
                "crawler.contact is empty. Give an e-mail address or a page, so that whoever "
                "runs a server we ask can reach you: --set crawler.contact=you@example.org"
            )

    def budget(self, host: str) -> Budget:
        """Return the budget of *host*."""
        for pattern, budget in self.hosts.items():
            if fnmatch.fnmatchcase(host, pattern):
                return budget
        return self.politeness

    @property
    def user_agent(self) -> str:
        """The name we go by."""
        return f"worldflora/0.1 (+{self.contact or 'test web'})"
