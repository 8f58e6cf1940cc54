import torch
from torch import nn

from train.gradients import Gradients
from train.world import World


def network() -> nn.Module:
    torch.manual_seed(3)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    return layers.to(memory_format=torch.channels_last)


def test_they_are_those_of_a_plain_backward_step_after_step() -> None:
    plain, ours = network(), network()
    held = Gradients(list(ours.parameters()), World())
    for seed in range(2):
        batch = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
        plain.zero_grad()
        plain(batch).square().sum().backward()
        held.clear()
        ours(batch).square().sum().backward()
        norm, _ = held.finish()
        wanted = [p.grad for p in plain.parameters()]
        found = [p.grad for p in ours.parameters()]
        assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
        assert torch.allclose(norm, torch.stack([g.norm() for g in wanted]).norm())
    assert ours[0].weight.grad.stride() == ours[0].weight.stride()


def test_a_number_that_is_none_shows_in_the_norm() -> None:
    layer = nn.Linear(2, 2)
    held = Gradients(list(layer.parameters()), World())
    held.clear()
    layer(torch.tensor([[1.0, float("nan")]])).sum().backward()
    assert not torch.isfinite(held.finish()[0])


def test_without_parameters_there_is_nothing_to_sum() -> None:
    held = Gradients([], World(), flags=2)
    held.clear([2.0, 0.5])
    norm, flags = held.finish()
    assert norm == 0
    assert flags.tolist() == [2.0, 0.5]
