"""The terms on which each source is asked: where, how often, how much at a time, for what price.

Figures are those the engines published when this was written; they change, so an operator's
flora.toml has the last word. Keys stand in neither: they come from the environment.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from flora.config import OPERATIONAL
from flora.errors import ConfigError

_THUMBNAILS = (0, 20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920, 3840)
_SIZES = ("original", "large", "medium", "small")


def above_zero(section: str, settings: object, *names: str) -> None:
    """Raise ConfigError for the first of the settings *names* that is not above 0."""
    for name in names:
        value = getattr(settings, name)
        if value <= 0:
            raise ConfigError(f"{section}.{name} is {value}, but must be above 0.")


def _not_negative(section: str, settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if value < 0:
            raise ConfigError(f"{section}.{name} is {value}, but must be 0 or more.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An engine that is asked by name; each has defaults of its own."""

    SECTION: ClassVar[str] = ""
    MOST: ClassVar[int] = 0
    """The largest page it gives; 0 where it does not say."""

    endpoint: str = ""
    """Where it is asked."""
    pages: int = 1
    """Pages of answers to read for a name."""
    page_size: int = 100
    """Answers a page."""
    requests_per_second: float = field(default=1.0, metadata=OPERATIONAL)
    """Upper bound."""
    requests_per_day: int = field(default=0, metadata=OPERATIONAL)
    """Upper bound, kept over restarts; 0 means that there is none."""
    dollars_per_1000: float = field(default=0.0, metadata=OPERATIONAL)
    """What 1,000 requests cost, for the plan that --dry-run prints; 0 is free."""

    def __post_init__(self) -> None:
        section = f"crawler.{self.SECTION}"
        above_zero(section, self, "pages", "page_size", "requests_per_second")
        _not_negative(section, self, "requests_per_day", "dollars_per_1000")
        if self.MOST and self.page_size > self.MOST:
            raise ConfigError(
                f"{section}.page_size is {self.page_size}, but {self.MOST} is the most it gives."
            )

    def address(self) -> str:
        """Return the endpoint. Raises ConfigError where there is none to ask."""
        if not self.endpoint:
            raise ConfigError(
                f"crawler.{self.SECTION}.endpoint is empty. {(self.__doc__ or '').splitlines()[0]} "
                f"Name yours: --set crawler.{self.SECTION}.endpoint=https://..."
            )
        return self.endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Openverse(Engine):
    """Openly licensed pictures of many collections.

    With WORLDFLORA_OPENVERSE_ID and _SECRET (free, from its /v1/auth_tokens/register/) its
    limits are page_size 50, 1.66 requests a second and 10,000 a day.
    """

    SECTION: ClassVar[str] = "openverse"
    MOST: ClassVar[int] = 50

    endpoint: str = "https://api.openverse.org/v1/images/"
    token_endpoint: str = "https://api.openverse.org/v1/auth_tokens/token/"
    """Where an id and a secret are exchanged for a token."""
    pages: int = 2
    page_size: int = 20
    """Answers a page; 20 is the most for those without a key."""
    requests_per_second: float = field(default=0.33, metadata=OPERATIONAL)
    """Upper bound. Anonymous use is limited to 20 a minute."""
    requests_per_day: int = field(default=200, metadata=OPERATIONAL)
    """Upper bound. Anonymous use is limited to 200 a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commons(Engine):
    """Wikimedia Commons: the category of the name, then full-text search over files."""

    SECTION: ClassVar[str] = "commons"
    MOST: ClassVar[int] = 500

    endpoint: str = "https://commons.wikimedia.org/w/api.php"
    pages: int = 2
    """Answers to follow through `continue`, of the category and of the search each."""
    page_size: int = 50
    """Files an answer; details of more than 50 come in several answers."""
    requests_per_second: float = field(default=1.0, metadata=OPERATIONAL)
    """Upper bound; their rules ask for one request after the other."""
    width: int = 1280
    """Pixels across of the scaled picture to list, one of the steps Wikimedia keeps; 0 lists
    originals, which have 5 MB and more under a limit of 25 Mbit/s."""

    def __post_init__(self) -> None:
        Engine.__post_init__(self)
        if self.width not in _THUMBNAILS:
            steps = ", ".join(map(str, _THUMBNAILS))
            raise ConfigError(f"crawler.commons.width is {self.width}, but must be one of {steps}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Searxng(Engine):
    """SearXNG is a metasearch engine that you host, with `json` among its search.formats.

    An address literal (http://127.0.0.1:8888/search) is taken as it is; a name that leads into
    a private network needs a line in crawler.net.connect_to.
    """

    SECTION: ClassVar[str] = "searxng"

    pages: int = 2
    page_size: int = 50
    """How many to expect: an instance gives what its engines give."""
    requests_per_second: float = field(default=0.5, metadata=OPERATIONAL)
    """Upper bound. Its engines block an instance that asks them too often."""
    engines: tuple[str, ...] = ("library of congress", "public domain image archive")
    """Which of its engines to ask. Name only those whose terms allow it: several others of
    SearXNG read pages that were made for people."""

    def __post_init__(self) -> None:
        Engine.__post_init__(self)
        if not self.engines:
            raise ConfigError("crawler.searxng.engines is empty. Name at least one of its engines.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Brave(Engine):
    """Brave Search: one page of up to 200 pictures a name, from an index of its own.

    Storing what it answers takes a plan with storage rights.
    """

    SECTION: ClassVar[str] = "brave"
    MOST: ClassVar[int] = 200

    endpoint: str = "https://api.search.brave.com/res/v1/images/search"
    requests_per_second: float = field(default=1.0, metadata=OPERATIONAL)
    """Upper bound; plans allow from 1 to 50."""
    dollars_per_1000: float = field(default=5.0, metadata=OPERATIONAL)

    def __post_init__(self) -> None:
        Engine.__post_init__(self)
        if self.pages != 1:
            raise ConfigError("crawler.brave.pages must be 1: its image search has no next page.")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleCse(Engine):
    """Google's Custom Search JSON API, for its customers: closed to new ones, ends 1 January 2027.

    Its 100 free requests a day are the default; with billing, set 10,000 and 5 dollars.
    """

    SECTION: ClassVar[str] = "google_cse"
    MOST: ClassVar[int] = 10

    endpoint: str = "https://www.googleapis.com/customsearch/v1"
    pages: int = 2
    """Pages of answers to read for a name, 10 at most."""
    page_size: int = 10
    requests_per_day: int = field(default=100, metadata=OPERATIONAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serper(Engine):
    """Serper: Google's pictures, resold."""

    SECTION: ClassVar[str] = "serper"
    MOST: ClassVar[int] = 100

    endpoint: str = "https://google.serper.dev/images"
    requests_per_second: float = field(default=5.0, metadata=OPERATIONAL)
    dollars_per_1000: float = field(default=2.0, metadata=OPERATIONAL)
    """A credit costs up to 0.1 cent, and a page of more than 10 may take two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SerpApi(Engine):
    """SerpApi: Google's pictures, resold. A page is as long as Google's, about 100."""

    SECTION: ClassVar[str] = "serpapi"

    endpoint: str = "https://serpapi.com/search.json"
    requests_per_second: float = field(default=0.27, metadata=OPERATIONAL)
    """Upper bound; the Developer plan allows 1,000 an hour."""
    dollars_per_1000: float = field(default=15.0, metadata=OPERATIONAL)
    """The Developer plan: 75 dollars a month for 5,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flickr(Engine):
    """Flickr, openly licensed photographs only. The key is free for non-commercial use."""

    SECTION: ClassVar[str] = "flickr"
    MOST: ClassVar[int] = 500

    endpoint: str = "https://api.flickr.com/services/rest/"
    """Where it is asked; it gives 4,000 answers a name at most."""
    requests_per_second: float = field(default=0.9, metadata=OPERATIONAL)
    """Upper bound; 3,600 an hour are allowed for a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bing(Engine):
    """Any endpoint in the shape of Bing's image search v7; Microsoft's own ended 11 August 2025."""

    SECTION: ClassVar[str] = "bing"
    MOST: ClassVar[int] = 150

    requests_per_second: float = field(default=3.0, metadata=OPERATIONAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gbif:
    """Darwin Core archives that GBIF prepared for you (https://www.gbif.org/occurrence/search)."""

    archives: tuple[str, ...] = ()
    """Their addresses, or paths of files on disk."""
    herbarium_sheets: bool = False
    """Also take pictures of preserved specimens; pressed plants look like no living ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plantnet:
    """Pl@ntNet's observations, as a Darwin Core archive from its IPT or from GBIF."""

    archives: tuple[str, ...] = ()
    """Their addresses, or paths of files on disk. At GBIF, the dataset is
    7a3679ef-5582-4aaa-81f0-8c2545cafc81; the automatically identified one has no pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inaturalist:
    """iNaturalist's open data: four tables, tab-separated.

    Not among the default sources: `photos` alone has tens of GB, to be downloaded once a crawl.
    """

    taxa: str = "https://inaturalist-open-data.s3.amazonaws.com/taxa.csv.gz"
    """Address or path of the names."""
    observations: str = "https://inaturalist-open-data.s3.amazonaws.com/observations.csv.gz"
    """Address or path of what was seen; only research grade counts."""
    photos: str = "https://inaturalist-open-data.s3.amazonaws.com/photos.csv.gz"
    """Address or path of the table of pictures."""
    observers: str = "https://inaturalist-open-data.s3.amazonaws.com/observers.csv.gz"
    """Address or path of the people."""
    pictures: str = "https://inaturalist-open-data.s3.amazonaws.com/photos/"
    """Where the pictures themselves are."""
    size: str = "large"
    """Longest side: original (2048), large (1024), medium (500), small (240)."""
    per_species: int = 200
    """Observations of a species to take at most, an even draw from all; 0 takes all."""

    def __post_init__(self) -> None:
        _not_negative("crawler.inaturalist", self, "per_species")
        if self.size not in _SIZES:
            raise ConfigError(
                f"crawler.inaturalist.size is {self.size}, but must be one of {', '.join(_SIZES)}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Eol:
    """Encyclopedia of Life, by its media manifest."""

    manifest: str = "https://eol.org/data/media_manifest.tgz"
    """Address or path of the manifest (about 1 GB)."""
    names: str = "https://eol.org/data/provider_ids.csv.gz"
    """Address or path of the table that gives page ids their names."""
