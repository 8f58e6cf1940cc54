"""How a plant stands: stems, leaves and flowers put in place, no two plants alike."""

import math
from dataclasses import dataclass, field

import numpy as np

from demo.species import Traits

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A flower or a leaf: where, how large (both against the plant's height), which way."""

    at: Point
    size: float
    angle: float = 0.0
    tilt: float = 1.0
    depth: int = 0
    """Leaves of depth 0 lie behind, in the shade of those of depth 1."""


@dataclass(slots=True)
class Plant:
    """A plant in its own measure: about 1 high, y downwards."""

    stems: list[tuple[list[Point], float]] = field(default_factory=list)
    leaves: list[Part] = field(default_factory=list)
    flowers: list[Part] = field(default_factory=list)

    def extent(self) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom."""
        dots = [p for line, _ in self.stems for p in line]
        dots += [part.at for part in self.flowers]
        for leaf in self.leaves:
            x, y = leaf.at
            reach = 0.8 * leaf.size
            dots.append((x + math.sin(leaf.angle) * reach, y - math.cos(leaf.angle) * reach))
        xs, ys = zip(*dots, strict=True)
        return min(xs), min(ys), max(xs), max(ys)


def grow(traits: Traits, rng: np.random.Generator) -> Plant:
    """Return a plant of these traits, no two alike."""
    plant = Plant()
    {"herb": _herb, "rosette": _rosette, "shrub": _shrub, "twig": _twig, "mat": _mat}[traits.form](
        plant, traits, rng
    )
    return plant


def _herb(plant: Plant, traits: Traits, rng: np.random.Generator) -> None:
    stems = int(rng.choice([1, 2, 3, 4, 6], p=[0.25, 0.25, 0.25, 0.15, 0.1]))
    for k in range(stems):
        foot = (rng.normal(0, 0.05 * stems), rng.uniform(0.98, 1.06))
        lean = rng.normal(0, 0.16) + 0.12 * (k - (stems - 1) / 2)
        tip = (foot[0] + lean, rng.uniform(0.0, 0.38) if k else rng.uniform(0.0, 0.1))
        bend = (foot[0] + rng.normal(0, 0.06), (foot[1] + tip[1]) / 2)
        line = _curve(foot, bend, tip)
        plant.stems.append((line, 0.014))
        if traits.arrangement == "basal":
            _tuft(plant, traits, foot, rng, count=int(rng.integers(3, 6)))
        else:
            _leafy(
                plant, traits, line, rng, reach=0.45 if traits.inflorescence != "single" else 0.7
            )
        _bloom(plant, traits, line, rng)


def _tuft(plant: Plant, traits: Traits, foot: Point, rng: np.random.Generator, count: int) -> None:
    for k in range(count):
        angle = (k - (count - 1) / 2) * 1.9 / count + rng.normal(0, 0.15)
        size = traits.leaf_size * rng.uniform(0.85, 1.25)
        plant.leaves.append(Part(at=foot, size=size, angle=angle, depth=int(rng.integers(0, 2))))


def _leafy(
    plant: Plant, traits: Traits, line: list[Point], rng: np.random.Generator, reach: float
) -> None:
    """Set leaves along the lower part of a stem."""
    nodes = max(2, round(1.5 / (traits.leaf_size + 0.12)))
    for k in range(nodes):
        at, heading = _along(line, 0.06 + reach * (k + rng.uniform(-0.2, 0.2)) / nodes)
        sides = {"alternate": (1 if k % 2 else -1,), "opposite": (-1, 1), "whorled": (-1, 1, 0.3)}
        for side in sides.get(traits.arrangement, (1,)):
            plant.leaves.append(
                Part(
                    at=at,
                    size=traits.leaf_size * rng.uniform(0.8, 1.15) * (1.1 - 0.4 * k / nodes),
                    angle=heading + side * rng.uniform(0.75, 1.35),
                    tilt=rng.uniform(0.75, 1.0),
                    depth=int(rng.integers(0, 2)),
                )
            )


def _bloom(plant: Plant, traits: Traits, line: list[Point], rng: np.random.Generator) -> None:
    """Set the flowers of one stem, in the order the species has them."""
    tip, heading = _along(line, 1.0)
    size = traits.flower
    if traits.inflorescence == "single":
        plant.flowers.append(_flower(traits, tip, size, rng))
    elif traits.inflorescence in ("raceme", "spike"):
        dense = traits.inflorescence == "spike"
        count = int(rng.integers(13, 19)) if dense else int(rng.integers(4, 8))
        start = 0.5 if dense else 0.42
        for k in range(count):
            at, _ = _along(line, start + (1 - start) * k / (count - 1))
            out = size * (0.3 if dense else 0.42) * (1 if k % 2 else -1) * rng.uniform(0.4, 1.1)
            shrink = 1.05 - (0.55 if dense else 0.4) * k / count
            spot = (at[0] + out, at[1] + (0 if dense else size * 0.2))
            if not dense:
                plant.stems.append(([at, spot], 0.007))
            plant.flowers.append(_flower(traits, spot, size * shrink, rng))
    else:
        flat = traits.inflorescence == "umbel"
        reach = {"umbel": 0.22, "globe": 1.15 * size, "cluster": 1.1 * size}[traits.inflorescence]
        count = {"umbel": 20, "globe": 24, "cluster": 5}[traits.inflorescence]
        for k in range(count):
            turn, out = 2.4 * k + rng.normal(0, 0.1), math.sqrt((k + 0.5) / count) * reach
            spot = (
                tip[0] + math.sin(turn) * out,
                tip[1] + math.cos(turn) * out * (0.4 if flat else 1),
            )
            if flat:
                base = (tip[0] - heading * 0.15, tip[1] + 0.13)
                plant.stems.append(([base, spot], 0.005))
            plant.flowers.append(_flower(traits, spot, size * rng.uniform(0.85, 1.1), rng))
        plant.flowers.sort(key=lambda part: part.at[1])


def _flower(traits: Traits, at: Point, size: float, rng: np.random.Generator) -> Part:
    regular = traits.symmetry == "regular"
    return Part(
        at=at,
        size=size * rng.uniform(0.88, 1.12),
        angle=rng.uniform(0, 6.28) if regular else rng.normal(0, 0.22),
        tilt=rng.uniform(0.62, 1.0) if regular else rng.uniform(0.88, 1.0),
    )


def _rosette(plant: Plant, traits: Traits, rng: np.random.Generator) -> None:
    """Grow leaves in a circle, seen from above or aslant."""
    slant = rng.uniform(0.6, 1.0)
    count = 20 if traits.leaf in ("spoon", "lance") and traits.inflorescence == "cluster" else 9
    for ring, (share, depth) in enumerate(((1.0, 0), (0.78, 1), (0.5, 1))[: 3 if count > 9 else 2]):
        number = max(5, round(count * (1 - 0.25 * ring) / 2))
        start = rng.uniform(0, 6.28)
        for k in range(number):
            angle = start + 2 * math.pi * k / number + rng.normal(0, 0.08)
            at = (0.5 + 0.02 * math.sin(angle), 0.5 - 0.02 * math.cos(angle) * slant)
            size = traits.leaf_size * share * rng.uniform(0.88, 1.1)
            size *= math.hypot(math.sin(angle), slant * math.cos(angle))
            plant.leaves.append(Part(at=at, size=size, angle=angle, depth=depth))
    for _ in range(int(rng.integers(1, 4))):
        lean = rng.normal(0, 0.2)
        tip = (0.5 + lean, 0.5 - rng.uniform(0.05, 0.42))
        line = _curve((0.5, 0.5), (0.5 + lean / 3, 0.4), tip)
        plant.stems.append((line, 0.012))
        _bloom(plant, traits, line, rng)


def _shrub(plant: Plant, traits: Traits, rng: np.random.Generator) -> None:
    """Grow a rounded bush with flowers all over it."""
    wide, high = rng.uniform(0.42, 0.62), rng.uniform(0.38, 0.5)
    narrow = traits.leaf in ("linear", "lance")
    for lean in rng.normal(0, 0.24 if narrow else 0.14, 9 if narrow else 4):
        line = _curve((0.5 + lean / 4, 1.05), (0.5 + lean / 2, 0.8), (0.5 + lean, 0.4))
        plant.stems.append((line, 0.013 if narrow else 0.02))
        if narrow:
            _leafy(plant, traits, line, rng, reach=0.95)
    number = int(min(70, 5.0 / traits.leaf_size**2 * wide)) // (3 if narrow else 1)
    for k in range(number):
        at = _within(rng, wide, high)
        angle = math.atan2(at[0] - 0.5, 0.75 - at[1]) + rng.normal(0, 0.5)
        size = traits.leaf_size * rng.uniform(0.75, 1.1)
        plant.leaves.append(Part(at=at, size=size, angle=angle, depth=int(k > number * 0.5)))
    if traits.inflorescence == "spike":
        for _ in range(int(rng.integers(4, 9))):
            foot = _within(rng, wide * 0.8, high * 0.6)
            lean = (foot[0] - 0.5) * 0.5 + rng.normal(0, 0.06)
            line = _curve(
                foot, (foot[0] + lean / 3, foot[1] - 0.2), (foot[0] + lean, foot[1] - 0.42)
            )
            plant.stems.append((line, 0.01))
            _bloom(plant, traits, line, rng)
        return
    for _ in range(int(rng.integers(4, 13))):
        plant.flowers.append(
            _flower(traits, _within(rng, wide * 0.9, high * 0.9), traits.flower, rng)
        )


def _twig(plant: Plant, traits: Traits, rng: np.random.Generator) -> None:
    """Grow one or two branches across the picture."""
    for _ in range(int(rng.integers(1, 4))):
        start = (rng.uniform(-0.15, 0.1), rng.uniform(0.1, 0.95))
        end = (rng.uniform(0.9, 1.15), rng.uniform(0.05, 0.95))
        bend = (0.5 + rng.normal(0, 0.1), (start[1] + end[1]) / 2 + rng.normal(0, 0.16))
        line = _curve(start, bend, end)
        plant.stems.append((line, 0.022))
        _leafy(plant, traits, line, rng, reach=0.95)
        _leafy(plant, traits, line, rng, reach=0.95)
        for share in rng.uniform(0.1, 0.95, int(rng.integers(2, 4))):
            at, _ = _along(line, float(share))
            if traits.inflorescence == "single":
                plant.flowers.append(_flower(traits, at, traits.flower, rng))
                continue
            for turn in rng.uniform(0, 6.28, int(rng.integers(3, 6))):
                out = traits.flower * rng.uniform(0.35, 0.75)
                spot = (at[0] + math.sin(turn) * out, at[1] + math.cos(turn) * out)
                plant.stems.append(([at, spot], 0.006))
                plant.flowers.append(_flower(traits, spot, traits.flower, rng))


def _mat(plant: Plant, traits: Traits, rng: np.random.Generator) -> None:
    """Grow a carpet, seen from above."""
    wide, high = rng.uniform(0.45, 0.8), rng.uniform(0.36, 0.6)
    number = int(min(80, 5.0 / traits.leaf_size**2 * wide))
    tufted = 5 if traits.leaf == "linear" else 1
    for k in range(number):
        if k % tufted == 0:
            at = _within(rng, wide, high)
        size = traits.leaf_size * rng.uniform(0.7, 1.1)
        turn = rng.uniform(0, 6.28)
        depth = int(k > number * 0.45)
        plant.leaves.append(Part(at=at, size=size, angle=turn, depth=depth))
    for _ in range(int(rng.integers(3, 11))):
        at = _within(rng, wide * 0.9, high * 0.9)
        if traits.inflorescence == "single":
            plant.flowers.append(_flower(traits, at, traits.flower, rng))
        else:
            _bloom(plant, traits, [at, (at[0] + 0.01, at[1] - 0.01)], rng)


def _within(rng: np.random.Generator, wide: float, high: float) -> Point:
    turn, out = rng.uniform(0, 6.28), math.sqrt(rng.uniform(0, 1))
    return 0.5 + math.sin(turn) * out * wide, 0.5 + math.cos(turn) * out * high


def _curve(start: Point, bend: Point, end: Point) -> list[Point]:
    """Return twelve points of a curve from *start* to *end*, drawn towards *bend*."""
    steps = [k / 11 for k in range(12)]
    return [
        (
            (1 - t) ** 2 * start[0] + 2 * t * (1 - t) * bend[0] + t * t * end[0],
            (1 - t) ** 2 * start[1] + 2 * t * (1 - t) * bend[1] + t * t * end[1],
        )
        for t in steps
    ]


def _along(line: list[Point], share: float) -> tuple[Point, float]:
    """Return the point at *share* of *line*, and its heading (0 is up, clockwise)."""
    place = min(max(share, 0.0), 0.999) * (len(line) - 1)
    k = int(place)
    (ax, ay), (bx, by) = line[k], line[k + 1]
    t = place - k
    return (ax + (bx - ax) * t, ay + (by - ay) * t), math.atan2(bx - ax, ay - by)
