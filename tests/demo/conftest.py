from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from demo.web import Web
from demo.world import World, build

SMALL = {"species": 6, "pictures": 60, "seed": 7}


class Visitor:
    """Asks the web as a crawler would that connects every *.test to one address."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.session = requests.Session()

    def get(self, url: str, **headers: str) -> requests.Response:
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return self.session.get(
            f"http://{self.web.address}{parts.path}{query}",
            headers={"Host": parts.netloc, "User-Agent": "test (+me@example.org)", **headers},
            allow_redirects=False,
            timeout=10,
        )


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("world"), **SMALL)


@pytest.fixture
def visitor(world: World) -> Iterator[Visitor]:
    with Web(world) as web:
        visitor = Visitor(web)
        with visitor.session:
            yield visitor


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of labelled photographs, one hybrid among them; they are drawn, but who can tell."""
    from demo.plants import draw
    from demo.species import FLORA

    folder = tmp_path_factory.mktemp("photos")
    for name, species in zip(("Bellis perennis", "Rosa × alba"), FLORA, strict=False):
        (folder / name).mkdir()
        for seed in range(3):
            draw(species, seed).save(folder / name / f"{seed}.jpg")
    return folder
