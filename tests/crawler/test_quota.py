import json
from pathlib import Path

import pytest

from crawler import quota
from crawler.quota import Quota
from flora.errors import ContractError, LaterError


def test_a_days_requests_are_counted_and_then_refused_until_the_next_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota, "today", lambda: "2026-11-23")
    own = Quota(tmp_path / "openverse.json", 2)
    assert own.left() == 2
    own.spend()
    own.spend()
    assert own.left() == 0
    with pytest.raises(LaterError, match=r"openverse: the 2 requests a day .* until 00:00 UTC"):
        own.spend()
    monkeypatch.setattr(quota, "today", lambda: "2026-11-24")
    assert own.left() == 2
    own.spend()
    assert own.left() == 1
    assert own.spent().ever == 3


def test_a_count_survives_a_restart(tmp_path: Path) -> None:
    Quota(tmp_path / "quota" / "a.json", 5).spend()
    assert Quota(tmp_path / "quota" / "a.json", 5).left() == 4


def test_without_a_limit_requests_are_counted_all_the_same(tmp_path: Path) -> None:
    own = Quota(tmp_path / "a.json", 0)
    for _ in range(10):
        own.spend()
    assert own.left() is None
    assert own.spent().ever == 10


def test_engines_share_one_purse_for_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dear = Quota(tmp_path / "dear.json", 0, price=0.3, purse=1.0)
    cheap = Quota(tmp_path / "cheap.json", 0, price=0.1, purse=1.0)
    free = Quota(tmp_path / "free.json", 0, purse=1.0)
    dear.spend()
    dear.spend()
    monkeypatch.setattr(quota, "today", lambda: "2027-01-01")
    for _ in range(4):
        cheap.spend()
    assert (dear.left(), cheap.left(), free.left()) == (0, 0, None)
    assert quota.dollars(tmp_path) == pytest.approx(1.0)
    with pytest.raises(LaterError, match=r"cheap: the 1\.00 dollars of crawler\.dollars are spent"):
        cheap.spend()
    free.spend()


def test_what_is_no_count_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"days": 3}))
    with pytest.raises(ContractError, match=r"a\.json: not a count of requests"):
        Quota(tmp_path / "a.json", 5).spend()
