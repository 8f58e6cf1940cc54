"""Cases of where a URL leads: addresses, names, paths, and what robots.txt says of it."""

import gzip
from collections.abc import Iterator

from flora.records import KEPT, Refusal
from tests.hostile.case import JPEG, Case, body, endless, fixed, path_seen, redirect, silence
from tests.hostile.server import http

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


def addresses() -> Iterator[Case]:
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


def dns() -> Iterator[Case]:
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


def urls() -> Iterator[Case]:
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


def robots() -> Iterator[Case]:
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
