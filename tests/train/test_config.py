from typing import Any

import pytest

from flora.errors import ConfigError
from train.config import FullSettings, HeadSettings, TrainSettings


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"image_size": 0}, "image_size"),
        ({"batch_size": 0}, "batch_size"),
        ({"ranks": -1}, "ranks"),
        ({"dropout": 1.0}, "dropout"),
        ({"label_smoothing": -0.1}, "label_smoothing"),
        ({"checkpoint_seconds": float("nan")}, "checkpoint_seconds"),
        ({"cosine": -1.0}, "cosine"),
        ({"negatives": 0.0}, "negatives"),
        ({"reader": "tar"}, "reader"),
        ({"deterministic": True, "negatives": 0.5}, "deterministic"),
        ({"deterministic": True, "reader": "webdataset"}, "deterministic"),
        ({"head": HeadSettings(lr=0.0)}, "head.lr"),
        ({"full": FullSettings(smallest_crop=0.0)}, "full.smallest_crop"),
        ({"head": HeadSettings(epochs=0), "full": FullSettings(epochs=0)}, "head.epochs"),
    ],
)
def test_a_wrong_setting_is_named(wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=f"train.{name}"):
        TrainSettings(**wrong)
