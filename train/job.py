"""What the launcher asks of its ranks, and how it asks them to stop."""

import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from train.config import TrainSettings
from train.trial import Trial

STOPPED = 75
"""Exit code of a run that stopped when asked to: "try again later" in sysexits.h."""


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
    trial: Trial = field(default_factory=Trial)
    """What an evaluation is about."""


class Stopped(Exception):  # no error: it is what was asked for
    """The run stopped when asked to, with a checkpoint; the same command goes on from there."""


def listen() -> None:
    """Take SIGUSR1 as the wish that the run stop at its next step, as SLURM sends it."""
    signal.signal(signal.SIGUSR1, lambda *_: _wish.set())


def is_asked_to_stop() -> bool:
    """Tell whether that wish has come to this process."""
    return _wish.is_set()


_wish = threading.Event()
