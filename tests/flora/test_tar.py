import io
import tarfile

import pytest

from flora import tar


@pytest.mark.parametrize(("name", "size"), [("a.jpg", 0), ("b" * 100, 511), ("c.png", 100_000)])
def test_a_member_is_what_tarfile_writes(name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(bytes(size)))
    member = tar.member(name, bytes(size))
    assert written.getvalue()[: len(member)] == member
    assert len(member) == tar.BLOCK + tar.padded(size)


@pytest.mark.parametrize("name", ["x" * 101, "é.jpg"])
def test_a_name_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        tar.member(name, b"")
