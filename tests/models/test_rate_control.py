"""Which quality meets a target: the search, and the codec that asks it."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.codec import Codec, PictureShapeError
from models.config import HIGH_PX, QUALITIES
from models.rate_control import TargetError, highest_quality, lowest_quality, quality_of_score
from models.scores import Ssimulacra2
from tests.models.pictures import flat, noise, photograph

rising = st.lists(st.integers(0, 50), min_size=QUALITIES, max_size=QUALITIES).map(lambda steps: list(accumulate(steps)))


@given(sizes=rising, target=st.integers(0, 4000))
def test_the_highest_quality_that_fits_is_found(sizes: list[int], target: int) -> None:
    fitting = [quality for quality in range(QUALITIES) if sizes[quality] <= target]
    if not fitting:
        with pytest.raises(TargetError):
            highest_quality(lambda quality: sizes[quality] <= target)
        return
    assert highest_quality(lambda quality: sizes[quality] <= target) == fitting[-1]


@given(scores=rising, target=st.integers(0, 4000))
def test_the_lowest_quality_that_reaches_a_score_is_found(scores: list[int], target: int) -> None:
    reaching = [quality for quality in range(QUALITIES) if scores[quality] >= target]
    assert lowest_quality(lambda quality: scores[quality] >= target) == (reaching[0] if reaching else QUALITIES - 1)


@given(scores=rising, target=st.integers(0, 4000))
def test_so_it_is_by_interpolation_whatever_the_curve(scores: list[int], target: int) -> None:
    measured: list[int] = []

    def score(quality: int) -> float:
        measured.append(quality)
        return scores[quality]

    expected = lowest_quality(lambda quality: scores[quality] >= target)
    assert quality_of_score(score, target) == expected
    assert len(measured) <= 10


@pytest.mark.parametrize("target", [40, 55, 62, 70, 78])
@pytest.mark.parametrize("easier", [-8, 0, 8])
def test_a_curve_as_pictures_have_it_takes_few_measurements(target: int, easier: int) -> None:
    measured: list[int] = []

    def score(quality: int) -> float:
        measured.append(quality)
        return 92 - 90 * 0.957 ** (quality + easier)

    quality = quality_of_score(score, target)
    assert score(quality) >= target > score(quality - 1)
    assert len(measured) - 2 <= 5


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load()


@pytest.mark.parametrize("target_bytes", [5_000, 12_000, 30_000])
def test_a_picture_is_made_to_fit(codec: Codec, target_bytes: int) -> None:
    stream = codec.encode_to_bytes(photograph(), target_bytes=target_bytes)
    assert len(stream) <= target_bytes
    assert len(codec.encode(photograph(), quality=codec.read(stream).quality + 1)) > target_bytes


def test_a_picture_that_cannot_fit_is_refused(codec: Codec) -> None:
    with pytest.raises(TargetError):
        codec.encode_to_bytes(noise(), target_bytes=500)


def test_a_picture_reaches_its_score_and_no_quality_below_does(codec: Codec) -> None:
    stream = codec.encode_to_score(photograph(), ssimulacra2=70)
    metric = Ssimulacra2(photograph())

    def score(blob: bytes) -> float:
        return metric.score(codec.synthesize([codec.read(blob)], size_px=HIGH_PX)[0])

    quality = codec.read(stream).quality
    assert score(stream) >= 70 > score(codec.encode(photograph(), quality=quality - 1))


def test_an_easy_picture_takes_a_lower_quality_than_a_hard_one(codec: Codec) -> None:
    easy, hard = (codec.encode_to_score(one, ssimulacra2=60) for one in (flat(127), photograph()))
    assert codec.read(easy).quality < codec.read(hard).quality


def test_a_score_out_of_reach_takes_the_best_quality(codec: Codec) -> None:
    assert codec.read(codec.encode_to_score(photograph(), ssimulacra2=100)).quality == QUALITIES - 1


def test_only_pictures_of_the_right_shape(codec: Codec) -> None:
    with pytest.raises(PictureShapeError):
        codec.encode_to_bytes(photograph(size_px=172), target_bytes=9000)
