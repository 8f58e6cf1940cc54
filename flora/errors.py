"""Everything this project raises on purpose, and the exit code each ends in.

FloraError
├── StageError     some units remain; the same command goes on     exit 1
│   ├── DiskFullError                                              exit 1
│   └── LaterError   not today: a quota is used up                 exit 1
├── ConfigError    the reader can mend it: a flag, flora.toml      exit 2
└── ContractError  a file is not what its stage promised           exit 3

A message says where, what, and the way out, in that order.
"""

import errno

COMPLETE = 0
INTERRUPTED = 130


class FloraError(Exception):
    """The root of the tree; never raised itself."""

    exit_code: int = 1


class StageError(FloraError):
    """Work remains: a unit failed, the disk is full, another run holds the folder."""

    exit_code = 1


class DiskFullError(StageError):
    """There is no room left to write to."""


class LaterError(StageError):
    """Work remains that has to wait: a quota of the day is used up. Trying again now is useless."""


class ConfigError(FloraError):
    """A setting or an argument is wrong."""

    exit_code = 2


class ContractError(FloraError):
    """A file is missing, or not what the stage that writes it promised."""

    exit_code = 3


def is_disk_full(error: BaseException) -> bool:
    """Tell "no room" (disk or quota) from every other failure, through wrapped exceptions.

    pyarrow raises its own OSError without an errno, so its wording is looked at too.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and (
            seen.errno in (errno.ENOSPC, errno.EDQUOT)
            or "No space left on device" in str(seen)
            or "Disk quota exceeded" in str(seen)
        ):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
