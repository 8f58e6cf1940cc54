from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flora import predictions
from flora.errors import ContractError
from flora.predictions import Predictions, words


def made(count: int, width: int = 3) -> Predictions:
    rng = np.random.default_rng(count)
    top = np.sort(-rng.random((count, width)).astype(np.float32), 1)[:, ::-1]
    return Predictions(
        keys=words([f"k{n}" for n in range(count)]),
        observations=words([f"o{n // 2}" for n in range(count)]),
        labels=rng.integers(-1, 9, count),
        ranks=rng.integers(0, 9, count),
        truths=-rng.random(count),
        genus_ranks=rng.integers(0, 5, count),
        family_ranks=np.full(count, -1),
        candidates=np.full(count, 9),
        genus_candidates=np.full(count, 5),
        family_candidates=np.full(count, -1),
        top_labels=rng.integers(0, 9, (count, width)).astype(np.int32),
        top=top,
    )


def assert_same(one: Predictions, two: Predictions) -> None:
    for field in fields(Predictions):
        assert np.array_equal(getattr(one, field.name), getattr(two, field.name)), field.name


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with predictions.writing(tmp_path / "p.parquet") as append:
        append(made(5))
        append(made(7))
    assert_same(predictions.read(tmp_path / "p.parquet"), predictions.join([made(5), made(7)]))


def test_the_shares_of_ranks_become_one_table(tmp_path: Path) -> None:
    parts = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    for path, count in zip(parts, (3, 8), strict=True):
        with predictions.writing(path) as append:
            append(made(count))
    predictions.concatenate(parts, tmp_path / "p.parquet")
    assert_same(predictions.read(tmp_path / "p.parquet"), predictions.join([made(3), made(8)]))


def test_rows_may_have_fewer_guesses_than_others(tmp_path: Path) -> None:
    short = replace(made(4), top_labels=np.full((4, 3), -1, np.int32))
    short.top_labels[0, 0] = short.top_labels[1, 0] = short.top_labels[1, 1] = 8
    short = replace(short, top=np.where(short.top_labels < 0, -np.inf, short.top))
    with predictions.writing(tmp_path / "p.parquet") as append:
        append(made(2, width=5))
        append(short)
    found = predictions.read(tmp_path / "p.parquet")
    assert_same(found, predictions.join([made(2, width=5), short]))
    assert predictions.read(tmp_path / "p.parquet", guesses=1).top.shape == (6, 1)


def test_a_table_without_rows_reads_as_none(tmp_path: Path) -> None:
    with predictions.writing(tmp_path / "p.parquet"):
        pass
    assert len(predictions.read(tmp_path / "p.parquet")) == 0


def test_a_picture_without_an_observation_is_one_of_its_own(tmp_path: Path) -> None:
    rows = made(2)
    with predictions.writing(tmp_path / "p.parquet") as append:
        append(replace(rows, observations=words([None, "o"])))
    assert predictions.read(tmp_path / "p.parquet").observations.tolist() == ["k0", "o"]


def test_another_table_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "p.parquet")
    with pytest.raises(ContractError, match="has no column observation_id"):
        predictions.read(tmp_path / "p.parquet")
