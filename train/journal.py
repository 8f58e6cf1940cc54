"""What a run tells while it trains: metrics.jsonl, TensorBoard's events, a line on the screen."""

import json
import time
from pathlib import Path
from typing import Any

from flora.console import Progress, clock
from flora.ledger import publish
from flora.tally import Totals
from train.events import Events


class Journal:
    """metrics.jsonl: one line of figures for every few steps; and the same for TensorBoard.

    The lines travel in the checkpoint too, so the files never tell of steps that were lost.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self.events = folder / "metrics.jsonl", Events(folder)
        self.lines: list[dict[str, Any]] = []

    def begin(self, lines: list[dict[str, Any]]) -> None:
        """Start from *lines*, whatever the file holds."""
        self.lines = lines
        with publish(self.path) as draft:
            draft.write_text("".join(_text(line) for line in lines), encoding="utf-8")
        self.events.begin(lines)

    def add(self, line: dict[str, Any]) -> None:
        """Write one more line."""
        self.lines.append(line)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_text(line))
        self.events.add(line)


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
        for name, label in (("data_wait", "data"), ("exchange", "ranks")):
            if self.figures.get(name):
                parts.append(f"{self.figures[name]:.0%} waiting for {label}")
        fresh = self.step - self._first
        if fresh > 0 and self.step < self.total:
            parts.append(f"{clock(seconds / fresh * (self.total - self.step))} left")
        return ", ".join([*parts, clock(seconds)])


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"
