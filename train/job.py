"""What the launcher asks of its ranks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from train.config import TrainSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One task on one run, the same for all ranks."""

    task: Literal["train", "evaluate"]
    shards: Path
    """The folder of the shards."""
    folder: Path
    """The folder of the run."""
    settings: TrainSettings
    recipe: str
    """Digest of all that the run is made from; checkpoints of another are never loaded."""
    limit: int | None = None
    """Take only so many pictures of each split."""
