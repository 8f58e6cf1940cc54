"""How many copies the rule finds, and how rarely it takes another picture for one.

    make bench NAME=dedup_quality [ARGS="--photos FOLDER --pairs FOLDER"]

Copies are made in 22 ways (bench/attacks.py) from drawn plants, or from photographs in FOLDER (a
folder each species). Everything goes the product's way: bytes, hashes, rule, pixels. Pictures of
different species are the negatives, with crops of them as further views; single leaves on plain
paper (bench/leaves.py) are the hard ones. --pairs is a folder of pictures whose names say which
scene they show (ukbench00120_resize.jpg).
"""

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from bench.attacks import ATTACKS, jpeg
from bench.leaves import leaf
from dedup.config import DedupSettings
from dedup.pixels import Prepared, correlation, mirrored
from dedup.rule import Answer, sort_out
from demo.plants import draw
from demo.species import FLORA
from flora.hashes import Words, distance, mirror_pdq, mirror_phash, pdq, phash
from flora.pictures import FlawedPictureError, grey

ATTACKED, DRAWN, LEAVES, VIEWS = 150, 432, (100, 6), 8
APART = ("crop 20%", "mirror")
"""Attacks that the mean recall leaves out: reported by themselves."""
WIDE = DedupSettings(phash_radius=12, pdq_limit=110, pdq_sure=0)
"""What is looked at here, to see what other thresholds would do."""

Distances = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A picture, or a part of it, as the rule sees it."""

    species: str
    phash: Words
    pdq: Words
    """The hashes in 1 and 4 words."""
    quality: int
    pixels: Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """What is known of some pairs; the correlation of those that WIDE looks at, else 0."""

    pdq: Distances
    phash: Distances
    quality: Distances
    correlation: npt.NDArray[np.float64]

    def same(self, settings: DedupSettings) -> npt.NDArray[np.bool_]:
        """Tell which pairs are one."""
        answer = self.answers(settings)
        seen = (answer == Answer.LOOK) & (self.correlation >= settings.similarity)
        return np.asarray(seen | (answer == Answer.SAME))

    def answers(self, settings: DedupSettings) -> npt.NDArray[np.uint8]:
        """Return what the rule says without a look."""
        return sort_out(
            self.pdq.astype(np.uint16),
            self.phash.astype(np.uint16),
            self.quality.astype(np.uint8),
            settings,
        )


def main() -> None:
    """Attack, compare, print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--photos", type=Path, help="photographs, a folder each species")
    flags.add_argument("--pairs", type=Path, help="pictures named scene.jpg, scene_what.jpg")
    args = flags.parse_args()
    rule = DedupSettings()
    pictures = photographs(args.photos) if args.photos else plants()
    print(f"{len(pictures)} pictures of {len({name for name, _ in pictures})} species")
    copies = {name: attacked(name, pictures) for name in ATTACKS}
    print(f"\n{'attack':18} {'PDQ alone':>9} {'pHash':>6} {'the rule':>8}")
    mirrors = replace(rule, phash_radius=rule.mirror_radius)
    recalls = {}
    for name, pairs in copies.items():
        here = mirrors if name == "mirror" else rule
        alone = (pairs.pdq <= here.pdq_radius).mean()
        near = (pairs.phash <= here.phash_radius).mean()
        found = pairs.same(here)
        if name == "mirror":
            found &= pairs.phash <= here.phash_radius  # mirror images are sought by pHash alone
        recalls[name] = float(found.mean())
        print(f"{name:18} {alone:9.3f} {near:6.3f} {recalls[name]:8.3f}")
    others = crossed([view for each in pictures for view in views(*each)])
    species, each = LEAVES
    sheets = [(str(s), leaf(s, k)) for s in range(species) for k in range(each)]
    leaves = crossed([view(name, jpeg(image)) for name, image in sheets])
    print(f"\n{'negatives':16} {'pairs':>11} {'looks':>6} {'one':>4} {'greatest correlation':>21}"
          f"{'least PDQ distance':>20}")  # fmt: skip
    for name, (pairs, count) in {"other species": others, "leaves on paper": leaves}.items():
        looks, one = (pairs.answers(rule) == Answer.LOOK).sum(), pairs.same(rule).sum()
        print(f"{name:16} {count:11,} {looks:6,} {one:4} {pairs.correlation.max(initial=0):21.3f}"
              f"{pairs.pdq.min(initial=256):20}")  # fmt: skip
    sweep(rule, copies, others, leaves)
    if args.pairs:
        named(args.pairs, rule)
    print(f"\na look: {milliseconds(pictures):.1f} ms, of pictures not seen before")
    figures = {
        "recall": round(recall(copies, rule), 4),
        "mirror": round(recalls["mirror"], 4),
        "crop_10": round(recalls["crop 10%"], 4),
        "crop_20": round(recalls["crop 20%"], 4),
        "false_rate": others[0].same(rule).sum() / others[1],
        "pairs": others[1],
        "leaf_pairs": leaves[1],
        "leaf_false": int(leaves[0].same(rule).sum()),
    }
    print(json.dumps(figures))


def plants() -> list[tuple[str, Image.Image]]:
    """Draw the demo's plants, the same number of each species."""
    return [
        (species.name, draw(species, 1_000 + seed))
        for seed in range(DRAWN // len(FLORA))
        for species in FLORA
    ]


def photographs(folder: Path) -> list[tuple[str, Image.Image]]:
    """Return the photographs in *folder*, first one of each species, then the next."""
    paths = sorted(folder.glob("*/*.jpg"))
    turn = {path: [p for p in paths if p.parent == path.parent].index(path) for path in paths}
    return [
        (path.parent.name, Image.open(path).convert("RGB"))
        for path in sorted(paths, key=lambda path: (turn[path], path))
    ]


def view(species: str, data: bytes, *, mirror: bool = False) -> View:
    """Look at the bytes of a picture; with *mirror*, at its mirror image, by sign flips."""
    pixels = grey(data)
    bits, quality = pdq(pixels)
    small, large = np.array([phash(pixels)], np.uint64), np.frombuffer(bits, np.uint64)
    if mirror:
        small, large = mirror_phash(small), mirror_pdq(large)
        pixels = mirrored(pixels)
    return View(species=species, phash=small, pdq=large, quality=quality, pixels=Prepared(pixels))


def views(species: str, image: Image.Image) -> Iterable[View]:
    """Return views of a picture: the whole, and crops of half to all of each side."""
    yield view(species, jpeg(image))
    rng = np.random.default_rng(image.size)
    for _ in range(VIEWS):
        width, height = (int(side * rng.uniform(0.5, 1)) for side in image.size)
        left, top = (
            int(rng.uniform() * side) for side in (image.width - width, image.height - height)
        )
        yield view(species, jpeg(image.crop((left, top, left + width, top + height))))


def attacked(name: str, pictures: Sequence[tuple[str, Image.Image]]) -> Pairs:
    """Return the pairs of the first pictures and their copies."""
    ones, twos = [], []
    for number, (species, image) in enumerate(pictures[:ATTACKED]):
        copy = ATTACKS[name](image, np.random.default_rng([number, *name.encode()]))
        ones.append(view(species, jpeg(image, 95)))
        twos.append(view(species, copy, mirror=name == "mirror"))
    return known(ones, twos)


def known(ones: Sequence[View], twos: Sequence[View]) -> Pairs:
    """Return what hashes say of each pair, and pixels where WIDE looks."""
    both = list(zip(ones, twos, strict=True))
    pairs = Pairs(
        pdq=np.array([distance(a.pdq, b.pdq).sum() for a, b in both], np.int64),
        phash=np.array([distance(a.phash, b.phash).sum() for a, b in both], np.int64),
        quality=np.array([min(a.quality, b.quality) for a, b in both], np.int64),
        correlation=np.zeros(len(both)),
    )
    looked = pairs.answers(WIDE) != Answer.DIFFERENT
    for k in np.flatnonzero(looked).tolist():
        pairs.correlation[k] = correlation(ones[k].pixels, twos[k].pixels)
    return pairs


def crossed(found: Sequence[View]) -> tuple[Pairs, int]:
    """Return the pairs of different species that any hash finds near, and how many there are."""
    small, large = np.stack([v.phash for v in found])[:, 0], np.stack([v.pdq for v in found])
    _, species = np.unique([v.species for v in found], return_inverse=True)
    count, near = 0, []
    for row in range(len(found)):
        other = species[row + 1 :] != species[row]
        count += int(other.sum())
        alike = distance(small[row + 1 :], small[row]) <= WIDE.phash_radius
        alike |= distance(large[row + 1 :], large[row]).sum(axis=1) <= DedupSettings().pdq_radius
        near += [(row, row + 1 + int(k)) for k in np.flatnonzero(alike & other)]
    return known([found[i] for i, _ in near], [found[j] for _, j in near]), count


def recall(copies: dict[str, Pairs], settings: DedupSettings) -> float:
    """Return the share of copies that are found, of all attacks but those APART."""
    return float(np.mean([p.same(settings).mean() for n, p in copies.items() if n not in APART]))


def sweep(
    rule: DedupSettings,
    copies: dict[str, Pairs],
    others: tuple[Pairs, int],
    leaves: tuple[Pairs, int],
) -> None:
    """Print what other radii would find and cost: looks per million pairs, and mistakes."""
    print(f"\n{'pHash':>5} {'PDQ':>4} {'recall':>7} {'crop 10%':>9}"
          f"{'looks/M: others':>17} {'leaves':>7} {'false':>6}")  # fmt: skip
    for radius in (6, 8, 10, 12):
        for limit in (80, 90, 100, 110):
            tried = replace(rule, phash_radius=radius, pdq_limit=limit)
            looks, false = [], 0
            for pairs, count in (others, leaves):
                looks.append(1e6 * (pairs.answers(tried) == Answer.LOOK).sum() / count)
                false += int(pairs.same(tried).sum())
            print(f"{radius:5} {limit:4} {recall(copies, tried):7.3f} "
                  f"{copies['crop 10%'].same(tried).mean():9.3f}"
                  f"{looks[0]:17.2f} {looks[1]:7.0f} {false:6}")  # fmt: skip
    looked = [p.correlation[p.answers(rule) == Answer.LOOK] for p in copies.values()]
    low = np.percentile(np.concatenate(looked), (0.1, 1, 5))
    print("\ncorrelation of the copies that are looked at: 0.1% below "
          f"{low[0]:.2f}, 1% below {low[1]:.2f}, 5% below {low[2]:.2f}")  # fmt: skip


def named(folder: Path, rule: DedupSettings) -> None:
    """Print what the rule says of pictures whose names tell their scene."""
    print()
    found = []
    for path in sorted(folder.rglob("*.*")):
        try:
            data = path.read_bytes()
            found.append((path.name, view(path.stem.split("_")[0], data), data))
        except FlawedPictureError as error:
            print(f"{path.name}: refused, {error.flaw}")
    right = 0
    for (name, one, _), (other, two, data) in combinations(found, 2):
        flipped = known([one], [view(two.species, data, mirror=True)])
        same = bool(known([one], [two]).same(rule)[0] or flipped.same(rule)[0])
        right += same == (one.species == two.species)
        if same != (one.species == two.species):
            print(f"{name} and {other}: {'one' if same else 'two'}")
    print(f"{right} of {len(found) * (len(found) - 1) // 2} pairs in {folder.name}/ are right")


def milliseconds(pictures: Sequence[tuple[str, Image.Image]]) -> float:
    """Return what a look at two pictures costs, half of them copies, none prepared before."""
    greys = [np.asarray(ImageOps.grayscale(image)) for _, image in pictures[:40]]
    start = time.perf_counter()
    for one, two in pairwise(greys):
        correlation(one, two)
        correlation(one, two[two.shape[0] // 10 :, two.shape[1] // 10 :])
        correlation(one, one[two.shape[0] // 12 :, two.shape[1] // 12 :])
    return 1e3 * (time.perf_counter() - start) / (3 * (len(greys) - 1))


if __name__ == "__main__":
    main()
