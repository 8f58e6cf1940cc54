"""Whole rows of scores against what is kept of them as they stream by."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flora import predictions
from flora.errors import ContractError
from flora.predictions import Predictions
from train.rows import Lineage, Piece, lineage
from train.scores import Reading, recording
from train.trial import Configuration, Fusion
from train.world import World

CLASSES, EACH, PLANTS = 60, 3, 14
COUNT = EACH * PLANTS
RNG = np.random.default_rng(5)
LOGITS = torch.from_numpy(RNG.normal(size=(2, COUNT, CLASSES)) * 3)
LABELS = torch.from_numpy(np.repeat(RNG.integers(0, CLASSES, PLANTS), EACH))
KEYS = [f"k{n}" for n in range(COUNT)]
SEEN = [f"o{n // EACH}" for n in range(COUNT)]
LINEAGE = Lineage(torch.arange(CLASSES) // 4, torch.arange(CLASSES // 4) // 5)
LISTED = RNG.random(CLASSES) < 0.5
PLAIN, ALONE = Configuration(), Piece(world=World())


def streamed(
    configuration: Configuration = PLAIN,
    batch: int = 5,
    piece: Piece = ALONE,
    logits: torch.Tensor = LOGITS,
) -> Predictions:
    """Return what the scores come to in batches of *batch* pictures."""
    parts: list[Predictions] = []
    reading = Reading(configuration, LINEAGE, piece, parts.append)
    for start in range(0, COUNT, batch):
        here = slice(start, start + batch)
        reading.consume(list(logits[:, here]), LABELS[here], KEYS[here], SEEN[here])
    reading.finish()
    return predictions.join(parts)


def whole(configuration: Configuration = PLAIN) -> torch.Tensor:
    """Return the probabilities of whole rows, the slow way."""
    logits = LOGITS.clone()
    if configuration.allowed is not None:
        logits[..., ~torch.from_numpy(configuration.allowed)] = -torch.inf
    logs = logits.log_softmax(2)
    rows = (logs.mean(0) if configuration.views else logs[0]).softmax(1)
    plants = rows.unflatten(0, (PLANTS, EACH))
    fused = {
        None: rows,
        "logs": plants.log().mean(1).exp(),
        "mean": plants.mean(1),
        "max": plants.amax(1),
    }[configuration.fusion]
    return fused / fused.sum(1, keepdim=True)


def places(rows: torch.Tensor, truths: torch.Tensor) -> list[int]:
    order = rows.argsort(dim=1, descending=True, stable=True)
    return ((order == truths[:, None]).int().argmax(1) + 1).tolist()


@pytest.mark.parametrize("fusion", [None, "logs", "mean", "max"])
@pytest.mark.parametrize("views", [False, True])
@pytest.mark.parametrize("allowed", [None, LISTED], ids=["all", "listed"])
def test_what_is_kept_is_what_whole_rows_say(
    fusion: Fusion | None, views: bool, allowed: Any
) -> None:
    configuration = Configuration(views=views, fusion=fusion, allowed=allowed)
    found, rows = streamed(configuration), whole(configuration)
    truths = LABELS[::EACH] if fusion else LABELS
    possible = torch.ones(CLASSES, dtype=torch.bool)
    if allowed is not None:
        possible = torch.from_numpy(allowed)
    inside = possible[truths].numpy()
    assert found.ranks[inside].tolist() == np.array(places(rows, truths))[inside].tolist()
    assert not found.ranks[~inside].any()
    logs = rows.log()[torch.arange(len(rows)), truths].numpy()
    assert found.truths[inside] == pytest.approx(logs[inside], abs=1e-9)
    count = int(possible.sum())
    order = rows.argsort(dim=1, descending=True, stable=True)[:, :count]
    assert found.top_labels[:, :count].tolist() == order.tolist()
    assert np.exp(found.top.astype(float)).sum(1) == pytest.approx(1, abs=1e-5)
    assert set(found.candidates) == {count}


def test_a_genus_and_a_family_have_the_sum_of_their_species() -> None:
    found, rows = streamed(), whole()
    genus = torch.zeros(COUNT, CLASSES // 4, dtype=rows.dtype)
    genus.index_add_(1, LINEAGE.genera, rows)
    family = torch.zeros(COUNT, 3, dtype=rows.dtype).index_add_(1, LINEAGE.families, genus)
    own = LINEAGE.genera[LABELS]
    assert found.genus_ranks.tolist() == places(genus, own)
    assert found.family_ranks.tolist() == places(family, LINEAGE.families[own])
    assert (found.genus_candidates[0], found.family_candidates[0]) == (15, 3)


@pytest.mark.parametrize("batch", [1, 7, COUNT])
def test_the_size_of_a_batch_changes_nothing(batch: int) -> None:
    configuration = Configuration(fusion="mean", views=True)
    one, other = streamed(configuration), streamed(configuration, batch)
    assert one.keys.tolist() == other.keys.tolist() == [f"o{n}" for n in range(PLANTS)]
    assert one.ranks.tolist() == other.ranks.tolist()
    assert one.truths == pytest.approx(other.truths, abs=1e-12)


def test_pictures_left_out_take_no_part_in_their_plant() -> None:
    alone = streamed(Configuration(fusion="mean", without={"k1", "k2", *KEYS[3:6]}))
    assert alone.keys[:2].tolist() == ["o0", "o2"]
    assert alone.truths[0] == pytest.approx(float(whole()[0].log()[LABELS[0]]), abs=1e-9)


def test_a_genus_is_told_apart_by_its_family_too() -> None:
    genera, families = ["Rosa", "Morus", "Morus", "Ficus"], ["Rosaceae", "Moraceae", "Aves"]
    found = lineage(genera, [*families, "Moraceae"], torch.device("cpu"))
    assert len(set(found.genera.tolist())) == 4
    of_class = found.families[found.genera].tolist()
    assert of_class[1] == of_class[3]
    assert len(set(of_class)) == 3


def test_a_model_that_knows_nothing_gains_nothing() -> None:
    found = streamed(logits=torch.zeros_like(LOGITS))
    assert found.ranks.tolist() == (LABELS + 1).tolist()


def test_scores_of_half_precision_are_counted_exactly() -> None:
    coarse = LOGITS.to(torch.bfloat16)
    found, truly = streamed(logits=coarse), streamed(logits=coarse.double())
    assert found.ranks.tolist() == truly.ranks.tolist()
    assert found.truths == pytest.approx(truly.truths, abs=1e-5)


def test_a_truth_that_is_no_class_is_a_miss() -> None:
    parts: list[Predictions] = []
    reading = Reading(PLAIN, LINEAGE, ALONE, parts.append)
    reading.consume([LOGITS[0, :1]], torch.tensor([-1]), ["k"], [None])
    assert (parts[0].ranks[0], parts[0].genus_ranks[0], parts[0].labels[0]) == (0, 0, -1)


def test_each_configuration_is_recorded_in_a_file_of_its_own(tmp_path: Path) -> None:
    ways = (PLAIN, Configuration(views=True, fusion="logs", allowed=LISTED))
    with recording(tmp_path, "test", ways, LINEAGE, ALONE) as consume:
        for start in range(0, COUNT, 8):
            here = slice(start, start + 8)
            consume(list(LOGITS[:, here]), LABELS[here], KEYS[here], SEEN[here])
    names = ["guesses-test-views-checklist-logs.parquet", "guesses-test.parquet"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name, way in zip(reversed(names), ways, strict=True):
        assert predictions.read(tmp_path / name).ranks.tolist() == streamed(way).ranks.tolist()


def test_a_pass_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        recording(tmp_path, "test", [PLAIN], LINEAGE, ALONE) as consume,
    ):
        consume(list(LOGITS[:, :4]), LABELS[:4], KEYS[:4], SEEN[:4])
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_observation_that_comes_back_is_refused() -> None:
    reading = Reading(Configuration(fusion="max"), LINEAGE, ALONE, lambda _: None)
    with pytest.raises(ContractError, match="do not follow one another"):
        reading.consume([LOGITS[0, :3]], LABELS[:3], KEYS[:3], ["a", "b", "a"])


def test_an_observation_of_two_species_is_refused() -> None:
    reading = Reading(Configuration(fusion="max"), LINEAGE, ALONE, lambda _: None)
    with pytest.raises(ContractError, match="two labels"):
        reading.consume([LOGITS[0, :2]], torch.tensor([0, 1]), KEYS[:2], ["a", "a"])


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ContractError, match="diverged"):
        streamed(logits=torch.full_like(LOGITS, torch.nan))


def test_a_list_without_a_class_is_refused() -> None:
    with pytest.raises(ContractError, match="no class"):
        Configuration(allowed=np.zeros(CLASSES, bool))


def test_classes_spread_over_ranks_come_to_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.train.test_scores", str(tmp_path)]
    ranks = [subprocess.Popen([*command, str(rank)]) for rank in range(2)]
    try:
        assert [rank.wait(180) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    for number, configuration in enumerate(SPREAD):
        alone = streamed(configuration)
        for rank in range(2):
            found = predictions.read(tmp_path / f"{rank}-{number}.parquet")
            assert found.ranks.tolist() == alone.ranks.tolist()
            assert found.genus_ranks.tolist() == alone.genus_ranks.tolist()
            width = found.top_labels.shape[1]  # no file keeps guesses that are none
            assert found.top_labels.tolist() == alone.top_labels[:, :width].tolist()
            assert (alone.top_labels[:, width:] == -1).all()
            assert found.truths == pytest.approx(alone.truths, abs=1e-9)


SPREAD = (
    PLAIN,
    Configuration(views=True, fusion="mean", allowed=LISTED),
)


def one_rank(folder: Path, rank: int) -> None:
    """Be one of two ranks, with the first 13 classes or the others."""
    store = torch.distributed.FileStore(str(folder / "store"), 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    first, last = ((0, 13), (13, CLASSES))[rank]
    piece = Piece(world=World(rank=rank, size=2), first=first)
    for number, configuration in enumerate(SPREAD):
        found = streamed(configuration, piece=piece, logits=LOGITS[..., first:last])
        with predictions.writing(folder / f"{rank}-{number}.parquet") as append:
            append(found)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    one_rank(Path(sys.argv[1]), int(sys.argv[2]))
