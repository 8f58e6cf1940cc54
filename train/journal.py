"""What a run tells while it trains: metrics.jsonl, and one line on the screen."""

import json
import time
from pathlib import Path
from typing import Any

from flora.console import Progress, clock
from flora.ledger import publish
from flora.tally import Totals


class Journal:
    """metrics.jsonl: one line of figures for every few steps.

    The lines travel in the checkpoint too, so the file never tells of steps that were lost.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[dict[str, Any]] = []

    def begin(self, lines: list[dict[str, Any]]) -> None:
        """Start from *lines*, whatever the file holds."""
        self.lines = lines
        with publish(self.path) as draft:
            draft.write_text("".join(_text(line) for line in lines), encoding="utf-8")

    def add(self, line: dict[str, Any]) -> None:
        """Write one more line."""
        self.lines.append(line)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_text(line))


class Watch(Progress):
    """The line on the screen: where a phase stands, how fast, how well, how long still."""

    def __init__(self, phase: str, epochs: int, total: int, step: int) -> None:
        super().__init__(f"train {phase}", Totals())
        self.epochs, self.total = epochs, total
        self._begin, self._first, self.step = time.monotonic(), step, step
        self.images = 0.0
        self.figures: dict[str, Any] = {}

    def line(self) -> str:
        """Return the line as it would be shown now."""
        seconds = max(time.monotonic() - self._begin, 1e-3)
        epoch = min(self.step * self.epochs // self.total + 1, self.epochs)
        parts = [
            f"{self.stage}: epoch {epoch}/{self.epochs}",
            f"{self.images / seconds:,.0f} images/s",
        ]
        for name, label in (("loss", "loss"), ("train_top1", "top-1"), ("val_top1", "val top-1")):
            if name in self.figures:
                parts.append(f"{label} {self.figures[name]:.3f}")
        fresh = self.step - self._first
        if fresh > 0 and self.step < self.total:
            parts.append(f"{clock(seconds / fresh * (self.total - self.step))} left")
        return ", ".join([*parts, clock(seconds)])


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"
