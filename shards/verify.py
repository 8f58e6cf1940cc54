"""Every shard read again: whether its bytes are what was written, and the index tells the truth.

The tars are read with tarfile's own idea of a header, not with ours that wrote them.
"""

import hashlib
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from flora.errors import ContractError
from flora.tar import BLOCK, END, padded

SUMS = "SHA256SUMS"

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_COLUMNS = ("key", "image_id", "label", "shard", "offset", "length", "format")
_BUFFER = 1 << 20
_Fault = Callable[[str], ContractError]


def read_all(folder: Path, *, original: bool = False) -> int:
    """Check every shard of *folder*; return how many pictures they hold. Raises as `check` does."""
    return sum(check(folder, shard, original=original) for shard in shards(folder))


def shards(folder: Path) -> list[str]:
    """Return the file names of the shards of *folder*.

    Raises ContractError where the folder, its index and its checksums do not have the same ones.
    """
    summed = [name for name in read_sums(folder) if name.endswith(".tar")]
    places = {
        SUMS: set(summed),
        "index.parquet": _indexed(folder / "index.parquet"),
        "the folder": {path.name for path in folder.glob("[!.]*.tar")},
    }
    for place, names in places.items():
        if absent := set.union(*places.values()) - names:
            raise ContractError(
                f"{folder}: {min(absent)} is not in {place}, but in "
                f"{' and '.join(each for each in places if min(absent) in places[each])}. "
                f"{_way_out(folder, min(absent))}"
            )
    return summed


def read_sums(folder: Path) -> dict[str, str]:
    """Return name -> sha256 out of SHA256SUMS, as sha256sum(1) writes it. Raises ContractError."""
    path = folder / SUMS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{path}: cannot be read ({error}). Pack the shards first.") from error
    found = [_LINE.fullmatch(line) for line in lines]
    if not found or not all(found):
        raise ContractError(f"{path}: not a list of checksums. Delete {_receipt(folder, 'index')}.")
    return {match[2]: match[1] for match in found if match}


def check(folder: Path, shard: str, *, original: bool = False) -> int:
    """Read *shard*, a file of *folder*, once from front to end; return its number of pictures.

    Its members must be those of the index (key, place, length, label), its bytes those of
    SHA256SUMS; in form *original* a picture's own bytes are those that its image_id was made of.
    Raises ContractError for the first fault.
    """
    path = folder / shard
    checksums = read_sums(folder)

    def fault(what: str) -> ContractError:
        return ContractError(f"{path}: {what}. {_way_out(folder, shard)}")

    if shard not in checksums:
        raise fault(f"not in {SUMS}")
    index = _rows(folder / "index.parquet", shard)
    try:
        with path.open("rb", buffering=_BUFFER) as file:
            digest = hashlib.sha256()
            members = _members(file, digest.update, fault)
            for row in index:
                _compare(row, members, original, fault)
            for name, _, _ in members:
                raise fault(f"it has {name}, which index.parquet has not")
    except OSError as error:
        raise fault(f"cannot be read ({error.strerror})") from error
    if digest.hexdigest() != checksums[shard]:
        raise fault(
            f"its sha256 is {digest.hexdigest()}, not {checksums[shard]} as {SUMS} has it: "
            "bytes of a picture, or of what is told of one, have changed"
        )
    return len(index)


def _indexed(path: Path) -> set[str]:
    """Return the names of the shards that the index has."""
    with _index(path), pq.ParquetFile(path) as file:
        groups = (file.read_row_group(group, ["shard"]) for group in range(file.num_row_groups))
        return {name for group in groups for name in group["shard"].unique().to_pylist()}


def _rows(path: Path, shard: str) -> list[dict[str, Any]]:
    """Return the rows of *shard* in the index; by its statistics only their row group is read."""
    with _index(path):
        table = pq.read_table(path, columns=list(_COLUMNS), filters=[("shard", "==", shard)])
        return list(table.to_pylist())


@contextmanager
def _index(path: Path) -> Iterator[None]:
    """Say of an index that cannot be read what to do about it."""
    try:
        yield
    except (OSError, pa.ArrowException, KeyError) as error:
        raise ContractError(
            f"{path}: not a readable index ({error}). Delete {_receipt(path.parent, 'index')}; "
            "the same command then makes a new one."
        ) from error


def _members(
    file: BinaryIO, update: Callable[[bytes], None], fault: _Fault
) -> Iterator[tuple[str, int, bytes]]:
    """Yield name, place and data of each member of the tar *file*; tell *update* of all bytes."""
    at, last = 0, "its beginning"
    while True:
        header = file.read(BLOCK)
        update(header)
        if header == END[:BLOCK]:
            break
        try:
            found = tarfile.TarInfo.frombuf(header, "ascii", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise fault(f"at byte {at:,}, after {last}, is no header of a member") from error
        data, padding = file.read(found.size), file.read(-found.size % BLOCK)
        update(data)
        update(padding)
        if len(data) + len(padding) < padded(found.size):
            raise fault(f"ends within {found.name}")
        yield found.name, at + BLOCK, data
        at += BLOCK + padded(found.size)
        last = found.name
    rest = file.read(BLOCK + 1)
    update(rest)
    if header + rest != END:
        raise fault(f"after {last}, at byte {at:,}, it does not end as a tar does")


def _compare(
    row: Mapping[str, Any],
    members: Iterator[tuple[str, int, bytes]],
    original: bool,
    fault: _Fault,
) -> None:
    """Take the three members of one sample, and hold them against *row* of the index."""
    key = row["key"]
    for suffix in sorted(("cls", row["format"], "json")):
        name, at, data = next(members, ("", 0, b""))
        if name != f"{key}.{suffix}":
            raise fault(f"after the samples before {key} comes {name or 'its end'}, "
                        f"not {key}.{suffix} as index.parquet has it")  # fmt: skip
        if suffix == "cls" and data != b"%d" % row["label"]:
            raise fault(f"{key} has the label {data[:20]!r}, in index.parquet {row['label']}")
        if suffix != row["format"]:
            continue
        if (at, len(data)) != (row["offset"], row["length"]):
            raise fault(
                f"the picture of {key} is at byte {at:,} and has {len(data):,}; in index.parquet "
                f"it is at {row['offset']:,} and has {row['length']:,}"
            )
        if original and hashlib.sha256(data).hexdigest() != row["image_id"]:
            raise fault(f"the picture of {key} has other bytes than were fetched")


def _way_out(folder: Path, shard: str) -> str:
    receipt = _receipt(folder, Path(shard).stem)
    return f"Delete {receipt}; the same command then packs this shard again, byte by byte the same."


def _receipt(folder: Path, unit: str) -> Path:
    return folder / "receipts" / f"{unit}.json"
