"""A model asked about sets of pictures: by one rank, by two, from a checkpoint, once only."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flora import predictions, records
from flora.command import Options
from flora.errors import ContractError
from flora.ledger import Ledger, Receipt
from tests.conftest import picture
from tests.train.squares import COLOURS, TINY, job, pack, square
from tests.train.test_copies import table
from train import copies, launch, model, runs
from train.__main__ import evaluate
from train.checkpoint import Checkpoints
from train.data import Shards
from train.evaluate import evaluate as guess
from train.job import Job
from train.trial import Source, Trial
from train.views import look
from train.world import World

ONE_RANK = replace(TINY, ranks=1, dropout=0.0)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A run with a model of chance weights, and a garden of squares that it never saw."""
    folder = tmp_path_factory.mktemp("asked")
    pack(folder / "shards")
    for label in range(len(COLOURS)):
        for plant in range(2):
            path = folder / "garden" / f"Quadratum {label}" / f"plant {plant}"
            path.mkdir(parents=True)
            for number in range(3):
                data = square(label, 100 * plant + number)
                (path / f"{number}.jpg").write_bytes(data)
    (folder / "garden" / "Quadratum 0" / "bad.jpg").write_bytes(b"\xff\xd8\xff no")
    (folder / "garden" / "Nemo nullus").mkdir()
    (folder / "garden" / "Nemo nullus" / "1.jpg").write_bytes(square(1, 7))
    plain = job(folder, ONE_RANK)
    recipe = runs.recipe(ONE_RANK, plain.shards, None)
    plain = replace(plain, recipe=recipe, task="evaluate", trial=garden(plain))
    runs.prepare(plain, "main")
    made = chance_model()
    species = [f"colour-{label}" for label in range(len(COLOURS))]
    model.save(plain.folder / "model.pt", made.state_dict(), ONE_RANK, species)
    receipt = Receipt(unit="train", recipe=recipe, detail={"model": "digest"})
    Ledger(plain.folder).write(receipt)
    return plain


def garden(plain: Job, **switches: object) -> Trial:
    source = Source("garden", str(plain.shards.parent / "garden"))
    return replace(Trial(sets=(source,)), **switches)  # type: ignore[arg-type]


def chance_model() -> model.Classifier:
    torch.manual_seed(3)
    made = model.create(ONE_RANK, len(COLOURS))
    torch.nn.init.normal_(made.head.weight)
    return made.eval()


@pytest.fixture
def into(asked: Job, tmp_path: Path) -> Iterator[Job]:
    """The same run in a folder of its own."""
    folder = tmp_path / "runs" / "main"
    folder.mkdir(parents=True)
    for name in ("model.pt", "run.json", "receipts"):
        (folder / name).symlink_to(asked.folder / name)
    yield replace(asked, folder=folder)


def test_what_is_guessed_is_what_the_model_says(asked: Job, into: Job) -> None:
    trial = garden(asked, views=4, fusions=("logs",), checklist="species_id=colour-1")
    told = guess(replace(into, trial=trial), Shards(asked.shards), World())["garden"]
    assert (told["pictures"], told["undecodable"], told["of_no_class"]) == (26, 1, 1)
    assert told["unknown"] == {"Nemo nullus": 1}
    rows = predictions.read(into.folder / "guesses-garden.parquet")
    made, folder = chance_model(), asked.shards.parent / "garden"
    assert len(rows) == 25
    assert made.head.bias is not None
    for key, label, rank, truth in zip(
        rows.keys, rows.labels, rows.ranks, rows.truths, strict=True
    ):
        pixels = torch.from_numpy(look((folder / key).read_bytes(), TINY.image_size, 1))
        with torch.no_grad():
            logits = made(pixels.permute(0, 3, 1, 2)) @ made.head.weight.T + made.head.bias
        logs = logits[0].log_softmax(0)
        if label < 0:
            assert (key, rank) == ("Nemo nullus/1.jpg", 0)
            continue
        assert truth == pytest.approx(float(logs[label]), abs=1e-4)
        assert rank == 1 + int((logs > logs[label]).sum())
    names = {path.stem for path in into.folder.glob("guesses-*")}
    assert len(names) == told["configurations"] == 2 * 2 * 2 + 1
    fused = predictions.read(into.folder / "guesses-garden-views-logs.parquet")
    assert len(fused) == 9
    apart = predictions.read(into.folder / "guesses-garden-apart.parquet")
    assert len(apart) == 4 * 25
    listed = predictions.read(into.folder / "guesses-garden-checklist.parquet")
    assert set(listed.candidates) == {1}
    assert set(listed.top_labels[:, 0]) == {1}


def test_two_ranks_guess_what_one_guesses(asked: Job, into: Job, tmp_path: Path) -> None:
    trial = garden(asked, views=2, fusions=("mean",))
    guess(replace(into, trial=trial), Shards(asked.shards), World())
    other = replace(into, folder=tmp_path / "two", trial=trial)
    other.folder.mkdir()
    (other.folder / "model.pt").symlink_to(asked.folder / "model.pt")
    told = launch.run(other, 2, cuda=False)["garden"]
    assert (told["pictures"], told["undecodable"]) == (26, 1)
    for path in into.folder.glob("guesses-*"):
        one, two = predictions.read(path), predictions.read(other.folder / path.name)
        assert one.keys.tolist() == two.keys.tolist()
        assert one.ranks.tolist() == two.ranks.tolist()
        assert one.top_labels.tolist() == two.top_labels.tolist()
        assert np.allclose(one.top, two.top, atol=1e-4)


def test_pictures_that_training_has_copies_of_are_left_out(asked: Job, into: Job) -> None:
    data = into.folder.parent.parent
    for name in ("classes.parquet", "index.parquet"):
        (data / "shards").mkdir(exist_ok=True)
        (data / "shards" / name).symlink_to(asked.shards / name)
    pictures = data / "own" / "Quadratum 2"
    pictures.mkdir(parents=True)
    for number in range(4):
        (pictures / f"{number}.jpg").write_bytes(picture(number))
    (data / "shards" / "index.parquet").unlink()
    table(data, [picture(1), picture(9)], ["train", "train"])
    trial = Trial(sets=(Source("own", str(data / "own")),), unseen=True)
    here = replace(into, shards=data / "shards", trial=trial)
    told = guess(here, Shards(asked.shards), World())["own"]
    assert told["copies"] == 1
    near = records.read(here.folder / "copies-own.parquet", copies.SCHEMA)
    assert near.to_pylist() == [{"key": "Quadratum 2/1.jpg", "image_id": "i0", "distance": 0}]
    found = predictions.read(here.folder / "guesses-own-unseen.parquet")
    assert found.keys.tolist() == [f"Quadratum 2/{number}.jpg" for number in (0, 2, 3)]
    assert len(predictions.read(here.folder / "guesses-own.parquet")) == 4


def test_a_run_under_way_is_evaluated_at_its_newest_checkpoint(asked: Job, into: Job) -> None:
    guess(into, Shards(asked.shards), World())
    done = predictions.read(into.folder / "guesses-garden.parquet")
    (into.folder / "model.pt").unlink()
    made = chance_model()
    checkpoints = Checkpoints(into.folder / "checkpoints", into.recipe)
    head = made.head.state_dict()
    moments = {f"update.{name}": torch.zeros_like(tensor) for name, tensor in head.items()}
    shared = {"model": made.shared(), "head": {}}
    checkpoints.begin(7, shared, {**head, **moments}, range(len(COLOURS)))
    checkpoints.finish()
    guess(into, Shards(asked.shards), World())
    again = predictions.read(into.folder / "guesses-garden.parquet")
    assert again.truths == pytest.approx(done.truths)
    (into.folder / "checkpoints").rename(into.folder / "gone")
    with pytest.raises(ContractError, match="neither a model nor a checkpoint"):
        guess(into, Shards(asked.shards), World())


def test_what_was_asked_before_is_not_asked_again(
    asked: Job, capfd: pytest.CaptureFixture[str]
) -> None:
    data = asked.shards.parent
    options = Options(data=data, sets=("train.ranks=1",))
    evaluate(options, trial=asked.trial)
    heard = capfd.readouterr().err
    assert "garden: 26 pictures; 1 cannot be decoded and are left out" in heard
    assert "1 are of species that the model does not know (Nemo nullus)" in heard
    receipt = Ledger(asked.folder).receipts()["evaluate/garden"]
    assert (receipt.rows, receipt.refused) == (25, {"undecodable": 1})
    evaluate(options, trial=asked.trial)
    assert "evaluated before" in capfd.readouterr().err
    evaluate(replace(options, dry_run=True), trial=replace(asked.trial, views=2))
    assert "would be evaluated" in capfd.readouterr().err


def test_a_run_on_other_shards_is_refused(asked: Job, tmp_path: Path) -> None:
    pack(tmp_path / "shards", train=31)
    folder = tmp_path / "runs" / "main"
    folder.mkdir(parents=True)
    for name in ("model.pt", "run.json"):
        (folder / name).symlink_to(asked.folder / name)
    with pytest.raises(ContractError, match="may have learnt from what it would be tested on"):
        evaluate(Options(data=tmp_path))
    with pytest.raises(ContractError, match="holds no run"):
        evaluate(Options(data=tmp_path), "other")
    (folder / "run.json").unlink()
    (folder / "run.json").write_text(json.dumps({"settings": {}}))
    with pytest.raises(ContractError, match="Train anew"):
        evaluate(Options(data=tmp_path))
