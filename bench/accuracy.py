"""What training by our recipes is worth on photographs, beside what anyone would do.

    make bench NAME=accuracy ARGS="PHOTOS [--weights FILE] [--epochs 12] [--keep DIR]"

PHOTOS has a folder of JPEGs for each species. Of five folds, dealt out species by species, each is
tested once on what was learnt from the other four. All ways start from the same ImageNet weights
(tf_efficientnet_lite0, of the installed package or of FILE):

- regression: scikit-learn's, on the features of the frozen backbone (centre crop).
- plain: a loop of timm and torchvision over all layers: RandomResizedCrop, mirror, ColorJitter;
  AdamW, warm-up, cosine. Epochs, batch, light, label smoothing, dropout and weight decay are those
  of our second step; its learning rate and least crop were chosen for it.
- head: step one of our recipe alone.
- finetune, longtail: our recipes, from real shards, by `python -m train` and its evaluation.

Figures are the means over the folds and their standard deviations; the rare half are the species
with the fewest pictures to learn from. Differences are paired, picture by picture, with intervals
of 95% from 10,000 draws of species, with all their pictures. On the CPU. With --keep, the same
command goes on where it was stopped; --folds and --ways do a part.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.model_selection import StratifiedKFold

from bench import accuracy_peers
from flora import records, tar
from shards import form
from shards.config import ShardSettings
from train.config import TrainSettings

FOLDS = 5
DRAWS = 10_000
TAR = "train-000000.tar"

Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Photos:
    """The pictures, and which of them are tested in which fold."""

    paths: list[Path]
    labels: Whole
    species: list[str]
    folds: list[Whole]
    folder: Path
    """Where shards and results lie."""
    settings: TrainSettings

    def train(self, fold: int) -> Whole:
        """Return the pictures to learn from."""
        return np.setdiff1d(np.arange(len(self.paths)), self.folds[fold])


def find(args: argparse.Namespace, folder: Path) -> Photos:
    """Return the pictures of PHOTOS in *folder*, dealt out."""
    paths = sorted(args.photos.rglob("*.jpg"))
    species = sorted({path.parent.name for path in paths})
    labels = np.array([species.index(path.parent.name) for path in paths])
    settings = TrainSettings(weights=args.weights)
    epochs = args.epochs or settings.full.epochs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there are species with fewer pictures than folds
        dealt = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(labels, labels)
        folds = [tested for _, tested in dealt]
    settings = replace(settings, full=replace(settings.full, epochs=epochs))
    return Photos(
        paths=paths, labels=labels, species=species, folds=folds, folder=folder, settings=settings
    )


def regression(photos: Photos, fold: int) -> Whole:
    """Return the places of the true species by logistic regression on frozen features."""
    path = photos.folder / "features.npy"
    if not path.is_file():
        np.save(path, accuracy_peers.features(photos.paths, photos.settings))
    seen, learnt, tested = np.load(path), photos.train(fold), photos.folds[fold]
    found = accuracy_peers.regress(seen[learnt], photos.labels[learnt], seen[tested])
    return places(found, photos.labels[tested])


def plain(photos: Photos, fold: int) -> Whole:
    """Return the places of the true species by a loop of timm and torchvision."""
    path = photos.folder / f"plain-{fold}.json"
    made_by = accuracy_peers.describe(photos.settings)
    if path.is_file() and (kept := json.loads(path.read_text()))["made_by"] == made_by:
        return np.array(kept["places"])
    learnt = [(photos.paths[n], int(photos.labels[n])) for n in photos.train(fold)]
    tested = [photos.paths[n] for n in photos.folds[fold]]
    scores = accuracy_peers.loop(learnt, tested, len(photos.species), photos.settings)
    found = places(scores, photos.labels[photos.folds[fold]])
    path.write_text(json.dumps({"made_by": made_by, "places": found.tolist()}))
    return found


def ours(recipe: str, *, run: str, full: bool = True) -> Callable[[Photos, int], Whole]:
    """Return the way that trains and evaluates by *recipe*, or by its step one if not *full*."""

    def way(photos: Photos, fold: int) -> Whole:
        data, settings = photos.folder / f"fold-{fold}", photos.settings
        if not (data / "shards" / "classes.parquet").is_file():
            deal(photos, fold, data / "shards")
        for task in ("train", "evaluate"):
            command = [sys.executable, "-m", "train", task, "--data", str(data), "--gpus", "0"]
            command += ["--run", run, "--recipe", recipe]
            command += ["--set", f"train.weights={settings.weights}"]
            command += ["--set", f"train.full.epochs={settings.full.epochs if full else 0}"]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        path = data / "runs" / run / "predictions-test.parquet"
        found = records.read(path, records.PREDICTIONS, ["key", "truth_rank"]).sort_by("key")
        return found["truth_rank"].to_numpy()

    return way


def pack(photos: Photos, folder: Path) -> pa.Table:
    """Write the pictures in the form of the shards stage, once for all folds; return their index.

    A picture's key is its number.
    """
    path = folder / "index.parquet"
    if path.is_file():
        return records.read(path, records.INDEX)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    with (folder / TAR).open("wb") as file:
        for number in np.random.default_rng(0).permutation(len(photos.paths)).tolist():
            label, key = int(photos.labels[number]), f"{number:06}"
            data, kind = form.convert(photos.paths[number].read_bytes(), "jpg", ShardSettings())
            file.write(tar.member(f"{key}.cls", str(label).encode()))
            place = {"shard": TAR, "offset": file.tell() + tar.BLOCK, "length": len(data)}
            file.write(tar.member(f"{key}.{kind}", data))
            known = {"key": key, "image_id": key, "label": label, "format": kind, **place}
            known |= {"species_id": photos.species[label], "split": "train"}
            rows.append({**dict.fromkeys(records.INDEX.names), **known})
        file.write(tar.END)
    index = records.table(records.INDEX, rows)
    records.write(path, index)
    return index


def deal(photos: Photos, fold: int, folder: Path) -> None:
    """Write shards of a fold to *folder*: the tar of all, and an index of its own."""
    index = pack(photos, photos.folder / "packed")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / TAR).exists():
        (folder / TAR).symlink_to(photos.folder / "packed" / TAR)
    tested = np.isin(index["key"].to_numpy().astype(int), photos.folds[fold])
    split = pa.array(np.where(tested, "test", "train"))
    place = index.column_names.index("split")
    records.write(folder / "index.parquet", index.set_column(place, "split", split))
    counts = {
        "train": np.bincount(photos.labels[photos.train(fold)], minlength=len(photos.species)),
        "test": np.bincount(photos.labels[photos.folds[fold]], minlength=len(photos.species)),
    }
    rows = [
        {"label": label, "class_index": label, "species_id": name, "name": name, "family": "",
         "genus": name.split()[0], "val": 0, **{k: int(each[label]) for k, each in counts.items()}}
        for label, name in enumerate(photos.species)
    ]  # fmt: skip
    records.write(folder / "classes.parquet", records.table(records.CLASSES, rows))


def places(scores: npt.NDArray[np.float32], labels: Whole) -> Whole:
    """Return the place of each label among its row of *scores*, 1 being the best."""
    truth = scores[np.arange(len(labels)), labels][:, None]
    return np.asarray((scores > truth).sum(axis=1) + 1)


def rare(photos: Photos, fold: int) -> npt.NDArray[np.bool_]:
    """Tell of each tested picture whether its species is of the half with the least to learn from.

    Of species with the same number of pictures the first by name are.
    """
    counts = np.bincount(photos.labels[photos.train(fold)], minlength=len(photos.species))
    few = np.argsort(counts, kind="stable")[: len(counts) // 2]
    return np.isin(photos.labels[photos.folds[fold]], few)


def figures(photos: Photos, fold: int, found: Whole) -> dict[str, float]:
    """Return what a fold's places come to."""
    hits, labels = found == 1, photos.labels[photos.folds[fold]]
    macro = np.mean([hits[labels == label].mean() for label in np.unique(labels)])
    return {
        "top1": float(hits.mean()),
        "top5": float((found <= 5).mean()),
        "macro_top1": float(macro),
        "rare_top1": float(hits[rare(photos, fold)].mean()),
    }


def difference(
    photos: Photos, ours: dict[int, Whole], theirs: dict[int, Whole], *, rarest: bool = False
) -> tuple[float, float, float]:
    """Return by how much more of the pictures are right, and the ends of its interval."""
    gains, labels = [], []
    for fold in sorted(ours.keys() & theirs.keys()):
        some = rare(photos, fold) if rarest else np.full(len(ours[fold]), True)
        gains.append((ours[fold] == 1)[some] - (theirs[fold] == 1)[some].astype(float))
        labels.append(photos.labels[photos.folds[fold]][some])
    species = len(photos.species)
    sums = np.bincount(np.concatenate(labels), np.concatenate(gains), species)
    counts = np.bincount(np.concatenate(labels), minlength=species)
    drawn = np.random.default_rng(0).multinomial(species, np.full(species, 1 / species), DRAWS)
    low, high = np.quantile((drawn @ sums) / (drawn @ counts), (0.025, 0.975))
    return float(sums.sum() / counts.sum()), float(low), float(high)


WAYS: dict[str, Callable[[Photos, int], Whole]] = {
    "regression": regression,
    "plain": plain,
    "head": ours("finetune", run="head", full=False),
    "finetune": ours("finetune", run="finetune"),
    "longtail": ours("longtail", run="longtail"),
}
PAIRS = (
    ("head", "regression", False),
    ("finetune", "head", False),
    ("finetune", "regression", False),
    ("finetune", "plain", False),
    ("longtail", "finetune", False),
    ("longtail", "finetune", True),
    ("longtail", "plain", True),
)


def tell(photos: Photos, found: dict[str, dict[int, Whole]]) -> dict[str, float]:
    """Print a table; return its figures."""
    columns, told = ("top1", "top5", "macro_top1", "rare_top1"), {}
    print(f"{'':<12}" + "".join(f"{name:>17}" for name in columns))
    for way, folds in found.items():
        rows = [figures(photos, fold, each) for fold, each in folds.items()]
        cells = []
        for name in columns:
            values = [row[name] for row in rows]
            told[f"{way}_{name}"] = round(float(np.mean(values)), 4)
            cells.append(f"{np.mean(values):.3f} +- {np.std(values):.3f}")
        print(f"{way:<12}" + "".join(f"{cell:>17}" for cell in cells))
    for mine, other, rarest in PAIRS:
        if mine in found and other in found:
            gain, low, high = difference(photos, found[mine], found[other], rarest=rarest)
            what = "rare_top1" if rarest else "top1"
            told[f"{mine}_vs_{other}_{what}"] = round(gain, 4)
            print(f"{mine} - {other}, {what}: {gain:+.3f} ({low:+.3f} to {high:+.3f})")
    return told


def main() -> None:
    """Train and test in every way; print a table and one JSON object."""
    flags = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    flags.add_argument("photos", type=Path, help="a folder of JPEGs for each species")
    flags.add_argument("--weights", default="package", help="a file of the backbone's weights")
    flags.add_argument("--epochs", type=int, help="of all layers (the recipes' own)")
    flags.add_argument("--keep", type=Path, help="a folder of what is done, to go on from")
    flags.add_argument("--folds", type=int, nargs="+", choices=range(FOLDS), default=range(FOLDS))
    flags.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    args = flags.parse_args()
    with contextlib.ExitStack() as stack:
        temporary = args.keep or stack.enter_context(tempfile.TemporaryDirectory())
        photos = find(args, Path(temporary).absolute())
        photos.folder.mkdir(parents=True, exist_ok=True)
        found = {way: {fold: WAYS[way](photos, fold) for fold in args.folds} for way in args.ways}
        told = tell(photos, found)
    print(json.dumps({"images": len(photos.paths), "species": len(photos.species), **told}))


if __name__ == "__main__":
    main()
