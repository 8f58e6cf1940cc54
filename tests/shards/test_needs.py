from pathlib import Path

import pytest

from flora.errors import StageError
from shards import needs


def test_what_fits_is_let_through_before_its_folder_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "shards"
    needs.check(folder, bytes=10, files=10)
    said = needs.text(folder, bytes=3 * 2**30, files=1234)
    assert said.startswith(f"{folder} needs 3.0 GiB and 1,234 files (")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("bytes", "files", "message"),
    [
        (2**60, 10, "the shards need 1048576.0 TiB of disk, but only .* are free. Make room"),
        (10, 2**62, r"need 4,611,686,018,427,387,904 files, but there is only room for [\d,]+\. "),
        (2**60, 2**62, "of disk, but only .* free, and .* files, but"),
    ],
)
def test_what_does_not_fit_is_one_message(
    tmp_path: Path, bytes: int, files: int, message: str
) -> None:
    if files > 10 and "room for" not in needs.text(tmp_path, bytes=0, files=0):
        pytest.skip("this file system does not count inodes")
    with pytest.raises(StageError, match=message):
        needs.check(tmp_path, bytes=bytes, files=files)
