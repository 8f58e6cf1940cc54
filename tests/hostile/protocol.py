"""Cases of how a server speaks: protocol, floods, statuses, redirects."""

import gzip

from flora.records import KEPT, Refusal
from tests.hostile.case import (
    JPEG,
    Case,
    body,
    endless,
    ever_on,
    fixed,
    group,
    hang_up,
    redirect,
    reset,
    silence,
    three_steps,
)
from tests.hostile.server import http


def protocol() -> list[Case]:
    whole = b"HTTP/1.1 200 OK\r\n"
    chunked = whole + b"Transfer-Encoding: chunked\r\n\r\n"
    return group(
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


def floods() -> list[Case]:
    head = b"HTTP/1.1 200 OK\r\n"
    cookies = [f"Set-Cookie: c{n}={'x' * 100}; Domain=.test" for n in range(100)]
    bomb = gzip.compress(bytes(50_000_000))
    return group(
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


def statuses() -> list[Case]:
    return group(
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


def redirects() -> list[Case]:
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
    return group(
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
