"""The sharded head beside a dense layer, on one to four ranks that are real processes."""

import multiprocessing
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.nn import functional

from train import exchange, softmax
from train.head import Guesses, ShardedHead, classes_of, draw, log_prior, pick
from train.update import SGD, AdamW, Update
from train.world import World

INPUTS, FEATURES, ROWS, STEPS = 6, 8, 11, 20
RATE, DECAY = 0.5, 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to train a head."""

    classes: int = 23
    dtype: torch.dtype = torch.float64
    optimizer: str = "sgd"
    prior: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def head(self, world: World) -> ShardedHead:
        update: dict[str, Update] = {
            "sgd": SGD(RATE, weight_decay=DECAY),
            "adamw": AdamW(RATE / 20, weight_decay=DECAY),
        }
        head = ShardedHead(
            FEATURES,
            self.classes,
            world,
            offsets=log_prior(torch.arange(self.classes)) if self.prior else None,
            update=update.get(self.optimizer),
            seed=3,
            **self.settings,
        )
        return head.to(self.dtype)


CASES = {
    "bias": Case(),
    "all": Case(prior=True, settings={"label_smoothing": 0.1}),
    "cosine": Case(settings={"label_smoothing": 0.1, "scale": 6.0}),
    "adamw": Case(optimizer="adamw", prior=True, settings={"label_smoothing": 0.1}),
    "plain": Case(optimizer="plain", settings={"bias": False}),
    "all classes drawn": Case(settings={"label_smoothing": 0.1, "negatives": 0.9999}),
    "ranks without classes": Case(classes=3),
    "float32": Case(dtype=torch.float32, prior=True, settings={"label_smoothing": 0.1}),
}

RUNS = [(name, size) for name in CASES for size in (1, 2, 3, 4)
        if size in (1, 4) or name in ("all", "float32")]  # fmt: skip
"""Which cases run on how many ranks: between the extremes, those that have all at once."""


def batch(case: Case, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return inputs, labels and weights of a step."""
    chance = torch.Generator().manual_seed(step)
    labels = torch.randint(0, case.classes, (ROWS,), generator=chance)
    weights = torch.tensor([1.0, 0.0, 0.5])[torch.randint(0, 3, (ROWS,), generator=chance)]
    inputs = torch.randn(ROWS, INPUTS, generator=chance) + labels[:, None] % 3
    return inputs.to(case.dtype), labels, weights


def share(step: int, rank: int, size: int) -> slice:
    """Return a rank's rows: cut anywhere, so that some ranks have none."""
    chance = torch.Generator().manual_seed(1000 + step)
    cuts = torch.randint(0, ROWS + 1, (size - 1,), generator=chance).sort().values.tolist()
    ends = [0, *cuts, ROWS]
    return slice(ends[rank], ends[rank + 1])


def backbone(dtype: torch.dtype) -> torch.Tensor:
    chance = torch.Generator().manual_seed(5)
    return (torch.randn(INPUTS, FEATURES, generator=chance) / 2).to(dtype).requires_grad_()


def sharded(case: Case, world: World) -> dict[str, Any]:
    """Train on *world*; return what this rank has at the end."""
    head, below = case.head(world), backbone(case.dtype)
    losses, hits = [], 0
    for step in range(STEPS):
        mine = share(step, world.rank, world.size)
        inputs, labels, weights = (tensor[mine] for tensor in batch(case, step))
        loss = head(inputs @ below, labels, weights)
        assert len(loss.losses) == len(loss.hits) == ROWS
        loss.mean.backward()
        with torch.no_grad():
            for parameter in head.parameters():
                if parameter.grad is not None:  # not updated in backward
                    parameter -= RATE * parameter.grad
                    parameter.grad = None
            assert below.grad is not None
            below -= 0.1 * world.total(below.grad)
            below.grad = None
        losses.append(loss.mean.detach())
        hits += int(loss.hits.sum())
    inputs, labels, _ = batch(case, STEPS)
    mine = share(STEPS, world.rank, world.size)
    found = {name: p.detach() for name, p in head.named_parameters()}
    guesses = head.topk((inputs @ below.detach())[mine], labels[mine], 5)
    return {**found, "losses": torch.stack(losses), "below": below.detach(),
            "hits": hits, "guesses": tuple(guesses)}  # fmt: skip


def dense(case: Case) -> dict[str, Any]:
    """Train one whole layer with torch alone."""
    scale = case.settings.get("scale")
    weight = draw(range(case.classes), FEATURES, 3).to(case.dtype).requires_grad_()
    bias = torch.zeros(case.classes, dtype=case.dtype, requires_grad=True)
    below = backbone(case.dtype)
    prior = log_prior(torch.arange(case.classes)).to(case.dtype) if case.prior else 0
    groups = [{"params": [weight], "weight_decay": DECAY}, {"params": [bias], "weight_decay": 0.0}]
    optimizers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(groups, RATE, momentum=0.9),
        "adamw": lambda: torch.optim.AdamW(groups, RATE / 20),
        "plain": lambda: torch.optim.SGD([weight], RATE),
    }
    optimizer = optimizers[case.optimizer]()

    def scores(features: torch.Tensor) -> torch.Tensor:
        if scale:
            return scale * functional.normalize(features) @ functional.normalize(weight).T
        return features @ weight.T + (bias if case.settings.get("bias", True) else 0)

    losses, hits = [], 0
    for step in range(STEPS):
        inputs, labels, weights = batch(case, step)
        logits = scores(inputs @ below) + prior
        each = functional.cross_entropy(
            logits,
            labels,
            reduction="none",
            label_smoothing=case.settings.get("label_smoothing", 0.0),
        )
        loss = (each * weights).sum() / weights.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            assert below.grad is not None
            below -= 0.1 * below.grad
            below.grad = None
        losses.append(loss.detach())
        hits += int((logits.argmax(1) == labels).sum())
    inputs, labels, _ = batch(case, STEPS)
    with torch.no_grad():
        found = scores(inputs @ below).log_softmax(1)
    best = found.topk(min(5, case.classes))
    places = 1 + (found > found.gather(1, labels[:, None])).sum(1)
    return {"weight": weight.detach(), "bias": bias.detach(), "losses": torch.stack(losses),
            "below": below.detach(), "hits": hits,
            "guesses": (best.values, best.indices, places)}  # fmt: skip


def rank_main(rank: int, folder: Path) -> None:
    """Be a rank of two, of three, and of four."""
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    softmax._CACHE = 200  # a few classes a chunk
    for size in (2, 3, 4):
        if rank >= size:
            continue
        store = dist.FileStore(str(folder / f"store-{size}"), size)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size)
        exchange._DEALING = set() if size == 3 else {"gloo"}  # the other way, as NCCL goes
        world = World(rank=rank, size=size)
        found = {name: sharded(CASES[name], world) for name, ranks in RUNS if ranks == size}
        torch.save(found, folder / f"{size}-{rank}.pt")
        dist.barrier()
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """What each rank of each world found in all cases."""
    folder = tmp_path_factory.mktemp("ranks")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # torch is imported once for all
    ranks = [context.Process(target=rank_main, args=(rank, folder)) for rank in range(4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        patch.setenv("OMP_NUM_THREADS", "1")
        for rank in ranks:
            rank.start()
    try:
        for rank in ranks:
            rank.join(120)
            assert rank.exitcode == 0
    finally:
        for rank in ranks:
            rank.kill()
    found = {
        size: [torch.load(folder / f"{size}-{rank}.pt") for rank in range(size)]
        for size in (2, 3, 4)
    }
    return {1: [{name: sharded(case, World()) for name, case in CASES.items()}], **found}


@pytest.mark.parametrize(("name", "size"), RUNS)
def test_any_number_of_ranks_trains_as_one_dense_layer(
    told: dict[int, list[dict[str, Any]]], name: str, size: int
) -> None:
    case, ranks = CASES[name], [found[name] for found in told[size]]
    expected, near = dense(case), 1e-5 if case.dtype == torch.float32 else 1e-10
    close = {"rtol": near, "atol": near}
    for found in ranks:
        torch.testing.assert_close(found["losses"], expected["losses"], **close)
        torch.testing.assert_close(found["below"], expected["below"], **close)
    whole = torch.cat([found["weight"] for found in ranks])
    torch.testing.assert_close(whole, expected["weight"], **close)
    if "bias" in ranks[0]:
        bias = torch.cat([found["bias"] for found in ranks])
        torch.testing.assert_close(bias, expected["bias"], **close)
        assert found["hits"] == expected["hits"]
    for values, wanted in zip(zip(*(found["guesses"] for found in ranks), strict=True),
                              expected["guesses"], strict=True):  # fmt: skip
        torch.testing.assert_close(torch.cat(values), wanted, **close)


def test_every_class_has_one_rank_and_the_same_first_weights() -> None:
    for size in (1, 3, 7, 40):
        parts = [classes_of(rank, size, 2500) for rank in range(size)]
        assert [label for part in parts for label in part] == list(range(2500))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        drawn = torch.cat([draw(part, 2, seed=1) for part in parts])
        assert torch.equal(drawn, draw(range(2500), 2, seed=1))


def test_the_best_among_equals_are_the_lower_classes() -> None:
    head = ShardedHead(2, 6)
    torch.nn.init.zeros_(head.weight)
    guesses = head.topk(torch.ones(2, 2), torch.tensor([0, 4]), 3)
    assert guesses.classes.tolist() == [[0, 1, 2]] * 2
    assert guesses.places.tolist() == [1, 5]
    assert guesses.scores.exp().tolist() == [pytest.approx([1 / 6] * 3)] * 2


@pytest.fixture
def factors() -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Features, labels and weights of a batch."""
    torch.manual_seed(0)
    yield torch.randn(16, 32), torch.randint(0, 300, (16,)), torch.ones(16)


Factors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def test_bfloat16_rounds_factors_but_no_sum(factors: Factors) -> None:
    features, labels, weights = factors
    head, exact = (ShardedHead(32, 300) for _ in range(2))
    with torch.no_grad():
        exact.weight.copy_(head.weight.bfloat16())
    rounded = features.bfloat16().float()
    features.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = head(features, labels, weights)
    loss.mean.backward()
    other = exact(rounded.requires_grad_(), labels, weights)
    other.mean.backward()
    assert loss.mean.dtype == torch.float32
    assert loss.mean.item() == pytest.approx(other.mean.item(), rel=1e-6)
    for found, wanted in ((head.weight.grad, exact.weight.grad), (features.grad, rounded.grad)):
        assert found is not None
        assert wanted is not None
        assert (found - wanted).norm() < 0.01 * wanted.norm()


def test_drawn_negatives_stand_for_all() -> None:
    torch.manual_seed(0)
    masses, labels = torch.rand(50).exp(), torch.tensor([3, 3, 70, 12])
    sums = []
    for _ in range(1500):
        picked, each = pick(labels, range(50), 0.2)
        assert {3, 12} <= set(picked.tolist())
        assert len(picked) == 2 + 10
        sums.append((masses[picked] * each).sum())
    found = torch.stack(sums)
    assert found.mean().item() == pytest.approx(
        masses.sum().item(), abs=5 * found.std().item() / 1500**0.5
    )


def test_the_sampled_loss_is_near_the_whole_and_moves_only_what_was_drawn(
    factors: Factors,
) -> None:
    features, labels, weights = factors
    whole = ShardedHead(32, 300, label_smoothing=0.1)(features, labels, weights).mean.item()
    sampled = ShardedHead(32, 300, label_smoothing=0.1, negatives=0.2, update=SGD(lr=1.0))
    before = sampled.weight.detach().clone()
    with torch.no_grad():
        many = torch.stack([sampled(features, labels, weights).mean for _ in range(300)])
    assert many.mean().item() == pytest.approx(whole, abs=0.01)
    sampled(features, labels, weights).mean.backward()
    moved = (sampled.weight != before).any(1)
    positives = len(labels.unique())
    assert moved[labels].all()
    assert moved.sum() == positives + -(-(300 - positives) // 5)


def test_a_batch_that_weighs_nothing_moves_nothing() -> None:
    head = ShardedHead(2, 6, update=SGD(lr=1.0))
    before = head.weight.detach().clone()
    loss = head(torch.ones(3, 2), torch.tensor([0, 1, 2]), torch.zeros(3))
    loss.mean.backward()
    assert loss.mean.item() == 0
    assert torch.equal(head.weight, before)


def test_a_fused_update_leaves_no_gradient_and_is_remembered() -> None:
    head = ShardedHead(2, 6, update=AdamW(lr=0.1))
    head(torch.ones(1, 2), torch.tensor([5]), torch.ones(1)).mean.backward()
    assert head.weight.grad is None
    state = head.state_dict()
    assert state["update.steps"] == 1
    assert state["update.weight_square"].shape == (6, 2)
    other = ShardedHead(2, 6, update=AdamW(lr=0.1), seed=9)
    other.load_state_dict(state)
    for each in (head, other):
        each(torch.ones(1, 2), torch.tensor([2]), torch.ones(1)).mean.backward()
    assert torch.equal(head.weight, other.weight)


def test_guesses_are_plain_tensors_of_this_ranks_rows() -> None:
    guesses = ShardedHead(2, 6).topk(torch.ones(4, 2), torch.zeros(4, dtype=torch.int64), 2)
    assert isinstance(guesses, Guesses)
    assert [tuple(part.shape) for part in guesses] == [(4, 2), (4, 2), (4,)]
