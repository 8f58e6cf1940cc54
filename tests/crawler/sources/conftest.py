import pytest

from crawler import sources
from tests.crawler.sources.engine import KEY


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for source in sources.BY_NAME.values():
        for name in source.KEYS:
            monkeypatch.setenv(name, KEY)
    for name in ("WORLDFLORA_OPENVERSE_ID", "WORLDFLORA_OPENVERSE_SECRET"):
        monkeypatch.delenv(name, raising=False)
