"""A start collects no garbage, and what it has made is exempt from later collections."""

import gc
from collections.abc import Iterator

import pytest

from service.serving.frozen_start import end_start, frozen_start


@pytest.fixture(autouse=True)
def _unfreeze() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # as before: see `_frozen_imports` in conftest.py


def test_nothing_is_collected_during_the_start_and_what_is_there_is_frozen() -> None:
    with frozen_start():
        assert not gc.isenabled()
        made = [object()]
    assert gc.isenabled()
    assert not any(one is made for one in gc.get_objects())


def test_a_start_that_fails_freezes_nothing() -> None:
    frozen = gc.get_freeze_count()
    with pytest.raises(OSError, match="weights"), frozen_start():
        raise OSError("weights")
    assert gc.isenabled()
    assert gc.get_freeze_count() <= frozen  # a frozen object may be freed meanwhile


def test_the_end_of_a_start_freezes_what_is_there_and_collects_again() -> None:
    gc.disable()
    made = [object()]
    end_start()
    assert gc.isenabled()
    assert not any(one is made for one in gc.get_objects())
