"""What anyone would do with a few photographs a species, for `bench/accuracy.py`.

Logistic regression on frozen features, and a plain loop of timm and torchvision over all layers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from train import backbones, weights
from train.config import TrainSettings
from train.pixels import CENTRE_SHARE

C = 10.0
"""Of the regression: the inverse of its regularisation."""
LR = 0.001
"""Highest learning rate of the plain loop, chosen for it."""
CROP = 0.25
"""Least share of a picture's area in its crops, as well: 0.08, as ours has, gave no more."""
LIGHT = 0.2
"""How much the light of a training picture may change: as much as train/pixels.py changes it."""

Scores = npt.NDArray[np.float32]
Labelled = Sequence[tuple[Path, int]]


@torch.no_grad()
def features(paths: Sequence[Path], settings: TrainSettings) -> Scores:
    """Return what the frozen backbone sees in the centre of each picture."""
    net, (_, centre) = _network(settings, 0).eval(), _views(settings)
    return np.stack([net(centre(_image(path))[None])[0].numpy() for path in paths])


def regress(learnt: Scores, labels: npt.NDArray[np.int64], tested: Scores) -> Scores:
    """Return the scores of *tested* features by logistic regression; all classes are learnt."""
    found = LogisticRegression(C=C, max_iter=2000).fit(learnt, labels)
    return np.asarray(found.decision_function(tested))


def loop(learnt: Labelled, tested: Sequence[Path], classes: int, settings: TrainSettings) -> Scores:
    """Return the scores of *tested* after the epochs and on the batches of *settings*."""
    torch.manual_seed(settings.seed)
    (augmented, centre), epochs = _views(settings), settings.full.epochs
    net = _network(settings, classes)
    batches = torch.utils.data.DataLoader(
        _Pictures(learnt, augmented), settings.batch_size, shuffle=True
    )
    groups = [
        {
            "params": [p for p in net.parameters() if (p.ndim > 1) == decays],
            "weight_decay": settings.weight_decay * decays,
        }
        for decays in (True, False)
    ]
    optimizer = torch.optim.AdamW(groups, lr=LR, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LR, epochs=epochs, steps_per_epoch=len(batches), pct_start=0.1,
        cycle_momentum=False,
    )  # fmt: skip
    judge = torch.nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
    net.train()
    for _ in range(epochs):
        for pixels, labels in batches:
            optimizer.zero_grad()
            judge(net(pixels.to(memory_format=torch.channels_last)), labels).backward()
            optimizer.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        return np.stack([net(centre(_image(path))[None])[0].numpy() for path in tested])


def describe(settings: TrainSettings) -> str:
    """Return all that `loop` goes by."""
    names = ("backbone", "weights", "image_size", "batch_size", "weight_decay", "label_smoothing",
             "dropout", "seed")  # fmt: skip
    values = [getattr(settings, name) for name in names]
    return str([LR, LIGHT, CROP, settings.full.epochs, *values])


class _Pictures(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    def __init__(self, labelled: Labelled, view: Any) -> None:
        self.labelled, self.view = labelled, view

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        path, label = self.labelled[number]
        return self.view(_image(path)), label


def _image(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _network(settings: TrainSettings, classes: int) -> Any:
    """Return timm's model on the weights that ours starts from; without a last layer for 0."""
    timm = backbones.library()
    start = backbones.create(settings.backbone)
    weights.fill(start, settings)
    net = timm.create_model(settings.backbone, num_classes=classes, drop_rate=settings.dropout)
    net.load_state_dict({**net.state_dict(), **start.state_dict()})
    return net.to(memory_format=torch.channels_last)


def _views(settings: TrainSettings) -> tuple[Any, Any]:
    """Return torchvision's augmented view of a picture, and that of its centre."""
    backbones.library()
    from torchvision.transforms import v2

    size, scale = settings.image_size, (CROP, 1)
    last = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
    light = v2.ColorJitter(LIGHT, LIGHT, LIGHT)
    augmented = [v2.RandomResizedCrop(size, scale), v2.RandomHorizontalFlip(), light]
    centre = [v2.Resize(round(size / CENTRE_SHARE)), v2.CenterCrop(size)]
    return v2.Compose([*augmented, *last]), v2.Compose([*centre, *last])
