"""Which photograph an address leads to, whatever site lists it and in whatever size.

An id is given only where two addresses surely show the same photograph: an observation's page
may hold several and names none, a photo's page holds one.
"""

import re
import unicodedata
from collections.abc import Callable
from urllib.parse import unquote

COPIERS = ("content.eol.org", "media.eol.org")
"""Hosts that keep copies of others' photographs and name the page each came from."""

THUMBNAIL = (
    r"/photos/[0-9]+/(square|thumb|small)\.|_[sqtm]\.jpg$|plantnet\.org/image/s/"
    r"|/commons/thumb/.*/[1-4]?[0-9]?[0-9]px-"
)
"""Matches addresses of sizes too small to learn from (RE2 and Python read it alike)."""

_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?:[^/?#@]*@)?(?P<host>\[[^\]]*\]|[^/?#:]*)(?::(?P<port>\d*))?"
    r"(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?",
    re.IGNORECASE,
)
_PORTS = {"http": "80", "https": "443"}
_TRACKING = re.compile(r"(?:utm_\w*|fbclid|gclid)(?:=|$)", re.IGNORECASE)

_INATURALIST = re.compile(r"/photos/(\d+)(?:/|$)")
_FLICKR_FILE = re.compile(r"/(\d+)_[0-9a-z]+(?:_\w+)?\.\w+$")
_FLICKR_PAGE = re.compile(r"/photos/[^/]+/(\d+)(?:/|$)")
_PLANTNET = re.compile(r"/image/[a-z]+/([0-9a-f]{32,})(?:\.\w+)?$")
_COMMONS_FILE = re.compile(
    r"/wikipedia/commons/(?:thumb/)?[0-9a-f]/[0-9a-f]{2}/([^/]+)(?:/[^/]+)?$"
)
_COMMONS_PAGE = re.compile(
    r"/wiki/(?:(?:File|Image):|Special:(?:FilePath|Redirect/file)/)(?:File:)?([^/]+)$",
    re.IGNORECASE,
)
_OF_PAGES = (".pdf", ".djvu", ".tif", ".tiff")


def photo_id(url: str, page_url: str | None = None) -> str:
    """Return the id of the photograph at *url*: `inat:123`, `commons:Oak.jpg`, `flickr:9`, ...

    *page_url*, where the source says it is shown, counts for hosts that only keep copies. An
    address of no known home is its own id, less what does not matter in it.
    """
    match = _ADDRESS.match(url)
    if match is None:
        return url
    host = match["host"].lower()
    found = _at_home(host, match["path"])
    if found is None and page_url and host in COPIERS:
        page = _ADDRESS.match(page_url)
        found = page and _at_home(page["host"].lower(), page["path"])
    return found or _bare(host, match)


def _at_home(host: str, path: str) -> str | None:
    """Return the photograph's id if *host* is its home."""
    dotted = f".{host}"
    for end, read in _HOMES.items():
        if dotted.endswith(end):
            return read(host, path)
    return None


def _inaturalist(_host: str, path: str) -> str | None:
    match = _INATURALIST.match(path)
    return match and f"inat:{match[1]}"


def _amazon(host: str, path: str) -> str | None:
    bucket = "inaturalist-open-data"
    if host.startswith(f"{bucket}.s3") or path.startswith(f"/{bucket}/"):
        return _inaturalist(host, path.removeprefix(f"/{bucket}"))
    return None


def _flickr_file(_host: str, path: str) -> str | None:
    match = _FLICKR_FILE.search(path)
    return match and f"flickr:{match[1]}"


def _flickr_page(_host: str, path: str) -> str | None:
    match = _FLICKR_PAGE.match(path)
    return match and f"flickr:{match[1]}"


def _plantnet(_host: str, path: str) -> str | None:
    match = _PLANTNET.match(path)
    return match and f"plantnet:{match[1]}"


def _commons(host: str, path: str) -> str | None:
    match = (_COMMONS_FILE if host.startswith("upload.") else _COMMONS_PAGE).match(path)
    if match is None:
        return None
    name = unicodedata.normalize("NFC", unquote(match[1])).replace(" ", "_").strip("_")
    if not name or name.lower().endswith(_OF_PAGES):  # a book is a file too, of many pictures
        return None
    return f"commons:{name[0].upper()}{name[1:]}"


_HOMES: dict[str, Callable[[str, str], str | None]] = {
    ".inaturalist.org": _inaturalist,
    ".amazonaws.com": _amazon,
    ".staticflickr.com": _flickr_file,
    ".static.flickr.com": _flickr_file,
    ".flickr.com": _flickr_page,
    ".upload.wikimedia.org": _commons,
    ".commons.wikimedia.org": _commons,
    ".commons.m.wikimedia.org": _commons,
    ".bs.plantnet.org": _plantnet,
}


def _bare(host: str, match: re.Match[str]) -> str:
    """Return an address without scheme, default port, tracking and fragment."""
    port, query = match["port"], match["query"]
    if port and port != _PORTS[match["scheme"].lower()]:
        host = f"{host}:{port}"
    if query:
        query = "&".join(part for part in query.split("&") if not _TRACKING.match(part))
    return f"{host}{match['path']}?{query}" if query else f"{host}{match['path']}"
