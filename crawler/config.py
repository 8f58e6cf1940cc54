"""The crawler's settings, one small dataclass a concern."""

import ipaddress
from dataclasses import dataclass, field

from crawler.terms import Commons, Eol, Gbif, Openverse, above_zero
from flora.config import OPERATIONAL
from flora.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Politeness:
    """The budget of one host."""

    requests_per_second: float = field(default=1.0, metadata=OPERATIONAL)
    """Upper bound. A `Retry-After` or a robots.txt `Crawl-delay` can only lower it."""
    connections: int = field(default=2, metadata=OPERATIONAL)
    """At a time."""
    retries: int = field(default=3, metadata=OPERATIONAL)
    """Further tries after a failure that may pass (429, 5xx, a lost connection)."""
    longest_wait: float = field(default=60.0, metadata=OPERATIONAL)
    """Seconds to wait at most before a retry; a host that asks for more is left for later."""

    def __post_init__(self) -> None:
        above_zero("crawler.politeness", self, "requests_per_second", "connections", "longest_wait")
        if self.retries < 0:
            raise ConfigError(f"crawler.politeness.retries is {self.retries}, not 0 or more.")


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
    synonyms: int = 0
    """Synonyms of a species to ask for besides its accepted name, the first so many."""
    unit_names: int = 100
    """Species a search unit asks for; its receipt is the step in which a search resumes."""
    unit_images: int = field(default=10_000, metadata=OPERATIONAL)
    """Pictures a fetch unit brings; one host's pictures share a unit up to this number."""
    pack_bytes: int = field(default=2**30, metadata=OPERATIONAL)
    """Size at which an image pack is closed and the next one begun."""
    openverse: Openverse = field(default_factory=Openverse)
    commons: Commons = field(default_factory=Commons)
    gbif: Gbif = field(default_factory=Gbif)
    eol: Eol = field(default_factory=Eol)
    politeness: Politeness = field(default_factory=Politeness)
    net: Net = field(default_factory=Net)

    def __post_init__(self) -> None:
        above_zero("crawler", self, "unit_names", "unit_images", "pack_bytes")
        if self.synonyms < 0:
            raise ConfigError(f"crawler.synonyms is {self.synonyms}, but must be 0 or more.")
        if not self.contact and not self.net.connect_to:
            raise ConfigError(
                "crawler.contact is empty. Give an e-mail address or a page, so that whoever "
                "runs a server we ask can reach you: --set crawler.contact=you@example.org"
            )

    @property
    def user_agent(self) -> str:
        """The name we go by."""
        return f"worldflora/0.1 (+{self.contact or 'test web'})"
