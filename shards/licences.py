"""What the licences of pictures are called elsewhere, and which let us show a picture.

A picture's licence is in one spelling where its source's words were understood (`CC BY-SA 4.0`,
`CC0 1.0`, `Public domain`), and else in those words.
"""

import re

SHOWN = r"CC0 1\.0|Public domain|CC BY(-SA)?( \d\.\d)?( [A-Z]+)?"
"""Licences of pictures that a contact sheet may show, with a credit."""

_CREATIVE = re.compile(r"CC (BY[A-Z-]*) (\d\.\d)(?: ([A-Z]+))?")
_DEEDS = "https://creativecommons.org"
_HUB = re.compile(
    r"cc0-1\.0|cc-by-(2\.0|2\.5|3\.0|4\.0)|cc-by-sa-[34]\.0|cc-by-nc-[234]\.0|cc-by-nd-4\.0"
    r"|cc-by-nc-nd-[34]\.0|cc-by-nc-sa-[234]\.0"
)
"""The ids of Creative Commons licences there; it does not know all of them."""


def hub(licence: str | None) -> str:
    """Return the id that Hugging Face's dataset cards have for *licence*; `other` for none."""
    name = (licence or "").lower().replace(" ", "-")
    return name if _HUB.fullmatch(name) else "other"


def deed(licence: str | None) -> str | None:
    """Return the address of what *licence* says; None where we know of none."""
    if licence == "CC0 1.0":
        return f"{_DEEDS}/publicdomain/zero/1.0/"
    if licence == "Public domain":
        return f"{_DEEDS}/publicdomain/mark/1.0/"
    if match := _CREATIVE.fullmatch(licence or ""):
        terms, version, port = match.groups()
        place = f"{port.lower()}/" if port else ""
        return f"{_DEEDS}/licenses/{terms.lower()}/{version}/{place}"
    return None
