"""A whole step of training on one GPU: `make bench NAME=gpu`.

    make bench NAME=gpu ARGS="[--classes 294000] [--batch 256] [--pictures 8192] [--workers 12]"

ResNet-50 from nothing, bfloat16, RandomResizedCrop 224, originals of 1024 x 768 (512 drawn ones,
again and again). Ours is the trainer as it is, on shards in form `train`: its reader, its head,
whose update is a part of backward. Beside it what anyone would write, and DistributedDataParallel
would run on each of its GPUs: Pillow and torchvision in a DataLoader of as many workers on the same
files, timm's model with a layer of all classes, cross-entropy, fused AdamW. Each is also run with
1,000 classes; what the others add to a step is the head's share of it. Told are images a second,
the peak of allocated memory, the shares of head and of waiting for data. Without a GPU it is left
out, unless --device cpu asks for a trial of the bench itself.
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from bench import bound
from train import backbones
from train.config import FullSettings, HeadSettings, TrainSettings
from train.data import Shards
from train.job import Job
from train.loop import Trainer
from train.world import World

FEW = 1000
WARM = 20
"""Steps that are not timed: so many has the first line of metrics.jsonl."""


def main() -> None:
    """Run both ways in processes of their own; print a table and one JSON object."""
    flags = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    flags.add_argument("--classes", type=int, default=294_000)
    flags.add_argument("--batch", type=int, default=256)
    flags.add_argument("--pictures", type=int, default=16_384)
    flags.add_argument("--workers", type=int, default=12)
    flags.add_argument("--backbone", default="resnet50")
    flags.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    flags.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = flags.parse_args()
    if args.child:
        way, classes, data = args.child
        print(json.dumps(WAYS[way](Path(data), int(classes), args)))
        return
    if args.device == "cuda" and not torch.cuda.is_available():
        print("left out: there is no GPU here.")
        print(json.dumps({"images_per_second_ratio": None, "memory_ratio": None}))
        return
    name = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    print(f"{name}\n{'':<18}{'images/s':>10}{'GiB':>8}{'head':>8}{'waits':>8}")
    figures: dict[str, Any] = {"device": name}
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary)
        bound.pack(data / "shards", None, args.pictures)
        for way in WAYS:
            few, all_of_them = (run(way, count, data, args) for count in (FEW, args.classes))
            head = 1 - all_of_them["images_per_second"] / few["images_per_second"]
            print(f"{way:<18}{all_of_them['images_per_second']:>10.1f}"
                  f"{all_of_them['peak_gib']:>8.2f}{head:>8.1%}{all_of_them['data_wait']:>8.1%}",
                  flush=True)  # fmt: skip
            figures |= {f"{way}_{k}": round(v, 4) for k, v in {**all_of_them, "head": head}.items()}
    for name, key in (("images_per_second", "ours"), ("peak_gib", "plain")):
        other = "plain" if key == "ours" else "ours"
        figures[f"{name}_ratio"] = round(figures[f"{key}_{name}"] / figures[f"{other}_{name}"], 2)
    print(json.dumps(figures))


def run(way: str, classes: int, data: Path, args: argparse.Namespace) -> dict[str, float]:
    """Return what a child says."""
    numbers = [f"--{name}={getattr(args, name)}" for name in ("batch", "workers", "backbone")]
    command = [sys.executable, "-m", "bench.gpu", *numbers, f"--device={args.device}", "--child"]
    done = subprocess.run(
        [*command, way, str(classes), str(data)], stdout=subprocess.PIPE, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def ours(data: Path, classes: int, args: argparse.Namespace) -> dict[str, float]:
    """Train an epoch by the trainer."""
    bound.write_classes(data / "shards", classes)
    settings = TrainSettings(
        backbone=args.backbone, weights="none", batch_size=args.batch, data_workers=args.workers,
        checkpoint_seconds=1e9, micro_batch=args.batch, head=HeadSettings(epochs=0),
        full=FullSettings(epochs=1),
    )  # fmt: skip
    job = Job(task="train", shards=data / "shards", folder=data / f"run-{classes}",
              settings=settings, recipe="bench")  # fmt: skip
    job.folder.mkdir()
    Trainer(job, Shards(job.shards), World(device=torch.device(args.device))).run()
    rate, share = bound.told(job.folder)
    return {"images_per_second": rate, "data_wait": share, "peak_gib": _peak(args.device)}


def plain(data: Path, classes: int, args: argparse.Namespace) -> dict[str, float]:
    """Train an epoch by a plain loop."""
    timm, device = backbones.library(), torch.device(args.device)
    from torchvision.transforms import v2

    view = v2.Compose([
        v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3),
    ])  # fmt: skip
    net = timm.create_model(args.backbone, num_classes=classes).to(device)
    net = net.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    batches = torch.utils.data.DataLoader(
        Files(data / "shards", view), args.batch, shuffle=True, drop_last=True,
        num_workers=args.workers, pin_memory=args.device == "cuda",
    )  # fmt: skip
    waited, images, start, step, loaded = 0.0, 0, 0.0, 0, iter(batches)
    while True:
        before = time.perf_counter()
        batch = next(loaded, None)
        waited += time.perf_counter() - before
        if batch is None:
            break
        pixels, labels = (each.to(device, non_blocking=True) for each in batch)
        with torch.autocast(args.device, torch.bfloat16, enabled=args.device == "cuda"):
            loss = torch.nn.functional.cross_entropy(
                net(pixels.to(memory_format=torch.channels_last)), labels
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        float(loss.detach())  # as any loop that prints one waits for it
        step, images = step + 1, images + len(labels)
        if step == WARM:
            waited, images, start = 0.0, 0, time.perf_counter()
    seconds = time.perf_counter() - start
    return {"images_per_second": images / seconds, "data_wait": waited / seconds,
            "peak_gib": _peak(args.device)}  # fmt: skip


class Files(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """The pictures of shards, one by one, as Pillow and torchvision show them."""

    def __init__(self, folder: Path, view: Any) -> None:
        self.split, self.view = Shards(folder).splits["train"], view

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        (data,) = self.split.read(number, number + 1)
        with Image.open(io.BytesIO(data)) as image:
            return self.view(image.convert("RGB")), int(self.split.labels[number])


WAYS = {"ours": ours, "plain": plain}


def _peak(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
