"""What it takes to score a million pictures among 294,000 species: `make bench NAME=evaluate`.

    make bench NAME=evaluate [ARGS="--images 1000000 --classes 294000 --rows 4096"]

Full width: rows of scores (float32, as a last layer writes them: from 1 GiB of noise, each row at
another place of it, the truth's score raised) go through `train.scores`, which keeps the 100 best,
the place of the truth, and the places of its genus and family. Beside it, in turns on the same
rows: one bare pass over them (the bound: every score has to be read once), and the same figures
by plain torch (log_softmax, topk, a comparison; no genus, no family). All on one thread.

Full length: a table of all the pictures is written, read and measured: all measures at three
levels and five bins of the tail, with intervals of 1,000 draws, and calibration.

A million full rows are 1.2 TB; `--rows 0` reads them all. By default a share of them is read, and
`seconds` is what all would take at that rate (wall time) and the full length as measured.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from evaluate import calibration, measures
from evaluate.intervals import intervals
from flora import predictions
from flora.predictions import Predictions, words
from train.rows import TOP, Lineage, Piece
from train.scores import Reading
from train.trial import Configuration
from train.world import World

_BATCH = 32
_POOL = 2**28
_GENERA, _FAMILIES = 17, 28
"""Species of a genus, genera of a family."""


def main() -> None:
    """Measure both, print them, add them up."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--images", type=int, default=1_000_000)
    flags.add_argument("--classes", type=int, default=294_000)
    flags.add_argument("--rows", type=int, default=4096, help="to read at full width; 0 for all")
    args = flags.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows = args.rows or args.images
    ours, bare, plain = width(rows, args.classes)
    after = length(args.images, args.classes)
    seconds = args.images * ours + after
    print(f"\n{rows:,} of {args.images:,} rows of {args.classes:,} scores read at full width; "
          f"all: {args.images * ours:,.0f} s, and {after:,.0f} s for the table")  # fmt: skip
    found = {
        "images": args.images,
        "classes": args.classes,
        "seconds": round(seconds),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "rows_read": rows,
        "rows_per_second": round(1 / ours, 1),
        "vs_bare_pass": round(bare / ours, 3),
        "vs_plain_torch": round(plain / ours, 2),
        "table_seconds": round(after, 1),
    }
    print(json.dumps(found))


def width(rows: int, classes: int) -> tuple[float, float, float]:
    """Return seconds a row of ours, of one bare pass, and of plain torch (medians of turns)."""
    genera = torch.arange(classes) // _GENERA
    lineage = Lineage(genera, torch.arange(int(genera[-1]) + 1) // _FAMILIES)
    pool = torch.randn(_POOL + classes)
    reading = Reading(Configuration(), lineage, Piece(world=World()), lambda _: None)
    taken: dict[str, list[float]] = {"ours": [], "bare": [], "plain": []}
    spent: dict[str, list[float]] = {"ours": [], "bare": [], "plain": []}
    for start in range(0, rows, _BATCH):
        scores = torch.stack([pool[at : at + classes] for at in torch.randint(_POOL, (_BATCH,))])
        labels = torch.randint(classes, (_BATCH,))
        scores[torch.arange(_BATCH), labels] += 5
        keys = [str(start + row) for row in range(_BATCH)]

        def ours(scores=scores, labels=labels, keys=keys) -> None:
            reading.consume([scores], labels, keys, [None] * _BATCH)

        tasks: dict[str, Callable[[], object]] = {"ours": ours}
        if start % (8 * _BATCH) == 0:  # the peers on a share of the rows
            tasks["bare"] = scores.sum
            tasks["plain"] = lambda scores=scores, labels=labels: _plain(scores, labels)
        for name, task in tasks.items():
            before, cpu = time.perf_counter(), time.process_time()
            task()
            taken[name].append((time.perf_counter() - before) / _BATCH)
            spent[name].append((time.process_time() - cpu) / _BATCH)
    print(f"{'':22}{'ms a row':>10}{'CPU ms':>10}{'GB/s':>8}")
    names = {"ours": "train.scores", "bare": "one pass (sum)", "plain": "plain torch, no genus"}
    medians = {name: statistics.median(each) for name, each in taken.items()}
    for name, title in names.items():
        cpu = statistics.median(spent[name])
        print(f"{title:22}{1e3 * medians[name]:10.3f}{1e3 * cpu:10.3f}"
              f"{4e-9 * classes / medians[name]:8.2f}")  # fmt: skip
    return medians["ours"], medians["bare"], medians["plain"]


def _plain(scores: torch.Tensor, labels: torch.Tensor) -> object:
    logs = scores.log_softmax(1)
    truths = logs.gather(1, labels[:, None])
    return logs.topk(TOP), (logs > truths).sum(1), truths


def length(images: int, classes: int) -> float:
    """Return the seconds that writing, reading and measuring a table of *images* takes."""
    start = time.perf_counter()
    rng = np.random.default_rng(0)
    genera = np.arange(classes) // _GENERA
    counts = np.minimum(rng.zipf(1.6, classes), 2000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "guesses-test.parquet"
        with predictions.writing(path) as append:
            for first in range(0, images, 10_000):
                append(_made(rng, first, min(10_000, images - first), classes))
        made = time.perf_counter()
        rows = predictions.read(path)
        size = path.stat().st_size
    read = time.perf_counter()
    levels = measures.places(rows, genera, genera // _FAMILIES)
    bins = measures.tail(levels["species"], counts)
    for at in (*levels.values(), *bins.values()):
        measures.figures(at)
        measures.chance(at)
    plain = time.perf_counter()
    for at in (*levels.values(), *bins.values()):
        intervals(at)
    sure = time.perf_counter()
    found = calibration.confidence(rows, calibration.fit(rows))
    calibration.expected_error(found), calibration.area(found)
    end = time.perf_counter()
    print(f"\ntable of {images:,}: {size / 2**20:,.0f} MiB; made and written in "
          f"{made - start:.1f} s, read in {read - made:.1f} s, measured in {plain - read:.1f} s, "
          f"intervals in {sure - plain:.1f} s, calibrated in {end - sure:.1f} s")  # fmt: skip
    return end - start


def _made(rng: np.random.Generator, first: int, count: int, classes: int) -> Predictions:
    """Return made-up predictions: what they say does not matter here, only that they are many."""
    plants = (first + np.arange(count)) * 7 // 10
    labels = (plants * 2_654_435_761) % classes
    ranks = np.minimum(rng.zipf(1.4, count), classes)
    top_labels = rng.integers(0, classes, (count, TOP)).astype(np.int32)
    top = np.sort(rng.normal(-9, 2, (count, TOP)).astype(np.float32), 1)[:, ::-1]
    hit = np.flatnonzero(ranks <= TOP)
    top_labels[hit, ranks[hit] - 1] = labels[hit]
    return Predictions(
        keys=words([f"{n:064x}" for n in range(first, first + count)]),
        observations=words([f"gbif:{n}" for n in plants.tolist()]),
        labels=labels,
        ranks=ranks,
        truths=-np.log(1.0 + ranks),
        genus_ranks=np.maximum(ranks // 5, 1),
        family_ranks=np.maximum(ranks // 40, 1),
        candidates=np.full(count, classes),
        genus_candidates=np.full(count, classes // _GENERA),
        family_candidates=np.full(count, classes // _GENERA // _FAMILIES),
        top_labels=top_labels,
        top=top - np.log(np.exp(top).sum(1, keepdims=True) * 1.2),
    )


if __name__ == "__main__":
    main()
