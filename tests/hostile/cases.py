"""The corpus: what servers do to crawlers, and what must become of each."""

from collections.abc import Iterator

from tests.hostile import pictures, places, protocol
from tests.hostile.case import Case


def cases() -> Iterator[Case]:
    """Yield the whole corpus. Files of some megabytes are made here, so call it once."""
    for group in (
        protocol.protocol,
        protocol.floods,
        protocol.statuses,
        protocol.redirects,
        places.addresses,
        places.dns,
        places.urls,
        places.robots,
        pictures.bombs,
        pictures.broken,
        pictures.two_things,
        pictures.odd_but_honest,
        pictures.no_pictures,
    ):
        yield from group()
