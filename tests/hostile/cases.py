"""The corpus: what servers do to crawlers, and what must become of each."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from flora.records import KEPT, Refusal
from tests.conftest import encode, picture, pixels
from tests.hostile import files
from tests.hostile.server import RULES, Answer, Visit, http

JPEG = files.jpeg()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that a server does. Its host is `<name>.test`."""

    name: str
    group: str
    answer: Answer
    expected: str
    why: str = ""
    """Where the outcome was a decision."""
    url: str = ""
    """`{witness}` stands for the port at which nobody may knock; default: the host's /a."""
    robots: Answer | None = None
    tdmrep: Answer | None = None
    system_dns: tuple[str, ...] = ()
    """What the system's resolver says for the host of the case (`<name>.example`)."""
    staged: bool = False
    """Whether it needs a name server of its own."""

    @property
    def host(self) -> str:
        return f"{self.name.replace('_', '-')}.{'example' if self.system_dns else 'test'}"

    def address(self, witness: int) -> str:
        default = f"http://{self.host}:{witness}/a" if self.system_dns else f"http://{self.host}/a"
        return (self.url or default).replace("{witness}", str(witness))

    def answers(self) -> dict[str, Answer]:
        found = {self.host: self.answer}
        for path, answer in zip(RULES, (self.robots, self.tdmrep), strict=True):
            if answer is not None:
                found[self.host + path] = answer
        return found


def fixed(data: bytes) -> Answer:
    """Return an answer of exactly these bytes; `{witness}` in them is filled in."""

    async def answer(visit: Visit) -> None:
        await visit.send(data.replace(b"{witness}", str(visit.witness).encode()))

    return answer


def body(data: bytes, *headers: str, status: str = "200 OK") -> Answer:
    return fixed(http(data, *headers, status=status))


def endless(start: bytes, block: bytes, pause: float = 0.0) -> Answer:
    async def answer(visit: Visit) -> None:
        await visit.send(start)
        while True:
            await visit.send(block)
            await asyncio.sleep(pause)

    return answer


async def silence(_visit: Visit) -> None:
    await asyncio.sleep(3600)


async def hang_up(visit: Visit) -> None:
    visit.writer.close()


def reset(data: bytes) -> Answer:
    async def answer(visit: Visit) -> None:
        await visit.send(data)
        visit.writer.transport.abort()

    return answer


def redirect(to: str, status: str = "302 Found") -> Answer:
    return body(b"", f"Location: {to}", status=status)


async def ever_on(visit: Visit) -> None:
    """Redirect from each number to the next."""
    number = int(visit.path.strip("/a") or 0) + 1
    await visit.send(http(b"", f"Location: /a{number}", status="302 Found"))


async def three_steps(visit: Visit) -> None:
    step = {"/a": "b", "/b": "//three-steps.test/c", "/c": "http://three-steps.test:8080/d"}
    to = step.get(visit.path)
    await visit.send(http(b"", f"Location: {to}", status="301 Moved") if to else http(JPEG))


async def path_seen(visit: Visit) -> None:
    """Answer with a picture where the path has stayed within bounds."""
    safe = not any(part in visit.path for part in ("/../..", "\0", "\\", "#", " ", "\r", "\n"))
    await visit.send(http(JPEG) if safe else http(b"", status="418 Unsafe"))


def cases() -> Iterator[Case]:
    """Yield the whole corpus. Files of some megabytes are made here, so call it once."""
    yield from _protocol()
    yield from _floods()
    yield from _statuses()
    yield from _redirects()
    yield from _addresses()
    yield from _dns()
    yield from _urls()
    yield from _robots()
    yield from _bombs()
    yield from _broken()
    yield from _two_things()
    yield from _odd_but_honest()
    yield from _no_pictures()


def _group(group: str, *rows: tuple[str, Answer, str] | tuple[str, Answer, str, str]) -> list[Case]:
    return [
        Case(name=row[0], group=group, answer=row[1], expected=str(row[2]), why="".join(row[3:]))
        for row in rows
    ]


def _protocol() -> list[Case]:
    whole = b"HTTP/1.1 200 OK\r\n"
    chunked = whole + b"Transfer-Encoding: chunked\r\n\r\n"
    return _group(
        "protocol",
        ("never_answers", silence, Refusal.TIMEOUT),
        ("hangs_up", hang_up, Refusal.CONNECTION),
        ("speaks_http_0_9", fixed(JPEG), Refusal.CONNECTION),
        ("speaks_ssh", fixed(b"SSH-2.0-OpenSSH_9.6\r\n"), Refusal.CONNECTION),
        ("speaks_zeros", fixed(bytes(5000)), Refusal.CONNECTION),
        ("half_a_status_line", fixed(b"HTTP/1.1 20"), Refusal.CONNECTION),
        ("a_status_of_five_digits", fixed(b"HTTP/1.1 20000 OK\r\n\r\n"), Refusal.CONNECTION),
        ("reset_in_the_head", reset(whole), Refusal.CONNECTION),
        ("reset_in_the_body", reset(http(JPEG)[:4000]), Refusal.CONNECTION),
        ("promises_more_than_it_sends", body(JPEG, f"Content-Length: {len(JPEG) + 9}"),
         Refusal.CONNECTION),
        ("sends_more_than_it_promises", body(JPEG, f"Content-Length: {len(JPEG) // 2}"),
         Refusal.CONNECTION, "whoever sends on after the end may mean it as another answer"),
        ("two_lengths", body(JPEG, f"Content-Length: {len(JPEG)}", "Content-Length: 5"),
         Refusal.CONNECTION),
        ("a_negative_length", body(JPEG, "Content-Length: -5"), Refusal.CONNECTION),
        ("length_and_chunks", fixed(whole + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
         b"\r\n5\r\nhello\r\n0\r\n\r\n"), Refusal.CONNECTION, "a smuggler's favourite"),
        ("no_length", fixed(whole + b"Connection: close\r\n\r\n" + JPEG), KEPT),
        ("chunk_sizes_of_no_number", fixed(chunked + b"xyz\r\nhello\r\n"), Refusal.CONNECTION),
        ("a_chunk_of_exabytes", fixed(chunked + b"ffffffffffffffffff\r\nhello"),
         Refusal.CONNECTION),
        ("a_negative_chunk", fixed(chunked + b"-5\r\nhello\r\n0\r\n\r\n"), Refusal.CONNECTION),
        ("chunks_without_end", fixed(chunked + b"5\r\nhello\r\n"), Refusal.CONNECTION),
        ("honest_chunks", fixed(chunked + b"%x\r\n" % len(JPEG) + JPEG + b"\r\n0\r\n\r\n"), KEPT),
        ("a_header_without_colon", fixed(whole + b"nonsense\r\n\r\n" + JPEG), Refusal.CONNECTION),
        ("a_folded_header", fixed(http(JPEG, "X-Fold: a\r\n  b")), KEPT,
         "obsolete since RFC 7230, and unfolded by it"),
        ("a_nul_in_a_header", body(JPEG, "X-Nul: a\0b"), Refusal.CONNECTION),
        ("headers_in_latin_1", body(JPEG, "X-Name: Caf\xe9"), KEPT),
        ("lies_about_its_type", body(JPEG, "Content-Type: text/html"), KEPT,
         "bytes are believed, headers are not"),
        ("gzip_that_nobody_asked_for", body(gzip.compress(JPEG), "Content-Encoding: gzip"),
         Refusal.NOT_AN_IMAGE, "we ask for identity and unpack nothing"),
        ("an_encoding_in_name_only", body(JPEG, "Content-Encoding: gzip"), KEPT),
    )  # fmt: skip


def _floods() -> list[Case]:
    head = b"HTTP/1.1 200 OK\r\n"
    cookies = [f"Set-Cookie: c{n}={'x' * 100}; Domain=.test" for n in range(100)]
    bomb = gzip.compress(bytes(50_000_000))
    return _group(
        "floods",
        ("one_byte_at_a_time", endless(http(b"", "Content-Length: 9999"), b"\xff", 0.1),
         Refusal.TIMEOUT),
        ("one_header_byte_at_a_time", endless(head + b"X-Slow: ", b"z", 0.1), Refusal.TIMEOUT),
        ("an_endless_body", endless(head + b"\r\n" + JPEG[:20], bytes(65_536)), Refusal.TOO_BIG),
        ("endless_chunks", endless(head + b"Transfer-Encoding: chunked\r\n\r\n",
         b"10000\r\n" + bytes(65_536) + b"\r\n"), Refusal.TOO_BIG),
        ("an_endless_chunk_extension", endless(
            head + b"Transfer-Encoding: chunked\r\n\r\n5;", b"x" * 4096), Refusal.TIMEOUT,
         "read over, not kept"),
        ("a_length_of_terabytes", body(JPEG, "Content-Length: 5000000000000"), Refusal.TOO_BIG),
        ("endless_headers", endless(head, b"X-More: and more\r\n"), Refusal.CONNECTION),
        ("an_endless_header", endless(head + b"X-Long: ", b"z" * 4096), Refusal.CONNECTION),
        ("an_endless_status_line", endless(b"HTTP/1.1 200 ", b"K" * 4096), Refusal.CONNECTION),
        ("a_header_of_a_megabyte", body(JPEG, f"X-Big: {'z' * 1_000_000}"), Refusal.CONNECTION),
        ("ten_thousand_headers", body(JPEG, *(f"X-{n}: {n}" for n in range(10_000))),
         Refusal.CONNECTION),
        ("a_hundred_cookies", body(JPEG, *cookies), KEPT, "read over and forgotten"),
        ("endless_continues", endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
         Refusal.TIMEOUT),
        ("a_gzip_bomb", body(bomb, "Content-Encoding: gzip"), Refusal.NOT_AN_IMAGE),
        ("a_brotli_claim", body(b"\xcf\xff\xff\x7f", "Content-Encoding: br"),
         Refusal.NOT_AN_IMAGE),
    )  # fmt: skip


def _statuses() -> list[Case]:
    return _group(
        "statuses",
        ("no_content", fixed(b"HTTP/1.1 204 No Content\r\n\r\n"), Refusal.EMPTY),
        ("no_content_with_content", body(JPEG, status="204 No Content"), Refusal.CONNECTION,
         "bytes where none may be"),
        ("a_part_that_is_the_whole", body(JPEG, status="206 Partial Content"), Refusal.HTTP_4XX,
         "we asked for no part"),
        ("not_modified", fixed(b"HTTP/1.1 304 Not Modified\r\n\r\n"), Refusal.REDIRECTS),
        ("not_modified_with_content", body(JPEG, status="304 Not Modified"), Refusal.CONNECTION,
         "bytes where none may be"),
        ("switches_protocols", body(b"", "Upgrade: x", status="101 Switching"),
         Refusal.HTTP_4XX, "we asked for no other"),
        ("an_error_with_a_picture", body(JPEG, status="404 Not Found"), Refusal.NOT_FOUND,
         "a placeholder"),
        ("status_999", body(JPEG, status="999 Denied"), Refusal.HTTP_5XX),
        ("too_many_requests_for_ever", body(b"", status="429 Slow"), Refusal.RATE_LIMITED),
        ("retry_after_a_year", body(b"", "Retry-After: 31536000", status="429 Slow"),
         Refusal.RATE_LIMITED, "it asks for more patience than we have: one request"),
        ("retry_after_a_negative_time", body(b"", "Retry-After: -5", status="429 Slow"),
         Refusal.RATE_LIMITED),
        ("retry_after_garbage", body(b"", "Retry-After: soon", status="429 Slow"),
         Refusal.RATE_LIMITED),
        ("retry_after_nan", body(b"", "Retry-After: nan", status="503 Down"), Refusal.HTTP_5XX),
        ("retry_after_infinity", body(b"", "Retry-After: inf", status="503 Down"),
         Refusal.HTTP_5XX),
        ("retry_after_the_year_9999", body(
            b"", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", status="503 Down"),
         Refusal.HTTP_5XX),
        ("retry_after_the_year_99999", body(
            b"", "Retry-After: Fri, 31 Dec 99999 23:59:59 GMT", status="503 Down"),
         Refusal.HTTP_5XX),
        ("noai_in_capitals", body(JPEG, "X-ROBOTS-TAG: NoAI"), Refusal.OPTED_OUT),
        ("noai_for_our_name", body(JPEG, "X-Robots-Tag: worldflora: noai"), Refusal.OPTED_OUT),
        ("noai_in_a_second_header", body(JPEG, "X-Robots-Tag: all", "X-Robots-Tag:noimageai"),
         Refusal.OPTED_OUT),
        ("noai_between_commas", body(JPEG, "X-Robots-Tag: ,, noarchive ,noai,,"),
         Refusal.OPTED_OUT),
        ("a_tag_in_latin_1", body(JPEG, "X-Robots-Tag: \xe9\xe8"), KEPT),
    )  # fmt: skip


def _redirects() -> list[Case]:
    targets = {
        "to_a_file": ("file:///etc/passwd", Refusal.BAD_URL),
        "to_data": ("data:image/png;base64,iVBORw0KGgo=", Refusal.BAD_URL),
        "to_ftp": ("ftp://to-ftp.test/a", Refusal.BAD_URL),
        "to_javascript": ("javascript:alert(1)", Refusal.BAD_URL),
        "to_gopher": ("gopher://127.0.0.1:{witness}/_GET", Refusal.BAD_URL),
        "to_credentials": ("http://user:word@x.test/a", Refusal.BAD_URL),
        "to_a_host_behind_an_at": ("http://x.test@127.0.0.1:{witness}/a", Refusal.BAD_URL),
        "to_nowhere": ("", Refusal.REDIRECTS),
        "to_itself": ("/a", Refusal.REDIRECTS),
        "to_port_0": ("http://x.test:0/", Refusal.BAD_URL),
        "to_port_99999": ("http://x.test:99999/", Refusal.BAD_URL),
        "to_broken_brackets": ("http://[::1/", Refusal.BAD_URL),
        "to_broken_punycode": ("http://xn--zzzzzz999.test/", Refusal.BAD_URL),
        "to_latin_1": ("http://caf\xe9\xff.test/", Refusal.BAD_URL),
        "to_a_long_url": ("/" + "a" * 15_000, Refusal.REDIRECTS),
        "to_a_backslash": ("http://x.test\\@127.0.0.1:{witness}/", Refusal.BAD_URL),
        "to_three_slashes": ("http:///127.0.0.1:{witness}/", Refusal.REDIRECTS),
    }
    rows = [(name, redirect(to), status) for name, (to, status) in targets.items()]
    return _group(
        "redirects",
        *rows,
        ("a_long_chain", ever_on, Refusal.REDIRECTS),
        ("three_steps", three_steps, KEPT, "other ports and hosts are fine if public"),
        ("a_redirect_without_location", body(b"", status="302 Found"), Refusal.REDIRECTS),
        ("a_redirect_with_two_locations", body(
            b"", "Location: http://127.0.0.1:{witness}/", "Location: /b", status="302 Found"),
         Refusal.FORBIDDEN_ADDRESS),
        ("a_refresh_header", body(b"", "Refresh: 0; url=http://127.0.0.1:{witness}/"),
         Refusal.EMPTY),
    )  # fmt: skip


INSIDE = {
    "loopback": "127.0.0.1",
    "loopback_next_door": "127.9.8.7",
    "loopback_in_short": "127.1",
    "loopback_in_decimal": "2130706433",
    "loopback_in_hex": "0x7f000001",
    "loopback_in_octal": "0177.0.0.1",
    "loopback_in_mixed_numbers": "0x7f.0.1",
    "loopback_in_full_width": "１２７.0.0.1",
    "loopback_in_circles": "①②⑦.⓪.⓪.①",
    "loopback_with_ideographic_dots": "127。0。0。1",
    "loopback_as_ipv6": "[::1]",
    "loopback_with_a_zone": "[::1%25lo]",
    "loopback_mapped": "[::ffff:127.0.0.1]",
    "loopback_mapped_in_hex": "[::ffff:7f00:1]",
    "loopback_compatible": "[::127.0.0.1]",
    "loopback_by_nat64": "[64:ff9b::7f00:1]",
    "loopback_by_local_nat64": "[64:ff9b:1::7f00:1]",
    "loopback_by_6to4": "[2002:7f00:1::]",
    "nothing": "0.0.0.0",
    "nothing_in_short": "0",
    "nothing_as_ipv6": "[::]",
    "metadata": "169.254.169.254",
    "metadata_in_decimal": "2852039166",
    "metadata_as_ipv6": "[fd00:ec2::254]",
    "metadata_mapped": "[::ffff:169.254.169.254]",
    "private_10": "10.0.0.1",
    "private_172": "172.16.0.1",
    "private_192": "192.168.1.1",
    "carrier_nat": "100.64.0.1",
    "link_local_ipv6": "[fe80::1]",
    "unique_local": "[fc00::1]",
    "broadcast": "255.255.255.255",
    "multicast": "224.0.0.1",
    "multicast_ipv6": "[ff02::1]",
    "documentation": "192.0.2.1",
    "localhost": "localhost",
}
"""Ways to write addresses that are none of our business."""


def _addresses() -> Iterator[Case]:
    for name, address in INSIDE.items():
        location = f"Location: http://{address}:{{witness}}/a".encode()
        yield Case(
            name=f"to_{name}",
            group="addresses",
            answer=fixed(
                http(b"", "Location: @", status="307 Go").replace(b"Location: @", location)
            ),
            expected=Refusal.FORBIDDEN_ADDRESS,
        )
    for name in ("loopback", "loopback_as_ipv6", "loopback_in_decimal", "metadata"):
        url = f"http://{INSIDE[name]}:{{witness}}/a"
        yield Case(name=f"listed_{name}", group="addresses", answer=body(JPEG), url=url,
                   expected=Refusal.FORBIDDEN_ADDRESS)  # fmt: skip
    for name, address, status in (
        ("loopback_with_a_dot", "127.0.0.1.", Refusal.CONNECTION),  # no canonical address
        ("localhost_with_a_dot", "localhost.", Refusal.FORBIDDEN_ADDRESS),
    ):
        yield Case(name=f"listed_{name}", group="addresses", answer=body(JPEG), expected=status,
                   url=f"http://{address}:{{witness}}/a",
                   staged=address == "localhost.")  # fmt: skip


def _dns() -> Iterator[Case]:
    inside = {
        "dns_to_loopback": "127.0.0.1",
        "dns_to_private": "10.1.2.3",
        "dns_to_metadata": "169.254.169.254",
        "dns_to_loopback_ipv6": "::1",
        "dns_to_mapped": "::ffff:127.0.0.1",
        "dns_to_nat64": "64:ff9b::7f00:1",
        "dns_to_link_local_with_zone": "fe80::1%lo",
        "dns_to_nonsense": "not an address",
    }
    for name, address in inside.items():
        yield Case(name=name, group="dns", answer=body(JPEG), system_dns=(address,), staged=True,
                   expected=Refusal.FORBIDDEN_ADDRESS)  # fmt: skip


def _urls() -> Iterator[Case]:
    urls = {
        "dots": ("/../../../etc/passwd", KEPT),
        "encoded_dots": ("/%2e%2e/%2e%2e/etc/passwd", KEPT),
        "encoded_slashes": ("/..%2f..%2fetc%2fpasswd", KEPT),
        "an_encoded_nul": ("/a%00.jpg", KEPT),
        "a_nul": ("/a\0.jpg", KEPT),
        "backslashes": ("/..\\..\\windows\\win.ini", KEPT),
        "no_utf_8": ("/%ff%fe%fd.jpg", KEPT),
        "half_an_escape": ("/a%2", KEPT),
        "a_fragment": ("/a#../../etc/passwd", KEPT),
        "spaces": ("/a b  c.jpg", KEPT),
        "a_newline": ("/a\r\nHost: evil.test\r\n\r\n", KEPT),
        "an_encoded_newline": ("/a%0d%0aX-Evil:%201", KEPT),
        "other_scripts": ("/植物/ромашка.jpg?q=ñ", KEPT),
        "a_long_path": ("/" + "a" * 50_000, KEPT),
        "a_long_name": ("/" + "n" * 300 + ".jpg", KEPT),
        "a_query_that_is_a_path": ("/a?file=/etc/passwd", KEPT),
    }
    for name, (path, status) in urls.items():
        case = Case(name=f"a_url_with_{name}", group="urls", answer=path_seen, expected=str(status))
        yield Case(name=case.name, group="urls", answer=path_seen, expected=str(status),
                   url=f"http://{case.host}{path}")  # fmt: skip
    for name, url, status in (
        ("no_url", "nonsense", Refusal.BAD_URL),
        ("an_empty_host", "http:///a", Refusal.BAD_URL),
        ("a_host_of_dots", "http://.../a", Refusal.DNS),
        ("a_label_of_70", f"http://{'a' * 70}.invalid/a", Refusal.DNS),
        ("a_host_in_capitals", "HTTP://A-HOST-IN-CAPITALS.TEST/a", KEPT),
        ("a_file_url", "file:///etc/passwd", Refusal.BAD_URL),
    ):
        yield Case(name=name, group="urls", answer=body(JPEG), url=url, expected=str(status),
                   staged=status == Refusal.DNS)  # fmt: skip


def _robots() -> Iterator[Case]:
    rules = "User-agent: *\nDisallow: /a\n"
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    for name, robots, status, why in (
        ("robots_say_no", body(rules.encode()), Refusal.ROBOTS, ""),
        ("robots_without_end", endless(head + rules.encode(), b"# more\n" * 1000),
         Refusal.ROBOTS, "read up to 500 KiB, and what was read holds"),
        ("robots_that_say_no_beyond_500_kib", body(b"#\n" * 300_000 + rules.encode()), KEPT,
         "RFC 9309: rules beyond need not be read"),
        ("robots_in_circles", redirect("/robots.txt"), KEPT, "RFC 9309: taken as absent"),
        ("robots_inside", redirect("http://127.0.0.1:{witness}/robots.txt"),
         Refusal.FORBIDDEN_ADDRESS, "not asked"),
        ("robots_in_a_file", redirect("file:///etc/passwd"), KEPT, "taken as absent"),
        ("robots_of_bytes", body(bytes(range(256)) * 400), KEPT, "no rule in it"),
        ("robots_that_are_a_picture", body(JPEG), KEPT, "no rule in it"),
        ("robots_in_utf_16", body(rules.encode("utf-16")), KEPT, "RFC 9309 has UTF-8 only"),
        ("robots_after_a_bom", body(b"\xef\xbb\xbf" + rules.encode()), Refusal.ROBOTS, ""),
        ("robots_that_never_answer", silence, Refusal.TIMEOUT, ""),
        ("robots_behind_an_error", body(b"", status="500 Down"), Refusal.ROBOTS_UNREACHABLE, ""),
        ("robots_forbidden", body(b"", status="403 No"), KEPT, "RFC 9309: 4xx is absent"),
        ("robots_zipped", body(gzip.compress(rules.encode()), "Content-Encoding: gzip"),
         Refusal.ROBOTS, ""),
        ("robots_that_are_a_gzip_bomb", body(gzip.compress(bytes(50_000_000)),
         "Content-Encoding: gzip"), KEPT, "read up to 500 KiB"),
        ("robots_with_a_catastrophic_pattern", body(
            b"User-agent: *\nDisallow: /" + b"*a" * 200 + b"b$\n"), KEPT, ""),
        ("robots_with_a_delay_of_a_year", body(b"User-agent: *\nCrawl-delay: 31536000\n"),
         Refusal.HOST_DOWN, "it asks for more patience than we have"),
        ("robots_with_a_delay_of_nan", body(b"User-agent: *\nCrawl-delay: nan\n"), KEPT, ""),
        ("robots_with_a_negative_delay", body(b"User-agent: *\nCrawl-delay: -5\n"), KEPT, ""),
    ):  # fmt: skip
        yield Case(name=name, group="robots", answer=body(JPEG), robots=robots,
                   expected=str(status), why=why)  # fmt: skip

    for name, tdmrep, status, why in (
        ("tdmrep_of_bytes", body(bytes(range(256))), KEPT, "taken as absent"),
        ("tdmrep_too_deep", body(b"[" * 400_000), KEPT, "taken as absent"),
        ("tdmrep_without_end", endless(head + b"[", b'{"location": "/", ' * 1000), KEPT,
         "read up to 500 KiB, and that is no JSON"),
        ("tdmrep_in_circles", redirect("/.well-known/tdmrep.json"), KEPT, "taken as absent"),
        ("tdmrep_with_a_great_number", body(b'[{"location": "/a", "tdm-reservation": %s}]'
         % (b"9" * 10_000)), KEPT, "taken as absent"),
    ):  # fmt: skip
        yield Case(name=name, group="robots", answer=body(JPEG), tdmrep=tdmrep,
                   expected=str(status), why=why)  # fmt: skip


def _bombs() -> list[Case]:
    much = Refusal.TOO_MANY_PIXELS
    flat = encode(Image.new("L", (9000, 8000)), "PNG")
    rgba = encode(Image.new("RGBA", (4990, 4990)), "PNG")
    progressive = encode(Image.new("RGB", (5000, 3200)), "JPEG", progressive=True, subsampling=0)
    too_progressive = files.claiming(progressive, 7000, 7000)
    return _group(
        "bombs",
        ("a_jpeg_of_65535_x_65535", body(files.claiming(JPEG, 65_535, 65_535)), much),
        ("a_png_of_65535_x_65535", body(files.png_claiming(65_535, 65_535)), much),
        ("a_png_of_2_147_483_647", body(files.png_claiming(2**31 - 1, 2**31 - 1)), much),
        ("a_gif_of_65535_x_65535", body(files.gif_claiming(65_535, 65_535)), much),
        ("a_gif_with_a_frame_beyond", body(files.gif_with_a_big_frame()), much),
        ("a_webp_of_16384_x_16384", body(files.webp_claiming(16_384, 16_384)), much),
        ("a_png_of_nothing_in_30000_x_30000", body(files.png_claiming(30_000, 30_000)), much),
        ("a_png_of_72_grey_megapixels", body(flat), KEPT, "a byte a pixel"),
        ("a_png_of_25_megapixels", body(rgba), KEPT, "just within what a decoder may hold"),
        ("a_progressive_jpeg_of_16_megapixels", body(progressive), KEPT, "just within"),
        ("a_progressive_jpeg_of_49_megapixels", body(too_progressive), much,
         "coefficients of the whole picture, six bytes a pixel"),
        ("a_webp_of_12_megapixels", body(encode(Image.new("RGB", (4000, 3000)), "WEBP")), much,
         "its decoder takes 17 bytes a pixel"),
        ("a_jpeg_of_500_scans", body(files.many_scans((1500, 1000), 500)), Refusal.CORRUPT),
        ("a_png_of_packed_text", body(files.text_bomb()), Refusal.CORRUPT),
        ("a_png_of_20_packed_texts", body(files.text_bomb(chunks=20)), Refusal.CORRUPT),
        ("a_png_with_a_packed_profile", body(files.text_bomb(b"iCCP")), Refusal.CORRUPT),
        ("a_jpeg_of_a_ribbon", body(files.jpeg(size=(65_000, 70), quality=30)), KEPT),
        ("a_png_of_a_ribbon", body(encode(Image.new("RGB", (70, 300_000)), "PNG")), KEPT),
        ("a_jpeg_of_100_000_segments", body(
            JPEG[:2] + files.segment(0xEF, b"") * 100_000 + JPEG[2:]), Refusal.CORRUPT),
        ("a_gif_of_a_long_comment", body(
            encode(pixels(1), "GIF", comment=b"x" * 500_000)), KEPT),
    )  # fmt: skip


def _broken() -> list[Case]:
    progressive = files.jpeg(progressive=True)
    png, webp, gif = (encode(pixels(1, (400, 300)), kind) for kind in ("PNG", "WEBP", "GIF"))
    return _group(
        "broken",
        ("zero_bytes", body(b""), Refusal.EMPTY),
        ("one_byte", body(b"\xff"), Refusal.NOT_AN_IMAGE),
        ("only_a_jpeg_header", body(JPEG[:20]), Refusal.CORRUPT),
        ("only_a_png_header", body(png[:8]), Refusal.CORRUPT),
        ("only_a_webp_header", body(webp[:12]), Refusal.CORRUPT),
        ("only_a_gif_header", body(gif[:6]), Refusal.CORRUPT),
        ("half_a_jpeg", body(files.cut(JPEG)), Refusal.CORRUPT),
        ("half_a_progressive_jpeg", body(files.cut(progressive)), Refusal.CORRUPT),
        ("half_a_png", body(files.cut(png)), Refusal.CORRUPT),
        ("half_a_webp", body(files.cut(webp)), Refusal.CORRUPT),
        ("half_a_gif", body(files.cut(gif)), Refusal.CORRUPT),
        ("a_jpeg_with_a_false_end", body(files.cut(JPEG) + b"\xff\xd9"), Refusal.CORRUPT),
        ("a_jpeg_ended_between_scans", body(files.one_scan(progressive)), Refusal.CORRUPT,
         "every byte of it is right, and most of the picture is missing"),
        ("a_jpeg_without_its_last_byte", body(JPEG[:-1]), Refusal.CORRUPT),
        ("a_zeroed_jpeg", body(files.zeroed(JPEG, 9000)), Refusal.CORRUPT),
        ("a_zeroed_progressive_jpeg", body(files.zeroed(progressive, len(progressive) - 8000)),
         Refusal.CORRUPT),
        ("a_spliced_jpeg", body(files.spliced(JPEG, 9000, files.jpeg(7))), Refusal.CORRUPT),
        ("a_jpeg_of_no_components", body(files.jpeg().replace(b"\x03\x01\x22", b"\x00\x01\x22")),
         Refusal.CORRUPT),
        ("a_jpeg_of_no_height", body(files.claiming(JPEG, 480, 0)), Refusal.TOO_SMALL),
        ("a_png_with_a_wrong_sum", body(png[:60] + b"\0\0\0\0" + png[64:]), Refusal.CORRUPT),
        ("random_bytes_after_a_jpeg_start", body(JPEG[:3] + picture(9)[900:3000]),
         Refusal.CORRUPT),
    )  # fmt: skip


def _two_things() -> list[Case]:
    harmless = "metadata; no byte of it is ever run or served"
    page = b"<html><script>alert(1)</script></html>"
    gif = encode(pixels(1), "GIF")
    return _group(
        "two things at once",
        ("a_jpeg_and_a_zip", body(JPEG + files.archive()), Refusal.POLYGLOT,
         "opens as an archive"),
        ("a_gif_and_a_jar", body(gif + files.archive()), Refusal.POLYGLOT,
         "GIFAR: opens as a program"),
        ("a_jpeg_and_a_pdf", body(files.commented(JPEG, b"%PDF-1.7\n")), Refusal.POLYGLOT),
        ("a_jpeg_with_a_page_in_its_comment", body(files.commented(JPEG, page)), KEPT, harmless),
        ("a_jpeg_with_php_in_its_comment", body(
            files.commented(JPEG, b"<?php system($_GET['c']); ?>")), KEPT, harmless),
        ("a_gif_that_is_a_script", body(b"GIF89a/*" + page + b"*/=1;"), Refusal.CORRUPT),
        ("a_page_behind_a_jpeg_start", body(b"\xff\xd8\xff" + page), Refusal.CORRUPT),
        ("a_jpeg_with_bytes_behind_its_end", body(JPEG + bytes(1000) + b"tail"), KEPT,
         "cameras write there too"),
        ("two_jpegs_in_one", body(JPEG + files.jpeg(2)), KEPT,
         "so are stereo pictures stored; the first counts"),
        ("a_jpeg_with_a_thumbnail", body(
            JPEG[:2] + files.segment(0xE1, b"Exif\0\0" + picture(3)) + JPEG[2:]), KEPT),
        ("a_png_with_bytes_behind_its_end", body(files.png() + b"tail"), KEPT),
    )  # fmt: skip


def _odd_but_honest() -> list[Case]:
    cmyk = encode(files.photograph().convert("CMYK"), "JPEG")
    clear = pixels(1, files.SIZE).convert("P")
    return _group(
        "odd but honest",
        ("a_cmyk_jpeg", body(cmyk), KEPT),
        ("a_ycck_jpeg", body(files.ycck()), KEPT),
        ("a_grey_jpeg", body(encode(files.photograph().convert("L"), "JPEG")), KEPT),
        ("a_progressive_jpeg", body(files.jpeg(progressive=True)), KEPT),
        ("a_jpeg_with_restarts", body(files.jpeg(restart_marker_rows=1)), KEPT),
        ("a_jpeg_on_its_side", body(files.rotated()), KEPT),
        ("a_png_of_16_bits", body(encode(files.deep(), "PNG")), KEPT),
        ("a_png_of_1_bit", body(encode(pixels(1, files.SIZE).convert("1"), "PNG")), KEPT),
        ("a_png_with_a_clear_palette", body(encode(clear, "PNG", transparency=3)), KEPT),
        ("a_png_with_alpha", body(encode(pixels(1, files.SIZE).convert("RGBA"), "PNG")), KEPT),
        ("an_animated_gif", body(files.animated("GIF")), KEPT, "its first frame"),
        ("an_animated_webp", body(files.animated("WEBP")), KEPT, "its first frame"),
        ("an_animated_png", body(files.animated("PNG")), KEPT, "its first frame"),
        ("a_lossless_webp", body(encode(pixels(1, files.SIZE), "WEBP", lossless=True)), KEPT),
        ("a_tracking_pixel", body(encode(Image.new("P", (1, 1)), "GIF")), Refusal.TOO_SMALL),
    )  # fmt: skip


def _no_pictures() -> list[Case]:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>'
    doctype = b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + svg
    small = pixels(1, files.SIZE)
    contents = {
        "html": b"<!doctype html><title>Not found</title>",
        "an_svg": svg,
        "an_svg_with_entities": b'<?xml version="1.0"?>' + doctype,
        "json": json.dumps({"error": "gone"}).encode(),
        "a_bmp": encode(small, "BMP"),
        "a_tiff": encode(small, "TIFF"),
        "an_ico": encode(small, "ICO"),
        "an_avif": files.box(b"avif"),
        "a_heic": files.box(b"heic"),
        "a_jpeg_2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(500),
        "a_zip": files.archive(),
        "an_elf": b"\x7fELF" + bytes(500),
        "a_jpeg_after_a_blank": b"\n" + JPEG,
    }
    rows = [(name, body(data, "Content-Type: image/jpeg"), Refusal.NOT_AN_IMAGE)
            for name, data in contents.items()]  # fmt: skip
    return _group("no pictures", *rows)
