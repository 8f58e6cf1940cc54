"""What packing will take on the disk: as good as exact once there is a plan, about that before."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flora import records
from flora.ledger import Receipt
from flora.records import IMAGES, KEPT, VERDICTS, Verdict
from shards import gather, lustre, pack, sums
from shards.config import ShardSettings

_BESIDE = 50
"""Files that there is one of: tables, card and its pictures, receipts, locks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What there is to pack."""

    pictures: int
    fetched: int
    """Bytes of them as they lie in the image packs."""

    def straight(self, settings: ShardSettings) -> bool:
        """Tell whether it is done in one pass."""
        return settings.form == "original" and self.fetched <= settings.one_pass_bytes

    def needs(self, settings: ShardSettings) -> tuple[int, int]:
        """Return the bytes and the files that packing takes, spills included."""
        wraps, stored = self.pictures * pack.AROUND, self.fetched
        if settings.form == "train":  # a guess at what a picture of that side takes
            usual = lustre.PICTURE_BYTES["train"] * (settings.side / 512) ** 2
            stored = min(stored, int(self.pictures * usual))
        spilled = wraps if self.straight(settings) else wraps + stored
        groups = -(-self.fetched // settings.gather_bytes)
        spills = -(-groups // gather.runs(groups))
        shards = (wraps + stored) // settings.shard_bytes + settings.readers + 2
        return wraps + stored + spilled, 3 * (spills + shards) + sums.count(shards) + _BESIDE


def planned(receipt: Receipt) -> Work:
    """Return what the plan of *receipt* has."""
    return Work(pictures=receipt.rows, fetched=sum(receipt.detail["spills"]))


def guess(data: Path, settings: ShardSettings) -> Work:
    """Return about what a plan would have: so many pictures at most, of the mean size.

    Raises ContractError where the tables of verdicts or images are absent.
    """
    columns = ["species_id", "verdict"]
    verdicts = records.read(data / "verdicts" / "verdicts.parquet", VERDICTS, columns)
    kept = verdicts.filter(pc.equal(verdicts["verdict"], str(Verdict.KEEP)))
    counts = np.array(list(records.counts(kept["species_id"]).values()), np.int64)
    if settings.max_images:
        tested = np.ceil(counts * (settings.val + settings.test)).astype(np.int64)
        counts = np.minimum(counts, settings.max_images + tested)
    images = records.read(data / "images" / "tables", IMAGES, ["status", "tier", "length"])
    images = images.filter(pc.equal(images["status"], KEPT))
    asked = images.filter(pc.is_in(images["tier"], pa.array(settings.tiers)))
    share = len(asked) / max(len(images), 1)
    pictures = int(counts.sum() * share)
    return Work(pictures=pictures, fetched=int(pictures * (pc.mean(asked["length"]).as_py() or 0)))
