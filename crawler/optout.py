"""Who does not want this: the ways in which a site says that its pictures are not for training.

Headers: X-Robots-Tag (with noai, noimageai, noindex, noimageindex, noml or none; for everyone
or for us by name), TDMRep's `tdm-reservation` (https://www.w3.org/community/tdmrep/) and
Content-Usage (the IETF's aipref drafts). Files: robots.txt lines Content-Usage and
Content-Signal, /.well-known/tdmrep.json, and an operator's own list.
"""

import fnmatch
import functools
import json
import re
from collections.abc import Iterable
from pathlib import Path

from multidict import CIMultiDictProxy
from yarl import URL

from flora.errors import ConfigError

PRODUCT = "worldflora"
"""Our name in robots.txt and X-Robots-Tag."""

_TAGS = frozenset({"noai", "noimageai", "noindex", "noimageindex", "noml", "none"})
_USES = ("train-ai", "ai-train", "ai", "tdm")
_VALUED = ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")


def in_headers(headers: CIMultiDictProxy[str]) -> bool:
    """Tell whether the *headers* of an answer keep its picture from us."""
    return (
        any(_tagged(value) for value in headers.getall("X-Robots-Tag", ()))
        or headers.get("tdm-reservation", "").strip() == "1"
        or any(_forbids(value) for value in headers.getall("Content-Usage", ()))
    )


def usage_rules(robots: str) -> list[tuple[str, bool]]:
    """Return (path prefix, forbidden) for the usage lines of a robots.txt that concern us.

    A group for us by name counts instead of the one for everyone, as RFC 9309 has it.
    """
    groups: dict[str, list[tuple[str, bool]]] = {}
    agents: list[str] = []
    in_rules = False
    for raw in robots.splitlines():
        key, _, value = (part.strip() for part in raw.partition("#")[0].partition(":"))
        key = key.lower()
        if key == "user-agent":
            agents = [*(() if in_rules else agents), value.lower()]
            in_rules = False
            for agent in agents:
                groups.setdefault(agent, [])
            continue
        in_rules = in_rules or bool(key)
        if key in ("content-usage", "content-signal"):
            path, _, uses = value.partition(" ") if value.startswith("/") else ("/", "", value)
            for agent in agents or ["*"]:
                groups.setdefault(agent, []).append((path, _forbids(uses)))
    return groups.get(PRODUCT, groups.get("*", []))


def tdm_rules(body: bytes) -> list[tuple[str, bool]]:
    """Return (path pattern, reserved) of a tdmrep.json; none if it is not one."""
    try:
        found = json.loads(body)
        return [(str(rule["location"]), rule["tdm-reservation"] == 1) for rule in found]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []


def reserves(rules: Iterable[tuple[str, bool]], path: str) -> bool:
    """Tell what the rule with the longest match says of *path*; nothing said is no."""
    matching = [(len(where), no) for where, no in rules if _matches(where, path)]
    return max(matching)[1] if matching else False


@functools.cache
def listed(file: str) -> "OptOuts":
    """Return the operator's list in *file*. Raises ConfigError if it cannot be read."""
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"crawler.opt_out: {file} cannot be read ({error}).") from error
    return OptOuts(line.strip() for line in lines)


class OptOuts:
    """Hosts (`example.org`, with all below it) and URL patterns (`https://*.org/private/*`)."""

    def __init__(self, lines: Iterable[str]) -> None:
        entries = [line for line in lines if line and not line.startswith("#")]
        self._hosts = {entry.lower().removeprefix("*.") for entry in entries if "/" not in entry}
        self._urls = [
            re.compile(fnmatch.translate(entry if "://" in entry else f"*://{entry}"))
            for entry in entries
            if "/" in entry
        ]

    def hold(self, url: URL) -> bool:
        """Tell whether *url* is on the list."""
        labels = (url.host or "").split(".")
        if any(".".join(labels[i:]) in self._hosts for i in range(len(labels))):
            return True
        return any(pattern.match(str(url)) for pattern in self._urls)


def _tagged(value: str) -> bool:
    """Read one X-Robots-Tag: `noai, noindex`, or `somebot: noai`, which may be us."""
    ours = True
    for part in value.lower().split(","):
        name, colon, rest = part.strip().partition(":")
        if colon and name.strip() not in _VALUED:
            ours, part = name.strip() in (PRODUCT, "*"), rest
        if ours and part.strip() in _TAGS:
            return True
    return False


def _forbids(uses: str) -> bool:
    """Tell whether `train-ai=n, search=y` forbids training."""
    for use in re.split(r"[,;]", uses.lower()):
        key, _, value = (part.strip() for part in use.partition("="))
        if key in _USES and value in ("n", "no", "?0"):
            return True
    return False


def _matches(where: str, path: str) -> bool:
    """Match *path* as robots.txt does: a prefix, with `*` for anything and `$` for the end."""
    ends = where.endswith("$")
    pattern = ".*".join(re.escape(piece) for piece in where.removesuffix("$").split("*"))
    return re.match(pattern + ("$" if ends else ""), path) is not None
