"""How long the trainer waits for its data: `make bench NAME=bound`.

    make bench NAME=bound ARGS="[--pictures 1024] [--epochs 2] [--photos DIR]"

Originals of 1024 x 768, drawn or four of --photos side by side, in the form that the shards stage
gives them (short side 512, tiles). One rank on the CPU trains all layers, with augmentation, while
two workers decode for it; once on the smallest backbone that timm has in earnest, the hardest to
feed, and once on our default. Told is the share of its time that the rank stood still for want of
data, from the run's own metrics.jsonl, less its first line, in which the workers start.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench import reader
from flora import records
from shards import form
from shards.config import ShardSettings

BACKBONES = ("mobilenetv3_small_050", "tf_efficientnet_lite0")
WORKERS, GOAL = 2, 0.05
DRAWN = 512
"""Pictures that differ; more are these again."""


def main() -> None:
    """Train and tell; print a table and one JSON object."""
    flags = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    flags.add_argument("--photos", type=Path, help="a folder of JPEGs (drawn ones without)")
    flags.add_argument("--pictures", type=int, default=1024)
    flags.add_argument("--epochs", type=int, default=2)
    args = flags.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary)
        pack(data / "shards", args.photos, args.pictures)
        print(f"{'backbone':<24}{'images/s':>10}{'waits':>9}  (goal: {GOAL:.0%} at most)")
        for backbone in BACKBONES:
            rate, share = train(data, backbone, args.epochs)
            print(f"{backbone:<24}{rate:>10.1f}{share:>9.2%}", flush=True)
            figures[f"{backbone}_data_bound"] = round(share, 4)
    print(json.dumps({**figures, "data_bound": max(figures.values())}))
    sys.exit(max(figures.values()) > GOAL)


def train(data: Path, backbone: str, epochs: int) -> tuple[float, float]:
    """Return images a second, and the share of the time that the rank waited for data."""
    settings = {"backbone": backbone, "weights": "none", "ranks": 1, "data_workers": WORKERS,
                "head.epochs": 0, "full.epochs": epochs, "checkpoint_seconds": 600}  # fmt: skip
    command = [sys.executable, "-m", "train", "--data", str(data), "--gpus", "0"]
    command += ["--run", backbone, *(f"--set=train.{k}={v}" for k, v in settings.items())]
    subprocess.run(command, check=True, stderr=subprocess.PIPE)
    return told(data / "runs" / backbone)


def told(run: Path) -> tuple[float, float]:
    """Return both as *run*'s metrics.jsonl has them, less its first line."""
    text = (run / "metrics.jsonl").read_text(encoding="utf-8")
    first, *rest = [json.loads(line) for line in text.splitlines()]
    lengths = np.diff([line["seconds"] for line in (first, *rest)])
    rate, share = (
        float(np.average([line[name] for line in rest], weights=lengths))
        for name in ("images_per_second", "data_wait")
    )
    return rate, share


def pack(folder: Path, photos: Path | None, count: int) -> None:
    """Write shards of so many pictures of 100 species, all to train on."""
    originals = list(reader.draw(photos, min(count, DRAWN)))
    forms = [form.convert(data, "jpg", ShardSettings(form="train"))[0] for data in originals]
    table = reader.write(folder, list(islice(cycle(forms), count)))
    rows = [
        {**dict.fromkeys(records.INDEX.names), **row, "image_id": row["key"], "split": "train",
         "format": "jpg", "species_id": f"species-{row['label']}"}
        for row in table.to_pylist()
    ]  # fmt: skip
    records.write(folder / "index.parquet", records.table(records.INDEX, rows))
    write_classes(folder, len(set(table["label"].to_pylist())))


def write_classes(folder: Path, count: int) -> None:
    """Write classes.parquet with so many species, whether or not there are pictures of them."""
    numbers = pa.array(range(count))
    names = pa.array([f"species-{label}" for label in range(count)])
    none, nobody = pa.array([0] * count), pa.array([""] * count)
    columns = {"label": numbers, "class_index": numbers, "species_id": names, "name": names,
               "genus": nobody, "family": nobody}  # fmt: skip
    columns |= dict.fromkeys(("train", "val", "test"), none)
    table = pa.table({name: columns[name] for name in records.CLASSES.names})
    records.write(folder / "classes.parquet", table.cast(records.CLASSES))


if __name__ == "__main__":
    main()
