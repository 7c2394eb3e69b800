"""The ways to the medium picture train what they say and nothing else, and the training loop keeps its time."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from models.studies.design import Design, Kind
from models.studies.fitting import Budget, Moment, fit
from models.studies.second_head import FrozenLatentHead, JointHead, SecondHead
from models.studies.squares import Batches, Squares
from models.studies.three_kinds import Convolutional
from models.studies.translators import (
    Alternation,
    Attempt,
    Chain,
    FineTuning,
    FromTheStart,
    NoteAttempt,
    PairedPictures,
    Scaling,
)
from tests.models.counted_clock import CountedClock

MEDIUM, HIGH = Design(Kind.CONVOLUTIONAL, 32, 4, width=8), Design(Kind.CONVOLUTIONAL, 64, 4, width=8)
SIZES = (HIGH.code_length, MEDIUM.code_length)


@pytest.fixture
def chain() -> Chain:
    torch.manual_seed(0)
    return Chain(Convolutional(MEDIUM), Convolutional(HIGH))


@pytest.fixture
def pictures() -> PairedPictures:
    high = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return PairedPictures(avg_pool2d(high, 2), high)


def changed(attempt: Attempt, pictures: PairedPictures, moment: Moment, network: nn.Module) -> bool:
    """Train one step, and say whether a network has other weights than before."""
    before = [one.detach().clone() for one in network.parameters()]
    optimizer = torch.optim.SGD(attempt.parameters(), lr=0.1)
    optimizer.zero_grad()
    attempt.loss(pictures, moment).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    optimizer.step()
    return not all(torch.equal(one, old) for one, old in zip(network.parameters(), before, strict=True))


def at(share: float, step: int = 0) -> Moment:
    return Moment(step, 0.0, share)


def test_the_note_s_translator_leaves_both_autoencoders_alone(chain: Chain, pictures: PairedPictures) -> None:
    attempt = NoteAttempt(chain, sizes=SIZES)
    assert not changed(attempt, pictures, at(0.0), chain.medium)
    assert not changed(attempt, pictures, at(0.0), chain.high)
    assert changed(attempt, pictures, at(0.0), attempt.mlp)


def test_fine_tuning_begins_at_half_of_the_time(chain: Chain, pictures: PairedPictures) -> None:
    attempt = FineTuning(chain, sizes=SIZES)
    assert not changed(attempt, pictures, at(0.49), chain.medium)
    assert changed(attempt, pictures, at(0.5), chain.medium)
    assert not changed(attempt, pictures, at(0.5), chain.high)


def test_alternating_changes_the_translator_and_the_decoder_in_turns(chain: Chain, pictures: PairedPictures) -> None:
    attempt = Alternation(chain, sizes=SIZES)
    networks = (attempt.mlp, chain.medium)
    turns = [
        tuple(changed(attempt, pictures, at(0.1, step), network) for network in networks)
        for step in (0, 24, 25, 49, 50)
    ]
    assert turns == [(True, False), (True, False), (False, True), (False, True), (True, False)]


def test_from_the_start_the_medium_autoencoder_learns_both_codes(chain: Chain, pictures: PairedPictures) -> None:
    attempt = FromTheStart(chain, sizes=SIZES)
    assert changed(attempt, pictures, at(0.0), chain.medium)
    assert changed(attempt, pictures, at(0.0), attempt.mlp)
    assert not changed(attempt, pictures, at(0.0), chain.high)


def test_the_second_head_leaves_a_frozen_code_and_trains_a_joint_one(chain: Chain, pictures: PairedPictures) -> None:
    frozen = FrozenLatentHead(chain.high, HIGH, first=pictures)
    assert not changed(frozen, pictures, at(0.0), chain.high)
    high = Convolutional(HIGH)
    assert changed(JointHead(high, HIGH), pictures, at(0.0), high)


def test_the_least_squares_start_finds_a_linear_map() -> None:
    """Pictures that are a linear map of the codes' cells and their neighbours are met by the start alone."""
    torch.manual_seed(0)
    head, other = SecondHead(HIGH), SecondHead(HIGH)
    code = torch.randn(64, HIGH.code_length)
    with torch.no_grad():
        medium = other(code)
        before = float((head(code) - medium).square().mean())
        head.start(code, medium)
        after = float((head(code) - medium).square().mean())
    assert after < 1e-4 * before


def test_standardised_codes_have_unit_deviation_and_are_restored() -> None:
    codes = torch.randn(200, 5) * torch.tensor([1.0, 10, 100, 0.1, 3]) + 7
    scaling = Scaling.of(codes)
    standard = scaling.standardise(codes)
    torch.testing.assert_close(standard.std(0), torch.ones(5), atol=0.01, rtol=0)
    torch.testing.assert_close(scaling.restore(standard), codes, atol=1e-3, rtol=1e-4)


def loss_of(weight: nn.Parameter) -> Callable[[Moment], Tensor]:
    return lambda _moment: (weight - 3).square().sum()


def test_a_training_ends_with_its_time_and_measurements_do_not_count() -> None:
    clock, weight, shares = CountedClock(1.0), nn.Parameter(torch.zeros(1)), []

    def measure(moment: Moment) -> None:
        clock.now()  # a second that is spent on the measurement
        shares.append(moment.share)

    end = fit([weight], loss_of(weight), Budget(40.0, 4), measure=measure, clock=clock)
    unmeasured = fit([weight], loss_of(weight), Budget(40.0), clock=CountedClock(1.0))
    assert shares[0] == 0
    assert shares[-1] == 1
    assert len(shares) == 5
    assert abs(end.step - unmeasured.step) <= len(shares)


def test_a_training_without_time_has_one_step() -> None:
    weight = nn.Parameter(torch.zeros(1))
    assert fit([weight], loss_of(weight), Budget(0.001), clock=CountedClock(5.0)).step == 1
    assert weight.item() > 0


def test_batches_are_the_same_squares_at_every_side() -> None:
    large = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    small = large[:, ::2, ::2]
    batches = Batches(Squares({4: small, 8: large}), seed=0)
    for _ in range(4):
        of_small, of_large = batches.draw(6, 4, 8)
        ways = of_large[:, :, ::2, ::2], of_large.flip(3)[:, :, ::2, ::2].flip(3)  # mirrored squares are halved so
        equal = [any(torch.equal(one, way[number]) for way in ways) for number, one in enumerate(of_small)]
        assert all(equal)
