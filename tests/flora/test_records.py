import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flora import records
from flora.errors import ContractError
from flora.records import Reason, Refusal, Tier, Verdict

SCHEMA = pa.schema({"name": pa.string(), "count": pa.int32()})
CONTRACTS = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text(encoding="utf-8")


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    table = records.table(SCHEMA, [{"name": "oak", "count": 1}])
    records.write(tmp_path / "a.parquet", table)
    records.write(tmp_path / "b.parquet", table)
    (tmp_path / ".draft.parquet.00000000").write_bytes(b"half")
    assert records.read(tmp_path / "a.parquet", SCHEMA) == table
    assert records.read(tmp_path, SCHEMA).num_rows == 2
    assert records.read(tmp_path, SCHEMA, ["count"]).column_names == ["count"]


@pytest.mark.parametrize("row", [{"name": "oak"}, {"name": "oak", "count": 1, "more": 2}])
def test_a_row_with_other_columns_is_not_taken(row: dict[str, object]) -> None:
    with pytest.raises(ContractError, match=r"count|more"):
        records.table(SCHEMA, [row])


def test_what_is_not_as_promised_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(ContractError, match="no table here"):
        records.read(path, SCHEMA)
    path.write_bytes(b"garbage")
    with pytest.raises(ContractError, match="not a readable parquet"):
        records.read(path, SCHEMA)
    pq.write_table(pa.table({"name": ["oak"], "count": ["one"]}), path)
    with pytest.raises(ContractError, match="column count is not there as int32"):
        records.read(path, SCHEMA)


@pytest.mark.parametrize(
    "schema",
    [
        records.SPECIES,
        records.CANDIDATES,
        records.IMAGES,
        records.VERDICTS,
        records.INDEX,
        records.NAMES,
        records.PAIRS,
        records.CLASSES,
        records.PREDICTIONS,
    ],
)
def test_every_column_stands_in_the_contracts(schema: pa.Schema) -> None:
    words = set(re.findall(r"[a-z_]+", CONTRACTS))
    assert set(schema.names) <= words


def test_every_word_of_the_enums_stands_in_the_contracts() -> None:
    for enum in (Tier, Refusal, Verdict, Reason):
        for word in enum:
            assert f"`{word}`" in CONTRACTS, word


def test_counts_are_sorted() -> None:
    column = pa.chunked_array([["b", "a", "b"], ["c"]])
    assert list(records.counts(column).items()) == [("b", 2), ("a", 1), ("c", 1)]
