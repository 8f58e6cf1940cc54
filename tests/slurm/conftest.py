from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm import box


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """These take minutes, root and a SLURM: they are for who asks for them by name."""
    return None if any("slurm" in argument for argument in config.args) else True


@pytest.fixture(scope="session")
def slurm() -> Iterator[None]:
    """A SLURM of four nodes, which sbatch and its like speak to meanwhile."""
    why = box.obstacle()
    if why:
        pytest.skip(why)
    with box.cluster() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield
