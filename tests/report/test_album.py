import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from flora.packs import Packs
from flora.pictures import rgb
from report import database
from report.album import Album
from tests import dataset
from tests.conftest import encode, picture, pixels


def test_a_large_picture_is_shown_small_and_in_its_proportions(tmp_path: Path) -> None:
    dataset.write(tmp_path, species=1, each=1, pictures=[picture(1, (1200, 800))])
    with database.opened(tmp_path) as db, Packs(tmp_path / "images") as packs:
        (image_id,) = db.execute("SELECT image_id FROM images").fetchone() or ()
        shown = Album(db, packs, [image_id]).show(image_id, "An oak")
    data = shown.partition("base64,")[2].partition('"')[0]
    with Image.open(io.BytesIO(base64.b64decode(data))) as small:
        assert small.size == (168, 112)
    assert 'alt="An oak"' in shown


@pytest.mark.parametrize(("kind", "size"), [("JPEG", (300, 200)), ("PNG", (1200, 800))])
def test_only_a_jpeg_is_read_at_a_smaller_scale(kind: str, size: tuple[int, int]) -> None:
    found = rgb(encode(pixels(1, (1200, 800)), kind), 168)
    assert found.shape == (size[1], size[0], 3)
