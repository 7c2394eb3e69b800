"""The released networks in miniature: trained, released, loaded, and every way from pixels to pixels."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from models.autoencoder import HighAutoencoder, LightNetworks
from models.checkpoint import RELEASED as RELEASED_FILE
from models.checkpoint import load
from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX, RELEASED, Architecture
from models.evaluation.cost import flop_counter
from models.scores import psnr_db
from models.training.light_encoder import latent_loss
from models.training.options import Recipe
from models.training.train import TrainOptions, train
from models.training.warm_start import UnfitStartError, warm_start
from models.weights_file import CheckpointError
from tests.models.counted_clock import CountedClock
from tests.models.pictures import photograph
from tests.models.tiny import TINY

QUALITIES = (0, 20, 45, 63)
Metadata = dict[str, str]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model after a few steps."""
    folder = tmp_path_factory.mktemp("tiny")
    photographs = folder / "photographs"
    photographs.mkdir()
    for name in ("coffee", "rocket"):
        Image.fromarray(photograph(name, 400)).save(photographs / f"{name}.png")
    train(
        TrainOptions(
            data=[photographs],
            valid=None,
            minutes=1,
            output=folder / "run",
            threads=1,
            architecture=TINY,
            recipe=Recipe(batch=2, crop_px=128, fixed_batches=1),
        ),
        clock=CountedClock(),
    )
    return folder / "run" / "latentedge.safetensors"


def test_a_file_says_which_networks_it_holds(weights: Path) -> None:
    assert load(weights).architecture == TINY


def test_reading_a_file_draws_no_initial_weights(weights: Path) -> None:
    state = torch.get_rng_state()
    load(weights)
    assert torch.equal(torch.get_rng_state(), state)


def test_reading_a_file_leaves_no_weight_empty(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = load(weights)
    monkeypatch.setattr("models.checkpoint.EmptyWeights", nullcontext)
    drawn = load(weights)
    for ours, theirs in ((read.high.networks, drawn.high.networks), (read.light, drawn.light)):
        for name, tensor in (*ours.named_parameters(), *ours.named_buffers()):
            assert torch.equal(tensor, dict((*theirs.named_parameters(), *theirs.named_buffers()))[name]), name
    assert load().architecture == RELEASED


@pytest.mark.parametrize("encoder", ["light", "wide"])
@pytest.mark.parametrize("head", ["cpu", "gpu"])
def test_both_encoders_write_what_all_heads_read(weights: Path, encoder: str, head: str) -> None:
    writer, reader = Codec.load(weights, encoder=encoder), Codec.load(weights, kernels="float32", head=head)
    assert writer.stream_id == reader.stream_id
    blobs = [writer.encode(photograph("coffee"), quality=quality) for quality in QUALITIES]
    symbols = [reader.read(blob) for blob in blobs]
    for size_px in (HIGH_PX, MEDIUM_PX):
        truth = photograph("coffee", size_px)
        scores = [psnr_db(truth, one) for one in reader.synthesize(symbols, size_px=size_px)]
        assert scores == sorted(scores)
        assert scores[2] > 28


@pytest.mark.parametrize(("kernels", "least_db"), [("bfloat16", 55), ("float32", 75)])
@pytest.mark.parametrize("head", ["cpu", "gpu"])
def test_the_fast_way_on_a_processor_shows_what_the_plain_one_shows(
    weights: Path, tmp_path: Path, head: str, kernels: str, least_db: float
) -> None:
    unsettled(weights, tmp_path / "unsettled.safetensors")
    fast, plain = (
        Codec.load(tmp_path / "unsettled.safetensors", kernels=one, head=head) for one in (kernels, "float32")
    )
    for quality in QUALITIES:
        symbols = [fast.read(fast.encode(photograph("coffee"), quality=quality))]
        for size_px in (HIGH_PX, MEDIUM_PX):
            (here,), (there,) = (
                fast.synthesize(symbols, size_px=size_px),
                plain.synthesize_plainly(symbols, size_px=size_px),
            )
            assert psnr_db(there, here) > least_db


def unsettled(weights: Path, target: Path) -> None:
    """The same file with noise where training starts at zero or one, so that every part of a decode shows."""
    draw = torch.Generator().manual_seed(5)

    def noisy(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if not name.endswith(("leave.weight", "linear.gain", "linear.inverse", "linear.colours", "anchor.weight")):
            return tensor
        return (tensor.float() + 0.02 * torch.randn(tensor.shape, generator=draw)).to(tensor.dtype)

    rewritten(weights, target, tensors=lambda found: {name: noisy(name, one) for name, one in found.items()})


def rewritten(
    weights: Path,
    target: Path,
    *,
    metadata: Callable[[Metadata], Metadata] = dict,
    tensors: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] = dict,
) -> None:
    """A weights file with something changed."""
    with safe_open(weights, framework="pt") as file:
        said = dict(file.metadata())
    save_file(tensors(load_file(weights)), target, metadata=metadata(said))


def test_the_encoder_follows_the_device_unless_it_is_chosen(weights: Path, tmp_path: Path) -> None:
    auto, light, wide = (Codec.load(weights, encoder=name) for name in ("auto", "light", "wide"))
    blobs = [one.encode(photograph("rocket"), quality=63) for one in (auto, light, wide)]
    assert blobs[0] == blobs[1] != blobs[2]
    with pytest.raises(ValueError, match="auto, light or wide"):
        Codec.load(weights, encoder="best")
    without = tmp_path / "without.safetensors"
    rewritten(weights, without, metadata=lambda said: described(said, light_encoder=None))
    with pytest.raises(CheckpointError, match="no light encoder"):
        Codec.load(without, encoder="light")


def test_the_heads_for_a_gpu_have_ids_of_their_own(weights: Path) -> None:
    cpu, gpu = (Codec.load(weights, head=head) for head in ("cpu", "gpu"))
    ids = {one.head_id(size_px) for one in (cpu, gpu) for size_px in (HIGH_PX, MEDIUM_PX)}
    assert len(ids) == 4


def test_the_released_weights_keep_their_ids() -> None:
    found = load()
    assert (found.high.stream_id.hex(), found.medium.stream_id.hex()) == ("4f498179", "c32e7087")
    heads = found.head_ids
    assert (heads.high_gpu.hex(), heads.high_cpu.hex()) == ("76136041", "f40a7dc8")
    assert (heads.medium_cpu.hex(), heads.medium_gpu.hex()) == ("91f5df25", "9068d0be")


def described(said: Metadata, **changes: object) -> Metadata:
    return said | {"architecture": json.dumps(json.loads(said["architecture"]) | changes)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda said: {name: one for name, one in said.items() if name != "architecture"}, "architecture"),
        (lambda said: said | {"format": "latentedge-weights-3"}, "latentedge-weights-4"),
        (lambda said: said | {"architecture": "{}"}, "missing"),
        (lambda said: described(said, colour="green"), "unknown to this version"),
        (lambda said: described(said, medium_head={"width": 1 << 20, "blocks": 1}), "8192"),
        (lambda said: described(said, medium_head={"width": "16", "blocks": 1}), "integer"),
        (lambda said: described(said, high=asdict(replace(TINY.high, basis="klt"))), "DCT"),
        (lambda said: described(said, medium_head={"width": 17, "blocks": 1}), "size mismatch"),
    ],
    ids=["silent", "old", "empty", "unknown", "huge", "text", "unfit", "narrower"],
)
def test_a_file_that_describes_itself_wrongly_is_refused(
    weights: Path, tmp_path: Path, change: Callable[[Metadata], Metadata], reason: str
) -> None:
    rewritten(weights, tmp_path / "wrong.safetensors", metadata=change)
    with pytest.raises(CheckpointError, match=reason):
        load(tmp_path / "wrong.safetensors")


def test_coefficients_out_of_place_are_refused(weights: Path, tmp_path: Path) -> None:
    place = "light.high.linear.places"
    rewritten(weights, tmp_path / "wrong.safetensors", tensors=lambda found: found | {place: found[place] + 768})
    with pytest.raises(CheckpointError, match="DCT path"):
        load(tmp_path / "wrong.safetensors")


def test_weights_of_another_architecture_are_no_start() -> None:
    with pytest.raises(UnfitStartError, match="another architecture"):
        warm_start(HighAutoencoder(TINY), RELEASED_FILE)


def test_the_light_encoder_moves_neither_the_latent_nor_the_gains() -> None:
    high = HighAutoencoder(TINY)
    wanted = torch.randn(2, TINY.high.latent_channels, 4, 4, requires_grad=True)
    found = torch.zeros_like(wanted, requires_grad=True)
    loss = latent_loss(found, wanted, hyperprior=high.hyperprior, quality=torch.tensor([3, 60]))
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
    assert wanted.grad is None
    assert all(one.grad is None for one in high.parameters())
    assert found.grad is not None
    # quality 3 codes 64 of the 160 channels
    assert float(found.grad[0, 64:].abs().max()) == 0 < float(found.grad[0, :64].abs().min())
    assert float(found.grad[1].abs().min()) > 0


def macs_of_heads(architecture: Architecture) -> dict[str, float]:
    """Millions of multiplications of each head, means and exact path left out."""
    high, light = HighAutoencoder(architecture), LightNetworks(architecture)
    heads = {"high-gpu": high.head, "high-cpu": light.high, "translator": light.medium, "medium-gpu": high.medium_head}
    return {name: macs(head, architecture) / 1e6 for name, head in heads.items() if head is not None}


def macs(head: nn.Module, architecture: Architecture) -> int:
    channels = architecture.high.latent_channels
    y_hat, deviation = torch.zeros(1, channels, 22, 22), torch.ones(channels)
    with flop_counter() as counter, torch.no_grad():
        head(y_hat, quality=torch.zeros(1, dtype=torch.long), deviation=deviation)
    return int(counter.get_total_flops()) // 2


def test_the_next_heads_keep_their_budgets() -> None:
    found = macs_of_heads(RELEASED)
    means_and_exact = 32.8 + 20.8  # of a picture that codes all channels
    assert found["high-cpu"] < 110
    assert found["translator"] + means_and_exact < 200
    assert 700 < found["medium-gpu"] < 850
    assert 6_000 < found["high-gpu"] < 7_000


FIRST_REQUEST = """
import inspect, sys
from pathlib import Path

from models.codec import Codec
from models.cpu import dct_loops
from models.machine_code import compile_loop
from tests.models.counted_clock import CountedClock
from tests.models.pictures import photograph

def made():
    own = [one for one in vars(dct_loops).values() if inspect.isfunction(one)]
    return [len(compile_loop(one).signatures) for one in own if one.__module__ == dct_loops.__name__]

codec = Codec.load(Path(sys.argv[1]), kernels=sys.argv[2])
before = made()
symbols = [codec.read(codec.encode(photograph(), quality=40))]
for size_px in (344, 172):
    codec.synthesize(symbols, size_px=size_px)
assert before == made() and all(before), (before, made())
"""


@pytest.mark.parametrize("kernels", ["float32", "bfloat16"])
def test_nothing_is_left_to_compile_within_the_first_request(weights: Path, kernels: str) -> None:
    command = [sys.executable, "-c", FIRST_REQUEST, str(weights), kernels]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
