from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crawler.config import CrawlerSettings
from dedup.config import DedupSettings
from flora import config
from flora.cluster import ClusterSettings
from flora.config import OPERATIONAL, digest, load
from flora.errors import ConfigError
from shards.config import ShardSettings
from train.config import TrainSettings

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    depth: float = 1.0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    count: int = 3
    inner: Inner = field(default_factory=Inner)
    workers: int = field(default=2, metadata=OPERATIONAL)


def settings(tmp_path: Path, text: str, *sets: str) -> Outer:
    file = tmp_path / "flora.toml"
    file.write_text(text, encoding="utf-8")
    return load("train", Outer, file, sets)


def test_a_file_and_then_the_flags_override_defaults(tmp_path: Path) -> None:
    found = settings(tmp_path, "[train]\ncount = 5\n[train.inner]\ndepth = 2\n",
                     "train.inner.names=['a', 'b']", "train.count=7", "dedup.radius=1")  # fmt: skip
    assert found == Outer(count=7, inner=Inner(depth=2.0, names=("a", "b")))


@pytest.mark.parametrize(
    ("text", "sets", "message"),
    [
        ("[train]\ncuont = 1", (), "did you mean train.count"),
        ("[trian]\ncount = 1", (), "did you mean train"),
        ("", ("train.inner.dept=1",), "did you mean train.inner.depth"),
        ("", ("train.count=many",), "must be of type int"),
        ("", ("train.count=true",), "must be of type int"),
        ("", ("count=1",), "section.key=value"),
        ("[train", (), "is not TOML"),
    ],
)
def test_a_mistake_is_named_with_the_way_out(
    tmp_path: Path, text: str, sets: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(tmp_path, text, *sets)


def test_an_absent_file_is_an_error_only_if_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load("train", Outer) == Outer()
    with pytest.raises(ConfigError, match=r"no\.toml"):
        load("train", Outer, tmp_path / "no.toml")


def test_operational_settings_do_not_change_the_recipe() -> None:
    assert digest(Outer(workers=9)) == digest(Outer())
    assert digest(Outer(count=9)) != digest(Outer())


@pytest.mark.parametrize(
    ("section", "cls"),
    [
        ("cluster", ClusterSettings),
        ("crawler", CrawlerSettings),
        ("dedup", DedupSettings),
        ("shards", ShardSettings),
        ("train", TrainSettings),
    ],
)
def test_flora_toml_spells_out_every_default(section: str, cls: type) -> None:
    contact = ("crawler.contact=someone@example.org",)
    written = load(section, cls, ROOT / "flora.toml", contact)
    kwargs = {"contact": "someone@example.org"} if section == "crawler" else {}
    assert written == cls(**kwargs)
    text = (ROOT / "flora.toml").read_text(encoding="utf-8")
    keys = [line.partition(" =")[0] for line in config.show(written, section).splitlines()]
    for key in keys:
        assert key in text, f"{section}: {key} is not in flora.toml"
