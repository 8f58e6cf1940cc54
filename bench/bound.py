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
from pathlib import Path

import numpy as np

from bench import reader
from flora import records
from shards import form
from shards.config import ShardSettings

BACKBONES = ("mobilenetv3_small_050", "tf_efficientnet_lite0")
WORKERS, GOAL = 2, 0.05


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
    text = (data / "runs" / backbone / "metrics.jsonl").read_text(encoding="utf-8")
    first, *rest = [json.loads(line) for line in text.splitlines()]
    lengths = np.diff([line["seconds"] for line in (first, *rest)])
    rate, share = (
        float(np.average([line[name] for line in rest], weights=lengths))
        for name in ("images_per_second", "data_wait")
    )
    return rate, share


def pack(folder: Path, photos: Path | None, count: int) -> None:
    """Write shards of so many pictures, all to train on."""
    originals, settings = reader.draw(photos, count), ShardSettings(form="train")
    table = reader.write(folder, [form.convert(data, "jpg", settings)[0] for data in originals])
    counts = np.bincount(table["label"].to_numpy())
    species = [f"species-{label}" for label in range(len(counts))]
    rows = [
        {**dict.fromkeys(records.INDEX.names), **row, "image_id": row["key"], "split": "train",
         "format": "jpg", "species_id": species[row["label"]]}
        for row in table.to_pylist()
    ]  # fmt: skip
    records.write(folder / "index.parquet", records.table(records.INDEX, rows))
    classes = [
        {"label": label, "class_index": label, "species_id": name, "name": name, "family": "",
         "genus": "", "train": int(counts[label]), "val": 0, "test": 0}
        for label, name in enumerate(species)
    ]  # fmt: skip
    records.write(folder / "classes.parquet", records.table(records.CLASSES, classes))


if __name__ == "__main__":
    main()
