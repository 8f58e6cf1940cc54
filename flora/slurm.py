"""What SLURM wants to be told of a job, and whether it is here."""

import shutil
from dataclasses import dataclass, field

from flora.config import OPERATIONAL
from flora.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmSettings:
    """The `#SBATCH` lines of every job, be it of Dask's workers or of the trainer's ranks."""

    partition: str = field(default="", metadata=OPERATIONAL)
    """Queue to wait in; SLURM's own choice by default, like the account."""
    account: str = field(default="", metadata=OPERATIONAL)
    """Who pays."""
    time: str = field(default="24:00:00", metadata=OPERATIONAL)
    """Limit of one job. The trainer's goes back to the queue before it, with a checkpoint."""
    interface: str = field(default="", metadata=OPERATIONAL)
    """Network between the nodes, such as ib0; by default the one that routes to the first node."""
    lines: tuple[str, ...] = field(default=(), metadata=OPERATIONAL)
    """Further lines, such as `--cpus-per-task=16`."""

    def __post_init__(self) -> None:
        for line in self.lines:
            if not line.startswith("-") or "\n" in line:
                raise ConfigError(
                    f"cluster.slurm.lines has {line!r}, but each must be an option of sbatch, "
                    'such as "--qos=long".'
                )


def is_here() -> bool:
    """Tell whether jobs can be submitted from this machine."""
    return shutil.which("sbatch") is not None
