"""The decoder of an accelerator, on the processor: same networks, no streams, no graphs."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.codec import Codec, Symbols
from models.config import HIGH_PX, MEDIUM_PX
from models.device.decoder import DeviceDecoder
from models.device.packing import Inputs, Packing
from models.device_errors import DeviceLost, watching
from models.layers import pixel_shuffle
from models.picture_array import Pixels
from models.scores import psnr_db
from models.synthesis import HighHead
from models.translator import Translator
from tests.models.golden_streams import read_all

LARGEST = 4


@pytest.fixture(scope="module", params=[("float32", "cpu"), ("bfloat16", "gpu")])
def codec(request: pytest.FixtureRequest) -> Codec:
    kernels, head = request.param
    return Codec.load(kernels=kernels, head=head)


@pytest.fixture(scope="module")
def decoder(codec: Codec) -> DeviceDecoder:
    return decoder_of(codec)


@pytest.fixture(scope="module")
def symbols(codec: Codec) -> list[Symbols]:
    """Latents of mixed qualities, so that the channels that they code differ: 96 to 384."""
    golden = read_all()
    return [codec.read(golden[quality].blob) for quality in (32, 0, 63, 32, 11, 47, 5, 63, 28)]


def decoder_of(codec: Codec, *, largest: int = LARGEST) -> DeviceDecoder:
    heads: dict[int, HighHead | Translator] = {HIGH_PX: codec._head, MEDIUM_PX: codec._translator}
    return DeviceDecoder(codec._networks.hyperprior, heads, device="cpu", largest=largest)


def assert_alike(found: Sequence[Pixels], expected: Sequence[Pixels]) -> None:
    """Compare by levels and by PSNR: bf16 rounds at other places (64 dB and more, measured), float32 hardly at all."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        # A window at the limit of the rule for flat grounds may be settled in one of the two pictures only.
        unsettled = ~np.isin(one, (0, 255)) & ~np.isin(other, (0, 255))
        assert int(np.abs(one.astype(int) - other)[unsettled].max()) <= 2
        assert psnr_db(other, one) > 60


@pytest.mark.parametrize("size_px", [HIGH_PX, MEDIUM_PX])
@pytest.mark.parametrize("batch", [1, 2, 3, 4, 9])
def test_batches_of_each_bucket_and_past_the_largest_show_what_the_networks_show(
    codec: Codec, decoder: DeviceDecoder, symbols: list[Symbols], size_px: int, batch: int
) -> None:
    found = decoder.submit(symbols[:batch], size_px=size_px).pictures()
    expected = codec.synthesize_plainly(symbols[:batch], size_px=size_px)
    assert_alike(found, expected)
    if codec.kernels.heads == "float32":
        differ = [int(np.abs(one.astype(int) - other).max()) for one, other in zip(found, expected, strict=True)]
        assert max(differ) <= 1


def test_pictures_stay_what_they_are_while_later_ones_are_made(decoder: DeviceDecoder, symbols: list[Symbols]) -> None:
    kept = decoder.submit(symbols[:3], size_px=MEDIUM_PX).pictures()
    copies = [picture.copy() for picture in kept]
    tickets = [decoder.submit(symbols[start : start + 3], size_px=MEDIUM_PX) for start in (3, 6, 3)]
    later = [ticket.pictures() for ticket in reversed(tickets)]
    assert all(np.array_equal(one, copy) for one, copy in zip(kept, copies, strict=True))
    assert all(np.array_equal(one, other) for one, other in zip(later[0], later[2], strict=True))
    assert not np.array_equal(later[0][0], later[1][0])


def test_a_shuffle_leaves_the_channels_of_a_place_together() -> None:
    x = torch.randn(2, 12, 5, 4).contiguous(memory_format=torch.channels_last)
    found = pixel_shuffle(x, 2)
    assert torch.equal(found, torch.nn.functional.pixel_shuffle(x, 2))
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_nothing_is_made_of_nothing(decoder: DeviceDecoder) -> None:
    assert decoder.submit([], size_px=HIGH_PX).pictures() == []


def test_packing_brings_every_symbol_to_its_row_and_clears_the_rest(symbols: list[Symbols]) -> None:
    packing = Packing.of(symbols)
    packed = np.full(packing.size_bytes, 0xAA, np.uint8)
    packing.write_qualities(packed, symbols)
    for rows in (range(5), range(5, 9)):
        packing.write_rows(packed, symbols, rows)
    inputs = Inputs.zeros(16, hyper_channels=symbols[0].h1.shape[1], channels=384, device="cpu")
    inputs.q.fill_(77)
    packing.unpack(torch.from_numpy(packed), inputs)
    assert sorted(packing.order) == list(range(9))
    for row, picture in enumerate(packing.order):
        one = symbols[picture]
        coded = one.q.shape[1]
        assert int(inputs.quality[row]) == one.quality
        assert np.array_equal(inputs.h1[row].numpy(), one.h1)
        assert np.array_equal(inputs.q[row, :, :coded].numpy(), one.q)
        assert not inputs.q[row, :, coded:].any()
    assert bool((inputs.q[9:] == 77).all())
    assert packing.size_bytes == sum(8 + one.h1.nbytes + one.q.nbytes for one in symbols)


class Small(nn.Module):
    """A head on a device that has memory for the activations of `room` pictures at once."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head, self.room, self.error = head, 64, torch.OutOfMemoryError("CUDA out of memory")
        self.tried: list[int] = []

    def forward(self, y_hat: Tensor, *, quality: Tensor, deviation: Tensor) -> Tensor:
        self.tried.append(len(y_hat))
        if len(y_hat) > self.room:
            raise self.error
        x_hat: Tensor = self.head(y_hat, quality=quality, deviation=deviation)
        return x_hat


@pytest.fixture
def small(codec: Codec) -> Small:
    return Small(codec._translator)


def small_decoder(codec: Codec, small: Small) -> DeviceDecoder:
    heads = {MEDIUM_PX: small}
    return DeviceDecoder(codec._networks.hyperprior, heads, device="cpu", largest=LARGEST)  # type: ignore[arg-type]


def test_a_batch_without_memory_is_made_in_two_halves(codec: Codec, small: Small, symbols: list[Symbols]) -> None:
    decoder = small_decoder(codec, small)
    small.room, small.tried = 2, []
    found = decoder.submit(symbols[:4], size_px=MEDIUM_PX).pictures()
    assert small.tried == [4, 2, 2]
    assert_alike(found, codec.synthesize_plainly(symbols[:4], size_px=MEDIUM_PX))


def test_a_batch_is_halved_once_and_the_decoder_goes_on(codec: Codec, small: Small, symbols: list[Symbols]) -> None:
    decoder = small_decoder(codec, small)
    small.room = 1
    with pytest.raises(torch.OutOfMemoryError):
        decoder.submit(symbols[:4], size_px=MEDIUM_PX)
    (found,) = decoder.submit(symbols[:1], size_px=MEDIUM_PX).pictures()
    assert_alike([found], codec.synthesize_plainly(symbols[:1], size_px=MEDIUM_PX))


def test_buckets_that_do_not_fit_at_load_are_left_out(
    codec: Codec, small: Small, symbols: list[Symbols], caplog: pytest.LogCaptureFixture
) -> None:
    small.room = 2
    decoder = small_decoder(codec, small)
    small.tried = []
    assert decoder.largest == 2
    assert len(decoder.submit(symbols[:3], size_px=MEDIUM_PX).pictures()) == 3
    assert small.tried == [2, 1]
    assert "no memory for 4 pictures" in caplog.text


def test_another_error_of_a_network_passes_unchanged(codec: Codec, small: Small, symbols: list[Symbols]) -> None:
    decoder = small_decoder(codec, small)
    small.room, small.error = 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied")  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="shapes") as caught:
        decoder.submit(symbols[:2], size_px=MEDIUM_PX)
    assert caught.value is small.error


def dead(_device: str) -> None:
    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


def alive(_device: str) -> None:
    pass


@pytest.mark.parametrize("error", [torch.AcceleratorError("CUDA error"), RuntimeError("cuDNN error"), RuntimeError()])
def test_a_device_that_cannot_finish_its_work_is_lost(error: RuntimeError) -> None:
    with pytest.raises(DeviceLost, match="cuda:0 has failed") as caught, watching("cuda:0", probe=dead):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError(), torch.AcceleratorError("CUDA error: invalid argument"), ValueError()]
)
def test_a_device_that_goes_on_passes_errors_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, watching("cuda", probe=alive):
        raise error
    assert caught.value is error


def test_a_processor_is_never_lost() -> None:
    with pytest.raises(RuntimeError, match="no device") as caught, watching("cpu", probe=dead):
        raise RuntimeError("no device")
    assert not isinstance(caught.value, DeviceLost)
