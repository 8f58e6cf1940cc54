"""The terms on which each source is asked: where, how often, how much at a time."""

from dataclasses import dataclass, field

from flora.config import OPERATIONAL
from flora.errors import ConfigError


def above_zero(section: str, settings: object, *names: str) -> None:
    """Raise ConfigError for the first of the settings *names* that is not above 0."""
    for name in names:
        value = getattr(settings, name)
        if value <= 0:
            raise ConfigError(f"{section}.{name} is {value}, but must be above 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Openverse:
    """Openly licensed pictures of many collections, by name."""

    endpoint: str = "https://api.openverse.org/v1/images/"
    """Where it is asked."""
    pages: int = 2
    """Pages of answers to read for a name."""
    page_size: int = 20
    """Answers a page; 20 is the most for those without a key."""
    requests_per_second: float = field(default=0.33, metadata=OPERATIONAL)
    """Upper bound. Anonymous use is limited to 20 a minute."""

    def __post_init__(self) -> None:
        above_zero("crawler.openverse", self, "pages", "page_size", "requests_per_second")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commons:
    """Wikimedia Commons, by full-text search in the file namespace."""

    endpoint: str = "https://commons.wikimedia.org/w/api.php"
    """Where it is asked."""
    pages: int = 2
    """Answers to follow through `continue` for a name."""
    page_size: int = 50
    """Files an answer; 50 is the most for those without a bot's rights."""
    requests_per_second: float = field(default=1.0, metadata=OPERATIONAL)
    """Upper bound; their rules ask for one request after the other."""

    def __post_init__(self) -> None:
        above_zero("crawler.commons", self, "pages", "page_size", "requests_per_second")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gbif:
    """Darwin Core archives that GBIF prepared for you (https://www.gbif.org/occurrence/search)."""

    archives: tuple[str, ...] = ()
    """Their addresses, or paths of files on disk."""
    herbarium_sheets: bool = False
    """Also take pictures of preserved specimens; pressed plants look like no living ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eol:
    """Encyclopedia of Life, by its media manifest."""

    manifest: str = "https://eol.org/data/media_manifest.tgz"
    """Address or path of the manifest (about 1 GB)."""
    names: str = "https://eol.org/data/provider_ids.csv.gz"
    """Address or path of the table that gives page ids their names."""
