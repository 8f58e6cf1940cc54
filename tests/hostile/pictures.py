"""Cases of what the bytes are: bombs, broken files, polyglots, oddities."""

import json

from PIL import Image

from flora.records import KEPT, Refusal
from tests.conftest import encode, picture, pixels
from tests.hostile import files
from tests.hostile.case import JPEG, Case, body, group


def bombs() -> list[Case]:
    much = Refusal.TOO_MANY_PIXELS
    flat = encode(Image.new("L", (9000, 8000)), "PNG")
    rgba = encode(Image.new("RGBA", (4990, 4990)), "PNG")
    progressive = encode(Image.new("RGB", (5000, 3200)), "JPEG", progressive=True, subsampling=0)
    too_progressive = files.claiming(progressive, 7000, 7000)
    return group(
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


def broken() -> list[Case]:
    progressive = files.jpeg(progressive=True)
    png, webp, gif = (encode(pixels(1, (400, 300)), kind) for kind in ("PNG", "WEBP", "GIF"))
    return group(
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


def two_things() -> list[Case]:
    harmless = "metadata; no byte of it is ever run or served"
    page = b"<html><script>alert(1)</script></html>"
    gif = encode(pixels(1), "GIF")
    return group(
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


def odd_but_honest() -> list[Case]:
    cmyk = encode(files.photograph().convert("CMYK"), "JPEG")
    clear = pixels(1, files.SIZE).convert("P")
    return group(
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


def no_pictures() -> list[Case]:
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
    return group("no pictures", *rows)
