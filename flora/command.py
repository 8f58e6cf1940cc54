"""A stage's front door: the flags all share, and what a mistake looks like."""

import argparse
import contextlib
import ctypes
import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from flora import config
from flora.console import say
from flora.errors import COMPLETE, INTERRUPTED, FloraError, StageError, is_disk_full

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The flags all stages share."""

    data: Path = Path("data")
    config: Path | None = None
    sets: tuple[str, ...] = ()
    limit: int | None = None
    dry_run: bool = False
    cluster: str = "local"
    verbose: bool = False

    def settings(self, section: str, cls: type[T]) -> T:
        """Return the settings of *section*, from the file and the `--set` flags."""
        return config.load(section, cls, self.config, self.sets)


def parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with the flags all stages share."""
    flags = argparse.ArgumentParser(prog=f"python -m {prog}", description=description)
    add = flags.add_argument
    add("--data", type=Path, default=Path("data"), help="folder of all tables and packs (data)")
    add("--config", type=Path, help="settings file (./flora.toml where there is one)")
    add("--set", dest="sets", action="append", default=[], metavar="SECTION.KEY=VALUE",
        help="override one setting; may be repeated")  # fmt: skip
    add("--limit", type=_positive, metavar="N", help="take only the first N (a trial run)")
    add("--dry-run", action="store_true", help="print the settings, what would run, and why")
    add(
        "--cluster", default="local", help="local (default), slurm, or a scheduler's tcp:// address"
    )
    add("-v", "--verbose", action="store_true", help="show tracebacks")
    return flags


def options(args: argparse.Namespace) -> Options:
    """Return the shared flags out of *args*."""
    shared = {name: getattr(args, name) for name in Options.__dataclass_fields__}
    return replace(Options(), **{**shared, "sets": tuple(args.sets), "data": args.data.absolute()})


def guard(body: Callable[[], None], *, verbose: bool = False) -> int:
    """Run *body* and return the exit code it earns; a user's mistake is one sentence."""
    signal.signal(signal.SIGTERM, _interrupt)
    if "MAKELEVEL" in os.environ:
        end_with_parent(signal.SIGTERM)
    try:
        body()
    except KeyboardInterrupt:
        say("Interrupted. Nothing is lost: the same command goes on.")
        return INTERRUPTED
    except FloraError as error:
        if verbose:
            say(traceback.format_exc())
        say(f"Error: {error}")
        return error.exit_code
    except OSError as error:
        if not is_disk_full(error):
            raise
        if verbose:
            say(traceback.format_exc())
        say(f"Error: the disk is full or a quota is used up ({error.filename or 'while writing'}). "
            "Make room; the same command goes on.")  # fmt: skip
        return StageError.exit_code
    return COMPLETE


def end_with_parent(number: signal.Signals) -> None:
    """Have the kernel send *number* to this process when its parent ends (Linux).

    Without it a killed `make` or launcher leaves its children working, unseen.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, int(number))  # 1 = PR_SET_PDEATHSIG, prctl(2)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _positive(text: str) -> int:
    number = int(float(text))
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number
