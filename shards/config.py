"""The settings of the [shards] section."""

from dataclasses import dataclass

from flora.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSettings:
    """What goes into the training set, and how it is cut."""

    seed: int = 2018
    """Decides the split and the order; the same seed and pictures give the same bytes."""
    val: float = 0.1
    """Share of a species' pictures kept for validation."""
    test: float = 0.1
    """Share of a species' pictures kept for the final test."""
    min_images: int = 10
    """A species with fewer pictures gives all of them to training."""
    shard_bytes: int = 2**30
    """Size of a shard at most (a single picture may exceed it)."""

    def __post_init__(self) -> None:
        for name in ("val", "test"):
            share = getattr(self, name)
            if not 0 <= share < 1:
                raise ConfigError(f"shards.{name} is {share}, but must be from 0 to below 1.")
        if self.val + self.test >= 1:
            raise ConfigError(
                f"shards.val + shards.test is {self.val + self.test:g}, but must be below 1."
            )
        for name in ("min_images", "shard_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"shards.{name} is {getattr(self, name)}, but must be above 0.")
