from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crawler import urls
from flora import records
from flora.errors import ConfigError

TWO = ["http://x.test/a.jpg", "http://x.test/b.jpg"]


def read(tmp_path: Path, file: Path) -> pa.Table:
    urls.prepare(file, tmp_path / "table.parquet")
    return records.read(tmp_path / "table.parquet", records.CANDIDATES)


def test_a_text_file_has_a_url_a_line(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# mine\n" + "\n\n".join(TWO) + "\n")
    table = read(tmp_path, tmp_path / "list.txt")
    assert table["url"].to_pylist() == TWO
    assert set(table["source"].to_pylist()) == {"urls"}
    assert table["species_id"].null_count == 2


def test_a_csv_keeps_the_columns_that_we_know(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"title,url,else\nOak,{TWO[0]},1\n,,2\nElm,{TWO[1]},3\n")
    table = read(tmp_path, tmp_path / "list.csv")
    assert table["url"].to_pylist() == TWO
    assert table["title"].to_pylist() == ["Oak", "Elm"]


def test_a_parquet_may_bring_species_and_licences(tmp_path: Path) -> None:
    rows = {"url": TWO, "species_id": ["s1", "s2"], "licence": ["CC0 1.0", None], "width": [1, 2]}
    pq.write_table(pa.table(rows), tmp_path / "list.parquet")
    table = read(tmp_path, tmp_path / "list.parquet")
    assert table["species_id"].to_pylist() == ["s1", "s2"]
    assert table["width"].to_pylist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.txt", None, "cannot be read"),
        ("empty.txt", b"\n# nothing\n", "no URL"),
        ("empty.csv", b"", "cannot be read"),
        ("other.csv", b"link\nhttp://x.test/a\n", "no column url"),
        ("bad.parquet", b"not parquet", "cannot be read"),
        ("bytes.txt", b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_what_is_no_list_is_said(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        urls.prepare(tmp_path / name, tmp_path / "table.parquet")
    assert not (tmp_path / "table.parquet").exists()
