"""The `train` form: what it costs to make, what it weighs, and what a crop of it costs.

    .venv/bin/python -m bench.shards_form [--photos DIR] [--pictures 40] [--rounds 5]

One process, one thread, pictures in memory; CPU time, each way in turn, medians of the rounds.

- Made smaller: drawn photographs of usual sizes, to a shorter side of 512. "Ceiling" is what the
  same work takes in calls of libraries with nothing around them: simplejpeg's decode at the DCT
  scale that fits, Pillow's bicubic resize to a size known beforehand, Pillow's encode with tables
  made to measure and restart markers. The peer is img2dataset's resizer, of the same side and
  quality; its files have neither.
- Kept: small JPEGs coded anew without a change of their pixels. Peers: mozjpeg's lossless
  optimiser, which makes progressive files without restart markers, and jpegtran, where there is
  one, a process a picture.
- Crops: RandomResizedCrop 224 to uint8 of originals and of forms, decoded whole or by tiles, with
  the resize of train/pixels.py, and with Pillow for both.
"""

import argparse
import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import simplejpeg
import torch
from PIL import Image

from bench import loopback
from shards import form
from shards.config import ShardSettings
from shards.recode import recode
from train import pixels
from train.tiles import Box

PEERS = ("img2dataset==1.47.0", "mozjpeg-lossless-optimization==1.3.2")
SIZES = ((1280, 960), (1024, 768), (1280, 853))
SETTINGS = ShardSettings()
CROP = 224
_ROOM = np.empty(1 << 28, np.uint8)
"""Where pictures are decoded to: memory that stays, of which only what is used is there."""

Way = Callable[[], tuple[float, int]]
"""Does all pictures once; returns CPU-seconds and bytes."""


def main() -> None:
    """Measure, print tables and one JSON object."""
    flags = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flags.add_argument("--photos", type=Path, help="a folder of JPEGs")
    flags.add_argument("--pictures", type=int, default=40)
    flags.add_argument("--rounds", type=int, default=5)
    args = flags.parse_args()
    print(json.dumps(measure(args.photos, args.pictures, args.rounds)))


def measure(photos: Path | None = None, pictures: int = 40, rounds: int = 5) -> dict[str, float]:
    """Print tables; return the figures, those of several sizes as their median."""
    torch.set_num_threads(1)
    figures: dict[str, list[float]] = {}
    for size in SIZES:
        drawn = loopback.photographs(pictures, size=size, quality=90)
        name = f"drawn, {size[0]} x {size[1]}"
        _add(figures, "", _smaller(name, drawn, SETTINGS, rounds))
        _add(figures, "", _crops(name, drawn, SETTINGS, rounds))
    small = loopback.photographs(pictures, size=(680, 510), quality=90)
    _add(figures, "", _kept("drawn, 680 x 510", small, rounds))
    if photos:
        found = [path.read_bytes() for path in sorted(photos.rglob("*.jpg"))]
        found = found[:: max(1, len(found) // (3 * pictures))]
        half = ShardSettings(side=256)
        _add(figures, "photos_", _smaller("photographs, side 256", found, half, rounds))
        _add(figures, "photos_", _kept("photographs", found, rounds))
        _add(figures, "photos_", _crops("photographs", found, SETTINGS, rounds))
    return {name: round(statistics.median(values), 3) for name, values in figures.items()}


def _smaller(
    name: str, originals: Sequence[bytes], settings: ShardSettings, rounds: int
) -> dict[str, float]:
    """Measure what scaling down costs."""
    originals = [data for data in originals if min(_size(data)) > settings.side]
    jobs = [(data, form.fitted(_size(data), settings.side)) for data in originals]
    with _peers(originals, settings) as ask:
        took = alternate({
            "ceiling": way(lambda job: bare(*job, settings.quality), jobs),
            "ours": way(lambda data: form.convert(data, "jpg", settings)[0], originals),
            "img2dataset": lambda: ask("img2dataset"),
            "opencv": lambda: ask("opencv"),
        }, rounds)  # fmt: skip
    _tell(f"made smaller: {name}", took, len(originals))
    ours = took["ours"][0]
    return {
        "train_vs_ceiling": took["ceiling"][0] / ours,
        "train_vs_img2dataset": took["img2dataset"][0] / ours,
        "train_ms": 1000 * ours / len(originals),
    }


def bare(data: bytes, size: tuple[int, int], quality: int) -> bytes:
    """Do what `form.convert` does, with the answers to all its questions given."""
    pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=size[1], min_width=size[0])
    image = Image.fromarray(pixels)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    return form.encode(image, quality)


def _kept(name: str, originals: Sequence[bytes], rounds: int) -> dict[str, float]:
    """Measure what coding anew costs and saves."""
    ways = {"ours": way(recode, originals)}
    if shutil.which("jpegtran"):
        ways["jpegtran"] = way(jpegtran, originals)
    with _peers(originals, SETTINGS) as ask:
        took = alternate(ways | {"mozjpeg": lambda: ask("mozjpeg")}, rounds)
    size = sum(map(len, originals))
    _tell(f"kept: {name} ({size / len(originals) / 1000:.1f} KB)", took, len(originals))
    return {
        "recode_ms": 1000 * took["ours"][0] / len(originals),
        "recode_size": took["ours"][1] / size,
    }


def jpegtran(data: bytes) -> bytes:
    """Have libjpeg-turbo's program do it, a restart marker each 8 MCUs."""
    command = ["jpegtran", "-copy", "none", "-optimize", "-restart", "8B"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def _crops(
    name: str, originals: Sequence[bytes], settings: ShardSettings, rounds: int
) -> dict[str, float]:
    """Measure what a training crop costs of the originals and of their forms."""
    forms = [form.convert(data, "jpg", settings)[0] for data in originals]
    before, after = boxed(originals), boxed(forms)
    took = alternate({
        "originals, Pillow": way(_pillow, before),
        "originals, whole": way(_whole, before),
        "forms, Pillow": way(_pillow, after),
        "forms, whole": way(_whole, after),
        "forms, tiles": way(lambda job: pixels.crop(*job, CROP).tobytes(), after),
    }, rounds)  # fmt: skip
    _tell(f"crops: {name}", took, len(before))
    seconds = {way: cost for way, (cost, _) in took.items()}
    return {
        "form_size": sum(map(len, forms)) / sum(map(len, originals)),
        "tiles_vs_whole": seconds["forms, whole"] / seconds["forms, tiles"],
        "tiles_vs_pillow": seconds["forms, Pillow"] / seconds["forms, tiles"],
        "tiles_vs_originals": seconds["originals, whole"] / seconds["forms, tiles"],
    }


def boxed(jpegs: Sequence[bytes]) -> list[tuple[bytes, Box]]:
    """Return each picture with three crops as training draws them."""
    random = Random(0)
    return [(data, pixels.choose(*_size(data), 0.08, random)) for data in jpegs for _ in range(3)]


def _pillow(job: tuple[bytes, Box]) -> bytes:
    """Do as torchvision's RandomResizedCrop does on a picture that Pillow opened."""
    data, box = job
    with Image.open(io.BytesIO(data)) as image:
        part = image.convert("RGB").crop(box)
    return np.asarray(part.resize((CROP, CROP), Image.Resampling.BILINEAR)).tobytes()


def _whole(job: tuple[bytes, Box]) -> bytes:
    """Do as `pixels.crop` does, but decode the whole (at the DCT scale that will do) to _ROOM."""
    data, (left, top, right, bottom) = job
    spare = min(right - left, bottom - top) / CROP
    times = next(times for times in (8, 4, 2, 1) if times <= max(spare, 1))
    width, height = _size(data)
    whole = simplejpeg.decode_jpeg(
        data, "RGB", fastdct=True, min_factor=times,
        min_width=-(-width // times), min_height=-(-height // times), buffer=_ROOM,
    )  # fmt: skip
    part = whole[top // times : -(-bottom // times), left // times : -(-right // times)]
    return pixels.resize(part, CROP).tobytes()


def _size(data: bytes) -> tuple[int, int]:
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    return width, height


def way(work: Callable[[Any], bytes], jobs: Sequence[Any]) -> Way:
    """Return what does *work* for all *jobs*, once it has been warmed up."""
    work(jobs[0])

    def way() -> tuple[float, int]:
        start = _cpu()
        size = sum(len(work(job)) for job in jobs)
        return _cpu() - start, size

    return way


def _cpu() -> float:
    """Return the CPU-seconds of this process and of those it has seen end."""
    spent = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in spent)


def alternate(ways: dict[str, Way], rounds: int) -> dict[str, tuple[float, int]]:
    """Return CPU-seconds (median) and bytes of each way, each having its turn in every round."""
    took = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            took[name].append(way())
    return {
        name: (statistics.median(cost for cost, _ in each), each[0][1])
        for name, each in took.items()
    }


def _tell(name: str, took: dict[str, tuple[float, int]], count: int) -> None:
    print(f"{name:<42} {'ms':>8} {'a second':>9} {'KB':>7}")
    for way, (seconds, size) in took.items():
        ms, kb = 1000 * seconds / count, size / count / 1000
        print(f"  {way:<40} {ms:>8.2f} {1000 / ms:>9.0f} {kb:>7.1f}", flush=True)


def _add(figures: dict[str, list[float]], prefix: str, more: dict[str, float]) -> None:
    for name, value in more.items():
        figures.setdefault(prefix + name, []).append(value)


@contextmanager
def _peers(
    jpegs: Sequence[bytes], settings: ShardSettings
) -> Iterator[Callable[[str], tuple[float, int]]]:
    """Yield what asks a peer, in a process of its own, to do all *jpegs*."""
    program = Path(__file__).with_name("shards_form_peers.py")
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(jpegs):
            (Path(folder) / f"{number:06}").write_bytes(data)
        command = [_install(), program, folder, str(settings.side), str(settings.quality)]
        environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "PYTHONWARNINGS": "ignore"}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdin and process.stdout
            to, back = process.stdin, process.stdout

            def ask(name: str) -> tuple[float, int]:
                print(name, file=to, flush=True)
                seconds, size = back.readline().split()
                return float(seconds), int(size)

            yield ask
            to.close()


def _install() -> Path:
    """Return the Python of the peers' own virtual environment."""
    python = Path(sys.prefix) / "peers" / "bin" / "python"
    if not python.exists():
        venv.create(python.parent.parent, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)
    return python


if __name__ == "__main__":
    main()
