import re

import pytest

from crawler.photos import THUMBNAIL, photo_id

HASH = "0123456789abcdef0123456789abcdef01234567"
COMMONS = "https://upload.wikimedia.org/wikipedia/commons"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://static.inaturalist.org/photos/12/square.jpg?1545345", "inat:12"),
        ("https://inaturalist-open-data.s3.amazonaws.com/photos/12/original.jpeg", "inat:12"),
        ("https://inaturalist-open-data.s3.us-east-1.amazonaws.com/photos/12/large.JPG", "inat:12"),
        ("https://s3.amazonaws.com/inaturalist-open-data/photos/12/medium.jpg", "inat:12"),
        ("https://www.inaturalist.org/photos/12", "inat:12"),
        (f"{COMMONS}/a/ab/Oak_tree.jpg", "commons:Oak_tree.jpg"),
        (f"{COMMONS}/thumb/a/ab/Oak_tree.jpg/1280px-Oak_tree.jpg", "commons:Oak_tree.jpg"),
        ("http://commons.wikimedia.org/wiki/File:oak%20tree.jpg", "commons:Oak_tree.jpg"),
        ("https://commons.wikimedia.org/wiki/Special:FilePath/Oak tree.jpg?width=9",
         "commons:Oak_tree.jpg"),
        (f"{COMMONS}/a/ab/K%C3%B6hler.jpg", "commons:Köhler.jpg"),
        ("https://commons.wikimedia.org/wiki/File:Ko%CC%88hler.jpg", "commons:Köhler.jpg"),
        ("https://live.staticflickr.com/65535/98_0a1b2c_b.jpg", "flickr:98"),
        ("https://farm4.staticflickr.com/3/98_0a1b2c.jpg", "flickr:98"),
        ("http://farm1.static.flickr.com/3/98_0a1b2c_o.jpg", "flickr:98"),
        ("https://www.flickr.com/photos/1@N06/98/in/album-7/", "flickr:98"),
        (f"https://bs.plantnet.org/image/o/{HASH}", f"plantnet:{HASH}"),
        (f"https://bs.plantnet.org/image/m/{HASH}", f"plantnet:{HASH}"),
    ],
)  # fmt: skip
def test_a_photograph_is_known_wherever_it_is_listed(url: str, found: str) -> None:
    assert photo_id(url) == found


@pytest.mark.parametrize(
    "url",
    [
        "https://www.inaturalist.org/observations/12",
        "https://evilinaturalist.org/photos/12/original.jpg",
        "https://other-bucket.s3.amazonaws.com/photos/12/original.jpg",
        "https://s3.amazonaws.com/other-bucket/photos/12/original.jpg",
        "https://static.inaturalist.org/attachments/users/icons/12/medium.jpg",
        "https://www.flickr.com/photos/someone/albums/98",
        "https://live.staticflickr.com/65535/buddyicons/98@N05.jpg",
        f"{COMMONS}/thumb/a/ab/Flora.pdf/page7-1280px-Flora.pdf.jpg",
        f"{COMMONS}/archive/a/ab/20200101000000%21Oak.jpg",
        "https://upload.wikimedia.org/wikipedia/en/a/ab/Oak.jpg",
        "https://commons.wikimedia.org/wiki/Category:Oaks",
        "https://bs.plantnet.org/",
    ],
)
def test_what_may_be_another_photograph_is_its_own(url: str) -> None:
    assert photo_id(url) == url.removeprefix("https://")


def test_a_copy_is_what_it_was_copied_from() -> None:
    copy = "https://content.eol.org/data/media/5b/cf/08/509.178.jpg"
    assert photo_id(copy, "https://www.flickr.com/photos/bhl/98/") == "flickr:98"
    assert photo_id(copy, "https://commons.wikimedia.org/wiki/File:Oak.jpg") == "commons:Oak.jpg"
    bare = "content.eol.org/data/media/5b/cf/08/509.178.jpg"
    for page in (None, "", "no address", "https://www.flickr.com/photos/biodivlibrary/..."):
        assert photo_id(copy, page) == bare
    assert photo_id("https://blog.org/a.jpg", "https://www.flickr.com/photos/bhl/98/") == (
        "blog.org/a.jpg"
    )


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://A.org:80/x.jpg", "a.org/x.jpg"),
        ("https://a.org:443/x.jpg#top", "a.org/x.jpg"),
        ("https://a.org:80/X.jpg", "a.org:80/X.jpg"),
        ("https://a.org/x?id=1&utm_source=y&fbclid=z&size=2", "a.org/x?id=1&size=2"),
        ("https://a.org/x?gclid=1", "a.org/x"),
        ("http://[2001:db8::1]:8080/x", "[2001:db8::1]:8080/x"),
        ("not an address", "not an address"),
    ],
)
def test_an_address_of_no_known_home_is_its_own_id(url: str, found: str) -> None:
    assert photo_id(url) == found


def test_thumbnails_are_told_by_their_address() -> None:
    inat, flickr = "https://static.inaturalist.org/photos/1", "https://live.staticflickr.com/6"
    thumb = f"{COMMONS}/thumb/a/ab/O.jpg"
    for url in (
        f"{inat}/square.jpg?1",
        f"{inat}/small.jpg",
        f"{flickr}/1_ab_q.jpg",
        f"{thumb}/330px-O.jpg",
        "https://bs.plantnet.org/image/s/ab",
    ):
        assert re.search(THUMBNAIL, url), url
    for url in (
        f"{inat}/original.jpg",
        f"{flickr}/1_ab.jpg",
        f"{flickr}/1_ab_b.jpg",
        f"{COMMONS}/a/ab/O.jpg",
        f"{thumb}/960px-O.jpg",
        f"{thumb}/1280px-O.jpg",
    ):
        assert not re.search(THUMBNAIL, url), url
