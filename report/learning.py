"""The chapters of the model: how it learnt, and what it knows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from report import figures
from report.page import Chapter, Html, beside, chapter, figure, table, tag

_MEASURES = {
    "top1": "first guess right (top-1)",
    "top5": "among five guesses (top-5)",
    "mrr": "mean reciprocal rank (MRR)",
    "macro_top1": "top-1, mean over species",
}
_PHASES = {"head": "last layer alone", "full": "all layers"}
_CURVES = {
    "train_top1": "training, top-1",
    "val_top1": "validation, top-1",
    "val_top5": "validation, top-5",
}


def training(run: Path | None) -> Chapter:
    """Return the curves of the run."""
    lines = _lines(run / "metrics.jsonl") if run else []
    if run is None or not lines:
        return chapter("training", "Training", "No model has been trained yet.")
    steps: list[int] = []
    phases: dict[str, int] = {}
    for line in lines:  # every phase counts its steps from 1
        phase = _PHASES.get(line["phase"], line["phase"])
        begin = phases.setdefault(phase, steps[-1] if steps else 0)
        steps.append(begin + line["step"])
    curves = {
        label: [(step, line[name]) for step, line in zip(steps, lines, strict=True) if name in line]
        for name, label in {"loss": "loss", **_CURVES}.items()
    }
    loss = figures.course("Loss", {"loss": curves.pop("loss")}, phases)
    hits = figures.course("Accuracy", curves, phases, per_cent=True)
    return chapter(
        "training",
        "Training",
        beside(
            figure(loss, f"Loss on the training pictures, run {run.name}."),
            figure(hits, "Share of the pictures whose species is the first guess, or among five."),
        ),
    )


def evaluation(scores: Mapping[str, Any], split: str, confusions: Html | None) -> Chapter:
    """Return how good the model is, where it is not (in *split*), and what it takes for what."""
    title = "Evaluation"
    if not scores:
        return chapter("evaluation", title, "No model has been evaluated yet.")
    if not split:
        return chapter("evaluation", title, "No pictures were set aside to test the model on.")
    best, columns = scores[split], list(scores.values())
    rows: list[tuple[object, ...]] = [
        (words, *(_score(key, each[key]) for each in columns),
         _score(key, best["random"].get(key)), _score(key, best["commonest"].get(key)))
        for key, words in _MEASURES.items()
    ]  # fmt: skip
    for key, words in (("images", "pictures"), ("classes_tested", "species")):
        rows.append((words, *(each[key] for each in columns), "", ""))
    tail = [
        (each["train_images"], each["classes"], each["images"],
         *(_score(key, each[key]) for key in ("top1", "top5", "mrr")))
        for each in best["tail"]
    ]  # fmt: skip
    return chapter(
        "evaluation",
        title,
        table(["", *scores, "at random", "always the commonest"], rows),
        tag("h3", f"By number of training pictures ({split})"),
        table(["training pictures", "species", "tested on", "top-1", "top-5", "MRR"], tail),
        *_confused(split, confusions),
    )


def _confused(split: str, confusions: Html | None) -> list[Html]:
    """Return the species that are taken for each other, if guesses are known."""
    heading = tag("h3", f"Species most often taken for each other ({split})")
    return [] if confusions is None else [heading, confusions]


def _score(key: str, value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:.3f}" if key == "mrr" else f"{value:.1%}"


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of *path*; the last one may still be in writing."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
