"""The settings of the [dedup] section; docs/results.md has the evidence for the thresholds."""

from dataclasses import dataclass, field

from flora.config import OPERATIONAL
from flora.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupSettings:
    """When two pictures are one, and what follows."""

    radius: int = 10
    """Bits in which two 64-bit pHashes may differ for their pixels to be compared."""
    similarity: float = 0.8
    """Correlation of the fine structure of two pictures from which they are one."""
    placeholder_species: int = 3
    """A picture that stands for this many species shows none of them."""
    unit_pairs: int = field(default=2_000, metadata=OPERATIONAL)
    """Pairs whose pixels one unit compares."""

    def __post_init__(self) -> None:
        if not 0 <= self.radius <= 32:
            raise ConfigError(f"dedup.radius is {self.radius}, but must be 0 to 32 (of 64 bits).")
        if not 0 < self.similarity <= 1:
            raise ConfigError(f"dedup.similarity is {self.similarity}, but must be in (0, 1].")
        for name in ("placeholder_species", "unit_pairs"):
            if getattr(self, name) < 2:
                raise ConfigError(f"dedup.{name} is {getattr(self, name)}, but must be 2 or more.")
