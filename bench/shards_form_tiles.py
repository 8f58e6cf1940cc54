"""What the tiles, the side and the quality of the `train` form cost and bring.

    .venv/bin/python -m bench.shards_form_tiles [--photos DIR] [--pictures 12] [--rounds 9]

For forms of other settings: what they weigh, and the CPU time of decoding what a training crop
needs, of decoding all, and of the whole crop to 224 pixels. The settings take turns in each round;
of the rounds the quickest counts, as that is the least disturbed.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import simplejpeg
import torch

from bench import loopback
from bench.shards_form import CROP, Way, boxed, way
from shards import form, recode
from shards.config import ShardSettings
from train import pixels
from train.tiles import decode_crop

USUAL = ShardSettings()
VARIANTS = (
    *((f"tiles of {tile}", tile, USUAL) for tile in (10**6, 128, 64, recode.TILE, 16)),
    *((f"side {side}", recode.TILE, ShardSettings(side=side)) for side in (384, 640)),
    *((f"quality {each}", recode.TILE, ShardSettings(quality=each)) for each in (80, 85, 95)),
)


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flags.add_argument("--photos", type=Path, help="a folder of JPEGs")
    flags.add_argument("--pictures", type=int, default=12)
    flags.add_argument("--rounds", type=int, default=9)
    args = flags.parse_args()
    torch.set_num_threads(1)
    compare(
        "drawn", loopback.photographs(args.pictures, size=(1536, 1024), quality=90), args.rounds
    )
    if args.photos:
        found = [path.read_bytes() for path in sorted(args.photos.rglob("*.jpg"))]
        compare("photographs", found[:: max(1, len(found) // (3 * args.pictures))], args.rounds)


def compare(name: str, jpegs: Sequence[bytes], rounds: int) -> None:
    """Print a line for each variant of *jpegs*."""
    sizes: dict[str, float] = {}
    ways: dict[str, tuple[Way, Way, Way]] = {}
    for variant, tile, settings in VARIANTS:
        recode.TILE = tile
        forms = [form.convert(data, "jpg", settings)[0] for data in jpegs]
        sizes[variant] = sum(map(len, forms)) / len(forms)
        jobs = boxed(forms)
        ways[variant] = (
            way(lambda job: decode_crop(*job)[0].data, jobs),
            way(lambda job: simplejpeg.decode_jpeg(job[0], "RGB", fastdct=True).data, jobs),
            way(lambda job: pixels.crop(*job, CROP).data, jobs),
        )
    took: dict[str, list[list[float]]] = {variant: [] for variant in ways}
    for _ in range(rounds):
        for variant, three in ways.items():
            took[variant].append([each()[0] for each in three])
    print(f"{name:<20} {'KB':>7} {'part, ms':>9} {'all, ms':>9} {'crop, ms':>9}")
    for variant, size in sizes.items():
        best = [1000 * min(each) / (3 * len(jpegs)) for each in zip(*took[variant], strict=True)]
        print(f"  {variant:<18} {size / 1000:>7.1f}", *(f"{each:>9.2f}" for each in best))


if __name__ == "__main__":
    main()
