import pytest

from crawler.candidates import Candidate, canonical, number, plain, table
from flora.records import Tier


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("HTTP://A.org/x.jpg#top", "http://a.org/x.jpg"),
        (" https://a.org/x y.jpg?b=1 ", "https://a.org/x%20y.jpg?b=1"),
        ("https://a.org:443/x", "https://a.org/x"),
        ("data:image/png;base64,AAAA", None),
        ("//a.org/x", None),
        ("http://[broken", None),
        ("None", None),
    ],
)
def test_an_address_has_one_form_or_none(url: str, found: str | None) -> None:
    assert canonical(url) == found


def test_text_from_a_server_becomes_one_plain_line() -> None:
    assert plain('<a href="x">Jane\n &amp; <b>John</b></a>\x07') == "Jane & John"
    assert plain("x" * 9999) == "x" * 500
    assert plain(None) is plain(7) is plain("") is None


def test_only_numbers_are_sizes() -> None:
    assert number(640) == 640
    assert number("640") is number(-1) is number(2**40) is None


def test_a_table_knows_each_photograph_and_its_licence() -> None:
    (row,) = table(
        [
            Candidate(
                url="https://content.eol.org/1.jpg",
                species_id="s1",
                query="Quercus robur",
                source="eol",
                tier=Tier.EXPERT,
                page_url="https://www.flickr.com/photos/x/7",
                licence="cc-by-nc-3.0",
            )
        ]
    ).to_pylist()
    assert (row["photo_id"], row["tier"], row["licence"]) == ("flickr:7", "expert", "CC BY-NC 3.0")
