"""The trainer's reader against webdataset and torchvision, and against decoding whole pictures.

    make bench NAME=reader ARGS="[--photos DIR] [--pictures 256] [--rounds 15]"

Originals of 1024 x 768 pixels (JPEG, quality 90, 4:2:0), each four photographs of --photos side by
side, or drawn ones without; and their `train` form (short side 512, tiles), as the shards stage
makes it. Both lie in tars with labels and JSON, in memory. One process, one thread; every way takes
all pictures once a round, in an order of its own each round; ratios are of CPU time, the median
over the rounds.

- Reading, nothing decoded: our stream (an epoch in its order) against webdataset's pipeline in the
  order of the tar, without the shuffle that it would need.
- RandomResizedCrop 224, to uint8: ours against webdataset + Pillow + torchvision v2 on the same
  `train` files, and on the originals, as is usual today.
- The same crops by decoding the whole picture. The peer, `crop_vs_full_decode`, is the faster of
  two that anyone can write with our libraries and that give our squares, which is checked: read by
  our stream, decoded by simplejpeg as we do (fast DCT, smooth upsampling of chroma) into memory
  that it keeps, at full size or, where the crop allows it as ours does, at half; cut, and resized
  by our call of torch, which filters as Pillow does. So the ratio is what tiles save, and no more.
- Beside it, what gives other squares. OpenCV's bilinear resize is the fastest there is, but it
  looks at four pixels however many there are: of a large crop it leaves some out, and the square
  has aliases (`crop_vs_full_decode_aliased`, the fastest of three). And the peer with chroma
  upsampled by repeating pixels, which we could do too, but the model would see blocks of colour.

The area of a crop is that of torchvision's default, 0.08 to 1 of the picture, and that of our own
default, 0.25 to 1; the figures named in the last line are for 0.08, unless they say otherwise.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import simplejpeg
import torch
import webdataset
from PIL import Image, ImageOps

from bench import loopback
from flora import records, tar
from shards import form
from shards.config import ShardSettings
from train import backbones, pixels
from train.config import TrainSettings
from train.data import Stream
from train.split import Split
from train.world import World

PEER = "opencv-python-headless==5.0.0.93"
SIZE, WHOLE = 224, (1024, 768)
SCALES = (0.08, 0.25)
Way = Callable[[], int]
Box = tuple[int, int, int, int]


def main() -> None:
    """Measure, print a table and one JSON object."""
    flags = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flags.add_argument("--photos", type=Path, help="a folder of JPEGs (drawn ones without)")
    flags.add_argument("--pictures", type=int, default=256)
    flags.add_argument("--rounds", type=int, default=15)
    flags.add_argument("--peer", type=Path, default=Path(sys.prefix) / "peers-reader")
    args = flags.parse_args()
    torch.set_num_threads(1)
    cv2, transforms = opencv(args.peer), torchvision()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        originals = list(draw(args.photos, args.pictures))
        settings = ShardSettings(form="train")
        smaller = [form.convert(data, "jpg", settings)[0] for data in originals]
        split = Split(folder / "train", write(folder / "train", smaller))
        write(folder / "original", originals)
        for name, each in (("originals", originals), ("train form", smaller)):
            print(f"{len(each)} {name} of {sum(map(len, each)) / len(each) / 1000:.0f} KB")
        ways: dict[str, Way] = {
            "read: webdataset": lambda: sum(1 for _ in peer(folder / "train")),
            "read: ours": lambda: sum(1 for _ in ours(split)),
        }
        for scale in SCALES:
            ways |= crops(scale, split, folder, transforms, cv2)
        figures = tell(measure(ways, args.rounds), args.pictures)
    print(json.dumps(figures))


def crops(scale: float, split: Split, folder: Path, transforms: Any, cv2: Any) -> dict[str, Way]:
    """Return every way to crops of *scale* or more of a picture's area."""

    def torchvision_of(files: str) -> int:
        view = transforms.Compose(
            [transforms.RandomResizedCrop(SIZE, scale=(scale, 1)), transforms.PILToTensor()]
        )
        found = peer(folder / files).decode("pil").to_tuple("jpg", "cls").map_tuple(view, int)
        return sum(1 for _ in found)

    def by(view: Callable[[bytes, Box], Any]) -> int:
        random, batch = Random(0), np.empty((len(split), SIZE, SIZE, 3), np.uint8)
        for row, (_, data) in enumerate(ours(split)):
            batch[row] = view(data, pixels.choose(*pixels.measure(data), scale, random))
        return len(batch)

    def with_torch(data: bytes, box: Box, decode: Callable[[bytes, Box], Any]) -> Any:
        return pixels.resize(decode(data, box), SIZE)

    def with_opencv(data: bytes, box: Box, decode: Callable[[bytes, Box], Any]) -> Any:
        return cv2.resize(decode(data, box), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)

    def opencv_whole(data: bytes, box: Box) -> Any:
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        return cut(cv2.imdecode(np.frombuffer(data, np.uint8), flags), box)

    views: dict[str, Callable[[bytes, Box], Any]] = {
        "ours": lambda data, box: pixels.crop(data, box, SIZE),
        **{name: partial(with_torch, decode=decode) for name, decode in SAME.items()},
        BLOCKS: partial(with_torch, decode=partial(simplejpeg_scaled, blocks=True)),
        **{
            f"{name}, cv2.resize": partial(with_opencv, decode=decode)
            for name, decode in {**SAME, "OpenCV, whole": opencv_whole}.items()
        },
    }
    for _, data in islice(ours(split), 16):
        box = pixels.choose(*pixels.measure(data), scale, Random(data))
        squares = [views[name](data, box) for name in ("ours", "simplejpeg, scaled")]
        assert np.array_equal(*squares), "the peer's squares are not ours"
    ways: dict[str, Way] = {
        "torchvision": partial(torchvision_of, "train"),
        "torchvision, originals": partial(torchvision_of, "original"),
        **{name: partial(by, view) for name, view in views.items()},
    }
    return {f"{scale}: {name}": way for name, way in ways.items()}


def simplejpeg_whole(data: bytes, box: Box) -> Any:
    """Decode all, and cut."""
    return cut(simplejpeg.decode_jpeg(data, "RGB", fastdct=True, buffer=ROOM), box)


def simplejpeg_scaled(data: bytes, box: Box, *, blocks: bool = False) -> Any:
    """Decode all, at half the size (a quarter, an eighth) where the crop allows it, and cut."""
    spare = min(box[2] - box[0], box[3] - box[1]) / SIZE
    by = next(times for times in (8, 4, 2, 1) if times <= max(spare, 1))
    if by == 1:
        found = simplejpeg.decode_jpeg(data, "RGB", fastdct=True, fastupsample=blocks, buffer=ROOM)
        return cut(found, box)
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    found = simplejpeg.decode_jpeg(
        data, "RGB", fastdct=True, min_height=-(-height // by), min_width=-(-width // by),
        min_factor=by, buffer=ROOM,
    )  # fmt: skip
    return cut(found, (box[0] // by, box[1] // by, -(-box[2] // by), -(-box[3] // by)))


def cut(whole: Any, box: Box) -> Any:
    """Return the part of *whole* within *box*."""
    return whole[box[1] : box[3], box[0] : box[2]]


SAME = {"simplejpeg, whole": simplejpeg_whole, "simplejpeg, scaled": simplejpeg_scaled}
"""Those that decode the whole and give our squares."""
ROOM = np.empty(3 * WHOLE[0] * WHOLE[1], np.uint8)
BLOCKS = "simplejpeg, scaled, blocks of chroma"


def ours(split: Split) -> Iterator[tuple[int, bytes]]:
    """Yield label and bytes of every picture, as our stream reads them: an epoch of batches."""
    settings = TrainSettings()
    order = split.order(settings.batch_size, settings.seed)
    stream = Stream(split, order, World(), settings)
    for step in range(order.steps):
        places, found = stream.read(step)
        yield from zip(split.labels[places].tolist(), found, strict=True)


def peer(folder: Path) -> Any:
    """Return webdataset's pipeline over the tar in *folder*."""
    return webdataset.WebDataset(str(folder / "train-000000.tar"), shardshuffle=False)


def measure(ways: dict[str, Way], rounds: int) -> dict[str, list[float]]:
    """Return the CPU-seconds of every way, in every round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name in Random(turn).sample(list(ways), len(ways)):
            start = time.process_time()
            ways[name]()
            if turn:  # the first is to warm up
                seconds[name].append(time.process_time() - start)
    return seconds


def tell(seconds: dict[str, list[float]], count: int) -> dict[str, float]:
    """Print a line for each way; return the ratios."""
    print(f"{'':<40}{'pictures/s':>11}  (CPU time, one core; least and most)")
    for name, each in seconds.items():
        middle = count / statistics.median(each)
        print(f"{name:<40}{middle:>11,.0f}  {count / max(each):,.0f} .. {count / min(each):,.0f}")

    def ratio(peer: str, mine: str) -> float:
        pairs = zip(seconds[peer], seconds[mine], strict=True)
        return round(statistics.median(b / a for b, a in pairs), 2)

    figures = {"read_vs_webdataset": ratio("read: webdataset", "read: ours")}
    for scale, suffix in zip(SCALES, ("", "_quarter"), strict=True):
        mine = f"{scale}: ours"
        aliased = [name for name in seconds if name.startswith(f"{scale}: ") and "cv2" in name]
        best, quickest = (
            min(names, key=lambda name: statistics.median(seconds[name]))
            for names in ([f"{scale}: {name}" for name in SAME], aliased)
        )
        print(f"fastest decode of the whole, for the same squares: {best}; for any: {quickest}")
        figures |= {
            f"crop_vs_torchvision{suffix}": ratio(f"{scale}: torchvision", mine),
            f"crop_vs_torchvision_originals{suffix}": ratio(
                f"{scale}: torchvision, originals", mine
            ),
            f"crop_vs_full_decode{suffix}": ratio(best, mine),
            f"crop_vs_full_decode_aliased{suffix}": ratio(quickest, mine),
        }
    return figures


def draw(photos: Path | None, count: int) -> Iterator[bytes]:
    """Yield *count* JPEGs of 1024 x 768: of *photos*, or drawn."""
    if photos is None:
        drawn = loopback.photographs(64, size=WHOLE, quality=90)
        yield from (drawn[number % len(drawn)] for number in range(count))
        return
    paths, random = sorted(photos.rglob("*.jpg")), Random(0)
    quarter = WHOLE[0] // 2, WHOLE[1] // 2
    for _ in range(count):
        page = Image.new("RGB", WHOLE)
        for number, path in enumerate(random.sample(paths, 4)):
            with Image.open(path) as image:
                part = ImageOps.fit(image.convert("RGB"), quarter)
            page.paste(part, (number % 2 * quarter[0], number // 2 * quarter[1]))
        yield simplejpeg.encode_jpeg(np.asarray(page), quality=90, colorsubsampling="420")


def write(folder: Path, pictures: list[bytes]) -> pa.Table:
    """Write the tar of *pictures* as the shards stage does; return what tells them apart."""
    folder.mkdir()
    about = {name: "a line of some length, as licences have" for name in records.INDEX.names[-5:]}
    rows = []
    with (folder / "train-000000.tar").open("wb") as file:
        for number, data in enumerate(pictures):
            key, label = f"{number:064x}", number % 100
            file.write(tar.member(f"{key}.cls", str(label).encode()))
            place = {"shard": "train-000000.tar", "offset": file.tell() + tar.BLOCK}
            rows.append({"key": key, "label": label, "length": len(data), **place})
            file.write(tar.member(f"{key}.jpg", data))
            file.write(tar.member(f"{key}.json", json.dumps(about).encode()))
        file.write(tar.END)
    return pa.Table.from_pylist(rows)


def torchvision() -> Any:
    """Return torchvision's transforms, beside a torch without CUDA too."""
    backbones.library()
    from torchvision.transforms import v2

    return v2


def opencv(folder: Path) -> Any:
    """Return OpenCV, installed in *folder* if it is not there."""
    if not folder.exists():
        print(f"Installing {PEER} in {folder}", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--target", folder, PEER], check=True)
    sys.path.append(str(folder))
    import cv2

    cv2.setNumThreads(1)
    return cv2


if __name__ == "__main__":
    main()
