import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flora import records
from flora.errors import ContractError
from shards import verify
from tests.shards import shelf

SHARD = "train-000001.tar"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shelf.write(tmp_path)
    return tmp_path / "shards"


def index(folder: Path) -> pa.Table:
    return records.read(folder / "index.parquet", records.INDEX)


def patch(folder: Path, at: int, *, sums: bool = False) -> None:
    """Change a byte of SHARD, and with *sums* its checksum, too."""
    content = bytearray((folder / SHARD).read_bytes())
    content[at] ^= 1
    resum(folder, bytes(content), sums=sums)


def resum(folder: Path, content: bytes, *, sums: bool = True) -> None:
    before = hashlib.sha256((folder / SHARD).read_bytes()).hexdigest()
    (folder / SHARD).write_bytes(content)
    if sums:
        path = folder / "SHA256SUMS"
        path.write_text(path.read_text().replace(before, hashlib.sha256(content).hexdigest()))


def first(folder: Path) -> dict[str, object]:
    """Return the row of the first picture in SHARD."""
    return dict(
        index(folder).filter(pc.equal(index(folder)["shard"], SHARD)).slice(0, 1).to_pylist()[0]
    )


def fault(folder: Path, *, original: bool = True) -> str:
    with pytest.raises(ContractError) as caught:
        verify.check(folder, SHARD, original=original)
    message = str(caught.value)
    assert message.startswith(f"{folder / SHARD}: ")
    assert "receipts/train-000001.json" in message
    return message


def test_whole_shards_pass_and_are_counted(folder: Path) -> None:
    assert verify.shards(folder) == list(shelf.SHARDS)
    assert verify.check(folder, SHARD, original=True) == 16
    assert verify.read_all(folder, original=True) == 60


def test_the_checksums_are_those_of_sha256sum(folder: Path) -> None:
    binary = (folder / "SHA256SUMS").read_text().replace("  ", " *")
    before = verify.read_sums(folder)
    (folder / "SHA256SUMS").write_text(binary)
    assert verify.read_sums(folder) == before
    (folder / "SHA256SUMS").write_text("nothing of that kind\n")
    with pytest.raises(ContractError, match="not a list of checksums"):
        verify.read_sums(folder)


def test_one_bit_of_a_picture_is_enough(folder: Path) -> None:
    row = first(folder)
    patch(folder, int(str(row["offset"])) + 40)
    assert str(row["key"]) in fault(folder)
    assert "its sha256 is" in fault(folder, original=False)


def test_a_picture_with_other_bytes_is_found_even_where_the_checksum_agrees(folder: Path) -> None:
    row = first(folder)
    patch(folder, int(str(row["offset"])) + 40, sums=True)
    assert f"the picture of {row['key']} has other bytes than were fetched" in fault(folder)
    assert verify.check(folder, SHARD) == 16


def test_another_label_is_named(folder: Path) -> None:
    row = first(folder)
    patch(folder, 512, sums=True)
    assert f"{row['key']} has the label" in fault(folder)


def test_another_key_is_named(folder: Path) -> None:
    content = (folder / SHARD).read_bytes()
    key = str(first(folder)["key"]).encode()
    swapped = content[:1024].replace(key[:2], key[1::-1], 1)
    assert swapped != content[:1024], "the sum of a header is the same when letters change places"
    resum(folder, swapped + content[1024:])
    assert f"not {key.decode()}.cls as index.parquet has it" in fault(folder)


def test_a_damaged_header_is_named(folder: Path) -> None:
    patch(folder, 130)
    assert "at byte 0, after its beginning, is no header" in fault(folder)


@pytest.mark.parametrize("keep", [0, 700, 5000, -1024, -512, -1])
def test_a_shard_that_ends_early_is_named(folder: Path, keep: int) -> None:
    resum(folder, (folder / SHARD).read_bytes()[:keep])
    fault(folder)


def test_a_sample_too_many_is_named(folder: Path) -> None:
    content = (folder / SHARD).read_bytes()
    resum(folder, content[:-1024] + content[:1024] + content[-1024:])
    assert "which index.parquet has not" in fault(folder)


def test_an_index_that_points_elsewhere_is_named(folder: Path) -> None:
    table = index(folder)
    wrong = pc.add(table["offset"], pa.array([0] * 20 + [512] + [0] * 39, pa.int64()))
    at = table.column_names.index("offset")
    records.write(folder / "index.parquet", table.set_column(at, table.schema.field(at), wrong))
    assert "in index.parquet it is at" in fault(folder)


def test_folder_index_and_checksums_have_the_same_shards(folder: Path) -> None:
    (folder / "val-000001.tar").write_bytes(b"")
    with pytest.raises(ContractError, match=r"val-000001\.tar is not in SHA256SUMS"):
        verify.shards(folder)
    (folder / "val-000001.tar").unlink()
    (folder / SHARD).unlink()
    with pytest.raises(ContractError, match=r"train-000001\.tar is not in the folder"):
        verify.read_all(folder)
    assert "cannot be read" in fault(folder)
