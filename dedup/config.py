"""The settings of the [dedup] section; docs/dedup.md has the evidence for the thresholds."""

from dataclasses import dataclass, field

from flora.config import OPERATIONAL
from flora.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupSettings:
    """When two pictures are one, and what follows."""

    pdq_sure: int = 20
    """Of 256 bits: pictures whose PDQ hashes differ in at most this are one, unseen."""
    pdq_radius: int = 31
    """Pictures whose PDQ hashes differ in at most this may be one."""
    phash_radius: int = 12
    """Of 64 bits: so may pictures whose pHashes differ in at most this. Distances are even."""
    mirror_radius: int = 8
    """The same for a picture and another's mirror image; fewer, for that search is the longest."""
    pdq_limit: int = 100
    """But not if their PDQ hashes differ in more than this."""
    similarity: float = 0.9
    """What may be one is, from this correlation of the aligned pixels on."""
    min_quality: int = 50
    """A PDQ hash of less quality (0 to 100) says too little to be believed unseen."""
    placeholder_species: int = 3
    """A picture that stands for this many species shows none of them."""
    placeholder_copies: int = 1_000
    """A picture listed at this many addresses shows no plant: a logo, a missing-image sign."""
    unit_pairs: int = field(default=2_000, metadata=OPERATIONAL)
    """Pairs whose pixels one unit compares."""

    def __post_init__(self) -> None:
        for name, most in (
            ("phash_radius", 32),
            ("mirror_radius", 32),
            ("pdq_limit", 128),
            ("min_quality", 100),
        ):
            if not 0 <= getattr(self, name) <= most:
                value = getattr(self, name)
                raise ConfigError(f"dedup.{name} is {value}, but must be 0 to {most}.")
        for name, above in (("pdq_sure", "pdq_radius"), ("pdq_radius", "pdq_limit")):
            value, most = getattr(self, name), getattr(self, above)
            if not 0 <= value <= most:
                raise ConfigError(
                    f"dedup.{name} is {value}, but must be 0 to dedup.{above} ({most})."
                )
        if not 0 < self.similarity <= 1:
            raise ConfigError(f"dedup.similarity is {self.similarity}, but must be in (0, 1].")
        for name in ("placeholder_species", "placeholder_copies", "unit_pairs"):
            if getattr(self, name) < 2:
                raise ConfigError(f"dedup.{name} is {getattr(self, name)}, but must be 2 or more.")
