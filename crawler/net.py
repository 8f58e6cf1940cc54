"""Connections: one session a worker, and no way inside.

Every address a host name resolves to is checked before it is connected to, by the resolver
itself, so there is no moment between check and use. Address literals never reach a resolver;
`check_url` looks at those, on the first request and on every redirect.
"""

import fnmatch
import ipaddress
import socket
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from crawler.config import CrawlerSettings

_DNS_SECONDS = 600
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
_RELAYS = ipaddress.ip_network("192.88.99.0/24")  # 6to4 relays, RFC 7526
_NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in (
        "::/96",  # IPv4-compatible, RFC 4291
        "64:ff9b:1::/48",  # local NAT64, RFC 8215
        "fec0::/10",  # site-local, RFC 3879
        "3fff::/20",  # documentation, RFC 9637
        "5f00::/16",  # segment routing, RFC 9602
    )
]
"""What Python 3.11's `is_global` does not know of."""


class ForbiddenAddressError(OSError):
    """A name or URL leads to an address that a crawler has no business with."""


class BadUrlError(ValueError):
    """No http(s) URL that a picture could be behind."""


class Resolver(AbstractResolver):
    """Resolves names to public addresses only, and `connect_to` patterns to what they say."""

    def __init__(self, connect_to: dict[str, str]) -> None:
        self._connect_to = connect_to
        self._system = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of *host*. Raises ForbiddenAddressError if none is public."""
        target = _matching(host, self._connect_to)
        if target is not None:
            address, _, to_port = target.rpartition(":")
            return [_result(host, address.strip("[]"), int(to_port))]
        found = await self._system.resolve(host, port, family)
        public = [result for result in found if is_public(result["host"])]
        if not public:
            raise ForbiddenAddressError(f"{host} leads to {found[0]['host'] if found else 'none'}")
        return public

    async def close(self) -> None:
        """Release the system's resolver."""
        await self._system.close()


def session(settings: CrawlerSettings) -> aiohttp.ClientSession:
    """Return a session with our resolver, user agent and deadlines; keep-alive, cached DNS.

    The caller closes it. Connections a host are bounded by its `Host`, not here.
    """
    connector = aiohttp.TCPConnector(
        resolver=Resolver(settings.net.connect_to), limit=0, ttl_dns_cache=_DNS_SECONDS
    )
    return aiohttp.ClientSession(
        connector=connector,
        headers={"User-Agent": settings.user_agent},
        timeout=aiohttp.ClientTimeout(total=settings.net.timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=16_384,
        max_field_size=16_384,
    )


def check_url(text: str, base: URL | None = None) -> URL:
    """Return *text* (relative to *base*) as a URL that may be asked for.

    Raises BadUrlError for other schemes, credentials and nonsense, ForbiddenAddressError for
    an address literal that is not public.
    """
    try:
        text.encode()  # a Location header may hold any bytes
        url = base.join(URL(text)) if base else URL(text)
        host, port = url.host, url.port
    except ValueError as error:
        raise BadUrlError(str(error)) from error
    if url.scheme not in ("http", "https") or not host or not port or url.user or url.password:
        raise BadUrlError(text[:200])
    if _is_literal(host) and not is_public(host):
        raise ForbiddenAddressError(host)
    return url.with_fragment(None)


async def read(
    answer: aiohttp.ClientResponse,
    limit: int,
    taken: Callable[[int], Awaitable[None]] | None = None,
) -> bytes:
    """Return the first *limit* bytes of the body of *answer*, and ask for no more.

    *taken* is awaited with the size of each piece; while it waits, nothing more is read.
    """
    pieces, size = [], 0
    async for piece in answer.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if taken is not None:
            await taken(len(piece))
        if size >= limit:
            answer.close()
            break
    return b"".join(pieces)[:limit]


def is_public(address: str) -> bool:
    """Tell whether *address* is on the public internet, through every way of wrapping IPv4."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if any(ip in network for network in _NOT_PUBLIC):
            return False
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, None))[1]
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    elif ip in _RELAYS:
        return False
    return ip.is_global and not ip.is_multicast


def _is_literal(host: str) -> bool:
    """Tell an address from a name, also in the shorthand that C libraries take (127.1, 0x7f.1)."""
    try:
        socket.inet_aton(host)
        return True
    except OSError:
        return ":" in host


def _matching(host: str, patterns: dict[str, str]) -> str | None:
    for pattern, target in patterns.items():
        if fnmatch.fnmatch(host, pattern):
            return target
    return None


def _result(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST,
    )
