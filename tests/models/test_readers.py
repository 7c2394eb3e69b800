"""For which heads a latent is searched: the text that an operator writes."""

import pytest

from models.readers import Readers, ReadersError


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("high-gpu", (("high-gpu", 1.0),)),
        ("high-gpu=0.55, high-cpu=0.45 ,medium=0.2", (("high-gpu", 0.55), ("high-cpu", 0.45), ("medium", 0.2))),
        ("high-cpu,medium=0.15", (("high-cpu", 1.0), ("medium", 0.15))),
    ],
)
def test_a_mixture_is_read_and_written(text: str, weights: tuple[tuple[str, float], ...]) -> None:
    readers = Readers.read(text)
    assert readers.weights == weights
    assert Readers.read(str(readers)) == readers


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "one of high-gpu"),
        ("high", "one of high-gpu"),
        ("high-gpu=", "must be a number"),
        ("high-gpu=much", "must be a number"),
        ("high-gpu=0", "above 0"),
        ("high-gpu=-1", "above 0"),
        ("high-gpu=nan", "above 0"),
        ("high-gpu=1e9", "above 0"),
        ("high-gpu,high-gpu", "names a head twice"),
        ("medium=0.2", "344 picture"),
        ("high-gpu,", "one of high-gpu"),
    ],
)
def test_a_wrong_mixture_is_refused_with_its_reason(text: str, fault: str) -> None:
    with pytest.raises(ReadersError, match=fault):
        Readers.read(text)
