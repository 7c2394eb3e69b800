"""The limit of open files: raised at the start, and the limit of client connections follows it."""

import logging
import resource
from collections.abc import Iterator

import pytest

from service.serving import open_files
from service.serving.client_limits import ClientLimits
from service.serving.open_files import LEAST_CLIENTS, LEAST_FILES, RESERVED_FILES, SLOW_SHARE, raise_limit
from service.settings.edge_settings import read_settings


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def lower_soft_limit(files: int) -> int:
    """Set the soft limit alone, and return the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return hard


def test_the_soft_limit_is_raised_to_the_hard_one_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    hard = lower_soft_limit(LEAST_FILES)
    raise_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    raise_limit()  # now there is nothing to raise
    told = [one.getMessage() for one in caplog.records if one.name == open_files.__name__]
    assert told == [f"raised the limit of open files from {LEAST_FILES} to {hard}"]


@pytest.mark.parametrize(
    ("files", "setting", "most"),
    [
        (LEAST_FILES, 0, LEAST_CLIENTS),
        (LEAST_FILES, 10, 10),
        (LEAST_FILES, 9999, LEAST_CLIENTS),  # all of a worker's own descriptors stay free
        (1000, 0, 1000 - RESERVED_FILES - (1000 - LEAST_FILES) // SLOW_SHARE),
    ],
)
def test_the_limit_of_connections_follows_the_limit_of_open_files(files: int, setting: int, most: int) -> None:
    lower_soft_limit(files)
    limits = ClientLimits.of(read_settings(origin="http://127.0.0.1:1", connections=setting))
    assert limits.most_connections == most
