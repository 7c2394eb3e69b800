"""The autoencoders of the study: the note's count of parameters, equal codes, and the losses as formulas say."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from models.checkpoint import load_medium
from models.config import MEDIUM_PX, quality_lambda
from models.medium_codec import MediumCodec
from models.studies.design import NOTE_NEURONS, Design, Kind, Plan, dense_parameters, full_plan, quick_plan
from models.studies.kinds import model_loss
from models.studies.negative_elbo import codec_nats, error_weight, sigma, squared_error, stream_nats
from models.studies.principal_blocks import score_linear
from models.studies.squares import Squares
from models.studies.three_kinds import FullyConnected, Variational, build, draw, kl_nats
from tests.models.pictures import photograph

PLANS = pytest.mark.parametrize("plan", [full_plan(), quick_plan()], ids=["full", "quick"])


def count(network: torch.nn.Module) -> int:
    return sum(one.numel() for one in network.parameters())


def test_the_note_s_count_of_parameters_is_reproduced() -> None:
    assert dense_parameters(3 * MEDIUM_PX**2, NOTE_NEURONS) == 8_875_300
    with torch.device("meta"):
        network = FullyConnected(Design(Kind.CONNECTED, MEDIUM_PX, 1), NOTE_NEURONS)
    assert count(network.first) == 8_875_300


@PLANS
def test_codes_of_all_kinds_have_the_length_of_the_design(plan: Plan) -> None:
    for design in plan.designs():
        if design.size_px < MEDIUM_PX or design.kind is not Kind.CONNECTED:
            model = build(design, most_parameters=plan.most_parameters)
            x = torch.rand(1, 3, design.size_px, design.size_px)
            code = model.encode(x)
            assert code.shape == (1, design.code_length), design
            assert model.decode(code).shape == x.shape, design


@PLANS
def test_only_fully_connected_networks_are_refused_and_all_names_differ(plan: Plan) -> None:
    designs, refused = plan.designs(), plan.refused()
    assert len({one.name for one in designs}) == len(designs)
    assert refused
    for design in refused:
        assert design.kind is Kind.CONNECTED
        assert design.connected_parameters(design.least_neurons) > plan.most_parameters
        with pytest.raises(ValueError, match="more than"):
            build(design, most_parameters=plan.most_parameters)


def test_parameters_are_counted_as_the_networks_have_them() -> None:
    design = Design(Kind.CONNECTED, 32, 4)
    with torch.device("meta"):
        assert count(FullyConnected(design, 100)) == design.connected_parameters(100)


def test_the_kl_divergence_is_that_of_torch() -> None:
    mean, log_variance = torch.randn(3, 7), torch.randn(3, 7)
    theirs = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_nats(mean, log_variance), theirs)


def test_the_codec_s_loss_is_a_negative_elbo() -> None:
    """Bits per pixel + lambda * 255^2 * MSE, times P ln 2, is rate in nats + |x - x_hat|^2 / (2 sigma^2)."""
    x, x_hat, bits, quality = torch.rand(1, 3, 20, 20), torch.rand(1, 3, 20, 20), 1234.0, 31
    pixels = 20 * 20
    loss = bits / pixels + quality_lambda(quality) * 255**2 * float((x - x_hat).square().mean())
    nats = bits * math.log(2) + float(squared_error(x_hat, x)) / (2 * sigma(quality) ** 2)
    assert loss * pixels * math.log(2) == pytest.approx(nats, rel=1e-5)


def test_a_variational_loss_is_the_negative_elbo_divided_by_its_weight_of_errors() -> None:
    design = Design(Kind.VARIATIONAL, 32, 4)
    model, x = Variational(design), torch.rand(2, 3, 32, 32)
    torch.manual_seed(3)
    loss = model_loss(model, x, quality=31, beta=2.0)
    torch.manual_seed(3)
    mean, log_variance = model.posterior(x)
    error = squared_error(model.decode(draw(mean, log_variance)), x)
    elbo = error_weight(31) * error + 2.0 * kl_nats(mean, log_variance)
    torch.testing.assert_close(loss, (elbo / error_weight(31)).mean() / design.values)


def test_the_rate_in_nats_is_the_size_of_the_real_streams() -> None:
    pictures = np.stack([photograph(name, MEDIUM_PX) for name in ("astronaut", "coffee")])
    part = load_medium()
    found = codec_nats(part, pictures, quality=31, weighed_as=31)
    streams = stream_nats(MediumCodec.load(kernels="float32"), pictures, quality=31)
    # The streams have a header, and their tables are the smooth likelihoods in integers.
    assert found.rate == pytest.approx(streams, rel=0.03)
    doubled = codec_nats(part, pictures, quality=31, weighed_as=40)
    assert replace(doubled, distortion=0) == replace(found, distortion=0)
    assert doubled.distortion / found.distortion == pytest.approx(quality_lambda(40) / quality_lambda(31))


def test_the_linear_map_of_all_components_is_the_identity_and_of_fewer_the_best() -> None:
    squares = Squares({64: np.stack([photograph(name, 64) for name in ("astronaut", "coffee", "chelsea")])})
    designs = [Design(Kind.CONVOLUTIONAL, 64, channels) for channels in (4, 16, 768)]
    few, more, everything = score_linear(designs, trained=squares, scored=squares)
    assert few.psnr_db < more.psnr_db < everything.psnr_db
    assert everything.psnr_db > 60
    assert [one.code_length for one in (few, more, everything)] == [64, 256, 12288]


def test_the_border_of_a_picture_that_no_cell_divides_is_coded_too() -> None:
    squares = Squares({172: photograph("astronaut", 172)[None]})
    (found,) = score_linear([Design(Kind.CONVOLUTIONAL, 172, 768)], trained=squares, scored=squares)
    assert found.psnr_db > 60
