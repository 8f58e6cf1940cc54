import re

import pytest

from crawler.licences import KNOWN, normalise


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("CC-BY-NC", "CC BY-NC"),
        ("cc-by-nc-sa-3.0", "CC BY-NC-SA 3.0"),
        ("CC BY-SA 4.0", "CC BY-SA 4.0"),
        ("CC_BY_NC_4_0", "CC BY-NC 4.0"),
        ("by-sa 4.0", "CC BY-SA 4.0"),
        ("by", "CC BY"),
        ("http://creativecommons.org/licenses/by-nc/4.0/", "CC BY-NC 4.0"),
        ("http://creativecommons.org/licenses/by-nc/4.0/legalcode", "CC BY-NC 4.0"),
        ("https://creativecommons.org/licenses/by-sa/3.0/de/deed.en", "CC BY-SA 3.0 DE"),
        ("CC BY-SA 3.0 de", "CC BY-SA 3.0 DE"),
        ("CC BY 4.0 by Jane", "CC BY 4.0"),
        ("CC BY-SA 4.0,3.0,2.5,2.0,1.0", "CC BY-SA 4.0"),
        ("CC-BY-SA-3.0-migrated", "CC BY-SA 3.0"),
        ("Creative Commons Attribution-NonCommercial 4.0 International", "CC BY-NC 4.0"),
        ("Attribution-NonCommercial-ShareAlike License", "CC BY-NC-SA"),
        ("Attribution-NoDerivs License", "CC BY-ND"),
        ("(c) Jane, some rights reserved (CC BY-NC-ND)", "CC BY-NC-ND"),
        ("CC BY (https://creativecommons.org/licenses/by/4.0/)", "CC BY 4.0"),
        ("cc0", "CC0 1.0"),
        ("CC0_1_0", "CC0 1.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0"),
        ("Creative Commons CC0 1.0 Universal Public Domain Dedication", "CC0 1.0"),
        ("no rights reserved", "CC0 1.0"),
        ("cc-publicdomain", "Public domain"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "Public domain"),
        ("pd", "Public domain"),
        ("United States Government Work", "Public domain"),
        ("© Jane, all rights reserved", "All rights reserved"),
        ("All Rights Reserved.", "All rights reserved"),
    ],
)
def test_a_licence_has_one_spelling(text: str, found: str) -> None:
    assert normalise(text) == found
    assert normalise(found) == found
    assert re.match(KNOWN, found)


@pytest.mark.parametrize(
    "text",
    [
        "GFDL",
        "Attribution",
        "Free for use in class",
        "Photo by SA Smith",
        "No known copyright restrictions",
        "CC BY or CC BY-NC",
        "CC0 for data, all rights reserved for pictures",
    ],
)
def test_text_that_names_no_licence_or_two_is_kept(text: str) -> None:
    assert normalise(text) == text
    assert not re.match(KNOWN, text)


def test_no_text_is_no_licence() -> None:
    assert normalise(None) is normalise("") is normalise("  ") is None
