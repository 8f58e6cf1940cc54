"""Shards of coloured squares, written as the shards stage writes them."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import webdataset
from PIL import Image

from flora import records
from train.config import FullSettings, HeadSettings, TrainSettings
from train.job import Job

COLOURS = ((200, 40, 40), (40, 180, 60), (50, 60, 200), (220, 200, 40))
SIDE = 32
TINY = TrainSettings(
    backbone="test_resnet",
    weights="none",
    image_size=SIDE,
    batch_size=8,
    dropout=0.1,
    checkpoint_seconds=0,
    ranks=2,
    head=HeadSettings(epochs=1, views=0),
    full=FullSettings(epochs=8, backbone_lr=0.005, head_lr=0.02, smallest_crop=0.64, blend=1.0),
)


def square(label: int, seed: int) -> bytes:
    """Return a JPEG of the colour of *label* on a noisy ground."""
    chance = np.random.default_rng([label, seed])
    pixels = chance.integers(60, 190, (48, 40, 3), dtype=np.uint8)
    x, y = chance.integers(0, 14, 2)
    pixels[y : y + 26, x : x + 26] = COLOURS[label]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=92)
    return out.getvalue()


def pack(
    folder: Path, train: int = 30, val: int = 6, test: int = 6, *, bad: tuple[int, ...] = ()
) -> Path:
    """Write shards of so many squares; the training pictures numbered in *bad* are no pictures."""
    folder.mkdir(parents=True)
    classes, rows = len(COLOURS), []
    for split, count in (("train", train), ("val", val), ("test", test)):
        shard = f"{split}-000000.tar"
        labels = {f"{split}{number:04}": number % classes for number in range(count)}
        with webdataset.TarWriter(str(folder / shard)) as tar:
            for number, (key, label) in enumerate(labels.items()):
                spoilt = split == "train" and number in bad
                data = b"\xff\xd8\xff no" if spoilt else square(label, number)
                tar.write({"__key__": key, "jpg": data, "cls": label, "json": {}})
        with tarfile.open(folder / shard) as tar:
            for member in tar:
                key, suffix = member.name.split(".")
                if suffix == "jpg":
                    rows.append(_row(key, labels[key], split, shard, member))
    records.write(folder / "index.parquet", pa.Table.from_pylist(rows, schema=records.INDEX))
    _write_classes(folder, classes, rows)
    return folder


def job(folder: Path, settings: TrainSettings = TINY, recipe: str = "squares") -> Job:
    """Return the job of training on `<folder>/shards`."""
    return Job(
        task="train",
        shards=folder / "shards",
        folder=folder / "runs" / "main",
        settings=settings,
        recipe=recipe,
    )


def edit(path: Path, column: str, values: list[object]) -> None:
    """Write other *values* into a *column* of the table at *path*."""
    table = pq.read_table(path)
    place = table.column_names.index(column)
    kind = table.schema.field(column)
    records.write(path, table.set_column(place, kind, pa.array(values, kind.type)))


def _row(
    key: str, label: int, split: str, shard: str, member: tarfile.TarInfo
) -> dict[str, object]:
    known = {
        "key": key,
        "image_id": key,
        "species_id": f"colour-{label}",
        "label": label,
        "split": split,
        "shard": shard,
        "offset": member.offset_data,
        "length": member.size,
        "format": "jpg",
    }
    return {name: known.get(name) for name in records.INDEX.names}


def _write_classes(folder: Path, classes: int, rows: list[dict[str, object]]) -> None:
    columns: dict[str, list[object]] = {
        "label": list(range(classes)),
        "class_index": list(range(classes)),
        "species_id": [f"colour-{label}" for label in range(classes)],
        "name": [f"Quadratum {label}" for label in range(classes)],
        "genus": ["Quadratum"] * classes,
        "family": ["Formae"] * classes,
    }
    for split in ("train", "val", "test"):
        columns[split] = [
            sum(row["split"] == split and row["label"] == label for row in rows)
            for label in range(classes)
        ]
    records.write(folder / "classes.parquet", pa.Table.from_pydict(columns, schema=records.CLASSES))
