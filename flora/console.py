"""What a person sees while it runs: one line of progress a stage, and plain sentences.

People read stderr. On a terminal the line is redrawn; elsewhere (a log file, SLURM's output)
a new one is written every ten seconds.
"""

import sys
import threading
import time
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:  # it comes with distributed, which not everyone who speaks needs
    from flora.tally import Totals

_PERIOD_LINES = 10.0
_PERIOD_TERMINAL = 0.25

_console = Console(stderr=True, highlight=False, soft_wrap=True)


_drawing = threading.RLock()  # stages may run side by side
_lines: dict[int, str] = {}
"""The lines of progress on the terminal, by the Progress that draws each."""


def say(text: str) -> None:
    """Write *text* for the person at the screen."""
    with _drawing:
        _erase()
        _console.print(text, markup=False)
        _draw()


def show(text: str) -> None:
    """Write *text* as the result of a command, to stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def size(count: float) -> str:
    """Return *count* bytes as people say it: `3.2 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def clock(seconds: float) -> str:
    """Return a duration as `1:02:03` or `2:03`."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


class Progress:
    """The line of one stage: units done, rows and bytes a second, refusals, time left."""

    def __init__(self, stage: str, totals: "Totals") -> None:
        self.stage = stage
        self.totals = totals
        self._start = self._last = time.monotonic()
        self._first_unit = totals.units_done

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_error: object) -> None:
        self._write(self.line(), final=True)

    def due(self) -> bool:
        """Tell whether it is time to show where the stage stands."""
        period = _PERIOD_TERMINAL if _console.is_terminal else _PERIOD_LINES
        return time.monotonic() - self._last >= period

    def tick(self) -> None:
        """Show where the stage stands."""
        self._last = time.monotonic()
        self._write(self.line(), final=False)

    def line(self) -> str:
        """Return the line as it would be shown now."""
        totals, seconds = self.totals, max(time.monotonic() - self._start, 1e-3)
        refused = sum(totals.refused.values())
        of = f" of {size(totals.todo)}" if totals.todo else ""
        parts = [
            f"{self.stage}: {totals.units_done}/{totals.units} units",
            f"{totals.rows:,} rows ({totals.rows / seconds:,.0f}/s)",
            f"{size(totals.bytes)}{of} ({size(totals.bytes / seconds)}/s)",
        ]
        if refused:
            reasons = ", ".join(f"{n:,} {why}" for why, n in totals.refused.most_common(3))
            parts.append(f"{refused:,} refused ({reasons})")
        fresh = totals.units_done - self._first_unit
        if totals.left and totals.units_done < totals.units:
            lane, left = next(iter(totals.left.items()))
            parts.append(f"{clock(left)} left at least, for {lane}")
        elif 0 < totals.bytes < totals.todo:
            parts.append(f"{clock(seconds / totals.bytes * (totals.todo - totals.bytes))} left")
        elif fresh > 0 and totals.units_done < totals.units:
            left = seconds / fresh * (totals.units - totals.units_done)
            parts.append(f"{clock(left)} left")
        return ", ".join([*parts, clock(seconds)])

    def _write(self, line: str, *, final: bool) -> None:
        if not _console.is_terminal:
            say(line)
            return
        with _drawing:
            _erase()
            _lines.pop(id(self), None)
            if final:
                _console.file.write(line + "\n")
            else:
                _lines[id(self)] = line[: _console.width - 1]
            _draw()


def _erase() -> None:
    """Take the lines of progress off the terminal, the cursor at the start of the first."""
    if _lines:
        up = f"\x1b[{len(_lines) - 1}A" if len(_lines) > 1 else ""
        _console.file.write(f"\r{up}\x1b[J")


def _draw() -> None:
    if _lines:
        _console.file.write("\n".join(_lines.values()))
        _console.file.flush()
