"""Our Muon, which takes all matrices of one shape at once, against torch's, which takes one after the other."""

import pytest
import torch
from torch import nn

from models.training.muon import Muon, orthogonalise
from models.training.optimizers import Optimizers, optimizers_of
from models.training.options import Recipe

SHAPES = ((24, 40), (40, 24), (24, 40), (16, 16), (8, 64))
RATE, MOMENTUM, STEPS = 2e-2, 0.95, 6


def matrices() -> list[nn.Parameter]:
    draw = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=draw)) for shape in SHAPES]


def train(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> None:
    draw = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        for one in parameters:
            one.grad = torch.randn(one.shape, generator=draw)
        optimizer.step()


def test_it_moves_every_matrix_as_torch_does() -> None:
    ours, theirs, start = matrices(), matrices(), matrices()
    train(Muon(ours, lr=RATE, momentum=MOMENTUM), ours)
    train(torch.optim.Muon(theirs, lr=RATE, momentum=MOMENTUM, weight_decay=0, adjust_lr_fn="match_rms_adamw"), theirs)
    for mine, other, before in zip(ours, theirs, start, strict=True):
        moved = (other - before).norm()
        assert moved > 0.1
        # both iterate in bfloat16, one matrix or many at a time
        assert (mine - other).norm() < 0.02 * moved


def test_a_rate_in_a_tensor_is_read_at_every_step() -> None:
    by_tensor, by_number = matrices(), matrices()
    rate = torch.tensor(RATE)
    optimizer = Muon(by_tensor, lr=rate, momentum=MOMENTUM)
    rate.fill_(RATE / 2)
    train(optimizer, by_tensor)
    train(Muon(by_number, lr=RATE / 2, momentum=MOMENTUM), by_number)
    for mine, other in zip(by_tensor, by_number, strict=True):
        torch.testing.assert_close(mine, other)


def test_singular_values_come_close_to_one() -> None:
    draw = torch.randn(3, 16, 48, generator=torch.Generator().manual_seed(2))
    values = torch.linalg.svdvals(orthogonalise(draw).float())
    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.5


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(4, 8)
        self.linear = nn.Linear(4, 8)
        self.table = nn.Parameter(torch.zeros(4, 4))


@pytest.mark.parametrize(("name", "of_muon"), [("muon", {"enter.weight"}), ("adamw", set())])
def test_muon_gets_the_matrices_of_the_networks_and_adamw_the_rest(name: str, of_muon: set[str]) -> None:
    network = Network()
    optimizers = optimizers_of(network, Recipe(optimizer=name), device="cpu")
    names = {id(parameter): of for of, parameter in network.named_parameters()}
    groups = [(part, group) for part in optimizers.parts for group in part.param_groups]
    rates = {names[id(one)]: group["initial_lr"] for _, group in groups for one in group["params"]}
    assert rates == {of: 2e-4 if of.startswith("linear") else 2e-3 for of in names.values()}
    found = {names[id(one)] for part, group in groups if isinstance(part, Muon) for one in group["params"]}
    assert found == of_muon


def test_steps_in_an_untouched_block_change_nothing() -> None:
    network = Network()
    optimizers = optimizers_of(network, Recipe(), device="cpu")

    def step() -> None:
        for one in network.parameters():
            one.grad = torch.ones_like(one)
        optimizers.step()

    step()
    before = [one.clone() for one in network.parameters()]
    states = [value.clone() for value in state_of(optimizers)]
    with optimizers.preserve():
        step()
    torch.testing.assert_close(list(network.parameters()), before, rtol=0, atol=0)
    torch.testing.assert_close(state_of(optimizers), states, rtol=0, atol=0)


def state_of(optimizers: Optimizers) -> list[torch.Tensor]:
    return [value for part in optimizers.parts for state in part.state.values() for value in state.values()]
