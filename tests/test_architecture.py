import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STAGES = {"crawler", "dedup", "shards", "train", "evaluate", "report"}
MAY_USE = {
    "torch": {"train"},
    "timm": {"train"},
    "torchvision": {"train"},
    "dask": {"flora/cluster.py"},
    "dask_jobqueue": {"flora/cluster.py"},
    "distributed": {
        "flora/cluster.py",
        "flora/dashboard.py",
        "flora/job.py",
        "flora/stage.py",
        "flora/tally.py",
    },
}


def modules() -> list[Path]:
    folders = (*sorted(STAGES), "flora", "demo")
    return [path for name in folders for path in sorted((ROOT / name).rglob("*.py"))]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_stage_imports_flora_and_itself_and_no_other_stage(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    tops = {name.partition(".")[0] for name in imports(path)}
    if package == "flora":
        assert not tops & (STAGES | {"demo"})
    elif package != "demo":  # the demo runs the stages, by their settings and front doors
        assert tops & (STAGES | {"demo"}) <= {package}
    else:
        doors = {f"{stage}.{door}" for stage in STAGES for door in ("__main__", "config")}
        assert {name for name in imports(path) if name.partition(".")[0] in STAGES} <= doors


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_packages_stay_in_their_rooms(path: Path) -> None:
    place = str(path.relative_to(ROOT))
    for name in imports(path):
        allowed = MAY_USE.get(name.partition(".")[0])
        assert allowed is None or place in allowed or place.partition("/")[0] in allowed
