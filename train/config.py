"""The settings of the trainer: the model, its two steps, and how they are run."""

from dataclasses import dataclass, field

from flora.config import OPERATIONAL
from flora.errors import ConfigError

RECIPES = ("finetune", "scratch", "longtail", "smoke")
READERS = ("shards", "webdataset")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSettings:
    """Step one: the last layer alone, on features that the frozen backbone gives once."""

    epochs: int = 3
    """Passes over the features of each view; 0 leaves the step out."""
    views: int = 16
    """Augmented views of a picture whose features are made; epochs take them in turn. Of many
    pictures there are fewer: a million looks in all, but a view at least. 0 takes the centre of the
    picture alone."""
    smallest_crop: float = 0.08
    """Least share of a picture's area that a view keeps."""
    lr: float = 0.003
    """Highest learning rate of the last layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FullSettings:
    """Step two: all layers, on augmented pictures."""

    epochs: int = 12
    """Passes over the pictures; 0 leaves the step out."""
    backbone_lr: float = 0.0003
    """Highest learning rate of the backbone."""
    head_lr: float = 0.0005
    """Highest learning rate of the last layer."""
    smallest_crop: float = 0.08
    """Least share of a picture's area that a random crop keeps."""
    blend: float = 0.5
    """Share of step two in the weights in the end, the rest being step one's, so that less is
    forgotten; but step two's alone where val says that these are better, or for 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """What is trained, from what, and how."""

    recipe: str = "finetune"
    """How: one of the functions of train/recipes.py, by name."""
    backbone: str = "tf_efficientnet_lite0"
    """Any model of timm, by name."""
    weights: str = "package"
    """Where the backbone starts: `package` (ImageNet weights of tf_efficientnet_lite0, installed
    with us), `hub` (timm's own, by internet), `none`, or the path of a .pth or .safetensors. The
    recipe `scratch` starts from nothing, whatever this says."""
    bottleneck: int = 0
    """Numbers that a layer of its own makes of the backbone's features for the last layer, whose
    size goes with them; 512 where species are many. 0 leaves the layer out."""
    cosine: float = 0.0
    """The last layer scores by the cosine of features and species times this, 16 to 64 as a rule.
    0 scores by their product and a bias."""
    negatives: float = 1.0
    """Share of the species without a picture in the batch that a step of training scores, drawn
    anew each time; below 1 it costs less, and the loss is an estimate."""
    reader: str = "shards"
    """What reads the training pictures: `shards`, our own, or `webdataset` as a reference."""
    image_size: int = 224
    """Side of the square the model sees, in pixels."""
    batch_size: int = 32
    """Pictures a step, over all ranks together."""
    micro_batch: int = field(default=0, metadata=OPERATIONAL)
    """Pictures that a rank's memory has room for in training. Of more, all but the last so many
    go through the backbone twice. 0 means 16 on a CPU, and 256 on a GPU. From scratch, batch norm
    sees so many at a time, and another number is another training."""
    deterministic: bool = False
    """Whether any number of ranks comes to the same weights, but for the last bit of a few: ranks
    take whole micro-batches, sums are made in float64, and torch's kernels are those that always
    add up in the same order. It costs time, and doubles what the backbone's gradients send."""
    weight_decay: float = 0.05
    """AdamW's, on matrices and kernels; biases and norms go without."""
    label_smoothing: float = 0.1
    """Probability spread over all species: some labels are wrong."""
    dropout: float = 0.2
    """Share of the features that the last layer must do without at each step of its training."""
    seed: int = 0
    """Of the order, the augmentation, the dropout and untrained weights."""
    ranks: int = field(default=0, metadata=OPERATIONAL)
    """Processes where there is no GPU; 0 means one a core, but two at most."""
    data_workers: int = field(default=0, metadata=OPERATIONAL)
    """Processes a rank that decode ahead. 0 decodes in the rank itself, which is right where
    training keeps the cores busy; beside a GPU take its share of the cores."""
    checkpoint_seconds: float = field(default=60.0, metadata=OPERATIONAL)
    """Time between two checkpoints, the most that a kill can cost; 0 writes one at every step."""
    head: HeadSettings = field(default_factory=HeadSettings)
    """Step one."""
    full: FullSettings = field(default_factory=FullSettings)
    """Step two."""

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise ConfigError(
                f'train.recipe is "{self.recipe}", but must be one of {", ".join(RECIPES)}.'
            )
        if self.reader not in READERS:
            raise ConfigError(
                f'train.reader is "{self.reader}", but must be one of {", ".join(READERS)}.'
            )
        least_values = {
            "cosine": (self.cosine, 0),
            "bottleneck": (self.bottleneck, 0),
            "image_size": (self.image_size, 16),
            "batch_size": (self.batch_size, 1),
            "micro_batch": (self.micro_batch, 0),
            "seed": (self.seed, 0),
            "ranks": (self.ranks, 0),
            "data_workers": (self.data_workers, 0),
            "checkpoint_seconds": (self.checkpoint_seconds, 0),
            "weight_decay": (self.weight_decay, 0),
            "head.epochs": (self.head.epochs, 0),
            "head.views": (self.head.views, 0),
            "full.epochs": (self.full.epochs, 0),
        }
        for name, (value, least) in least_values.items():
            if not value >= least:  # nan is not
                raise ConfigError(f"train.{name} is {value}, but must be {least} or more.")
        rates = {
            "head.lr": self.head.lr,
            "full.backbone_lr": self.full.backbone_lr,
            "full.head_lr": self.full.head_lr,
        }
        for name, value in rates.items():
            if not value > 0:
                raise ConfigError(f"train.{name} is {value}, but must be above 0.")
        shares = {"label_smoothing": self.label_smoothing, "dropout": self.dropout}
        for name, value in shares.items():
            if not 0 <= value < 1:
                raise ConfigError(f"train.{name} is {value}, but must be from 0 to below 1.")
        parts = {
            "head.smallest_crop": self.head.smallest_crop,
            "full.smallest_crop": self.full.smallest_crop,
            "full.blend": self.full.blend,
            "negatives": self.negatives,
        }
        for name, value in parts.items():
            if not 0 < value <= 1:
                raise ConfigError(f"train.{name} is {value}, but must be above 0 and at most 1.")
        if self.deterministic and (self.negatives < 1 or self.reader != "shards"):
            raise ConfigError(
                "train.deterministic: which species or pictures are drawn depends on the number of "
                'ranks with train.negatives below 1, or with another train.reader than "shards".'
            )
        if self.head.epochs + self.full.epochs == 0:
            raise ConfigError("train.head.epochs and train.full.epochs are both 0: nothing to do.")

    @property
    def start(self) -> str:
        """Where the backbone starts: as `weights` says, but for a training from scratch."""
        return "none" if self.recipe == "scratch" else self.weights

    def at_once(self, device: str) -> int:
        """Return how many pictures a *device* of this kind takes at once in training."""
        return self.micro_batch or (16 if device == "cpu" else 256)

    def unit(self, device: str) -> int:
        """Return what the pictures of a batch are dealt out to ranks by."""
        return self.at_once(device) if self.deterministic else 1
