"""The settings of the [shards] section."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from flora.config import OPERATIONAL
from flora.errors import ConfigError
from flora.records import Tier

FORMS = ("train", "original")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSettings:
    """What goes into the training set, in which form, and how it is cut."""

    seed: int = 2018
    """Decides the split and the order; the same seed and pictures give the same bytes."""
    val: float = 0.1
    """Share of a species' pictures kept for validation."""
    test: float = 0.1
    """Share of a species' pictures kept for the final test."""
    min_images: int = 10
    """A species with fewer pictures gives all of them to training."""
    max_images: int = 0
    """Training pictures of a species at most, those of the best tiers; 0 is no limit."""
    tiers: tuple[str, ...] = tuple(str(tier) for tier in Tier)
    """What may enter, by the best tier that lists a picture under its species."""
    form: str = "train"
    """`train`: scaled down, stored so that a part can be decoded alone. `original`: as found."""
    side: int = 512
    """Shorter side of a picture in form train, at most."""
    quality: int = 90
    """Of the JPEGs that form train has to encode anew, 1 to 95."""
    stripe_bytes: int = 32 * 2**20
    """Lustre: bytes that lie together on one OST (a multiple of 65,536 there)."""
    stripes: int = 64
    """Lustre: OSTs that a shard lies on. A shard is as large as its stripes, at most."""
    readers: int = 1
    """Ranks times their loader workers; there are so many training shards at least."""
    gather_bytes: int = field(default=2**30, metadata=OPERATIONAL)
    """Pictures, in bytes as fetched, that a unit brings into their new order at a time."""
    one_pass_bytes: int = field(default=16 * 2**30, metadata=OPERATIONAL)
    """Originals that stay in memory between two reads: up to here they are not copied twice."""

    def __post_init__(self) -> None:
        for name in ("val", "test"):
            share = getattr(self, name)
            if not 0 <= share < 1:
                raise ConfigError(f"shards.{name} is {share}, but must be from 0 to below 1.")
        if self.val + self.test >= 1:
            raise ConfigError(
                f"shards.val + shards.test is {self.val + self.test:g}, but must be below 1."
            )
        for name in ("min_images", "side", "stripe_bytes", "stripes", "readers", "gather_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"shards.{name} is {getattr(self, name)}, but must be above 0.")
        for name in ("max_images", "one_pass_bytes"):
            if getattr(self, name) < 0:
                raise ConfigError(f"shards.{name} is {getattr(self, name)}, not 0 or more.")
        if not 1 <= self.quality <= 95:
            raise ConfigError(f"shards.quality is {self.quality}, but must be from 1 to 95.")
        _among("form", [self.form], FORMS)
        _among("tiers", self.tiers, list(Tier))
        if not self.tiers:
            raise ConfigError(f"shards.tiers is empty; it takes one of {', '.join(Tier)} at least.")

    @property
    def shard_bytes(self) -> int:
        """Size of a shard at most: all its stripes full."""
        return self.stripe_bytes * self.stripes


def _among(name: str, values: Sequence[str], known: Sequence[str]) -> None:
    for value in values:
        if value not in known:
            raise ConfigError(f"shards.{name}: there is no {value}; known: {', '.join(known)}.")
