"""What every test obeys.

A GPU test is left out where there is no GPU; under REQUIRE_ALL=1 nothing may be skipped.
"""

import logging
import os
import signal
from collections.abc import Generator

import hypothesis
import pytest

# No deadline: a machine that is shared is slow at times, and what must be linear is counted in steps.
hypothesis.settings.register_profile("short", deadline=None)
hypothesis.settings.register_profile(
    "long", deadline=None, max_examples=20_000, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("short")  # `make fuzz` names the other


def pytest_configure() -> None:
    """As the command line does it, before anything imports torch: see `service.cli.main`."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # One thread, as the edge has by default (EDGE_THREADS): several on busy cores wait for each other (measured: 20
    # times as long).
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_tests or _cuda_is_here():
        return
    config.hook.pytest_deselected(items=gpu_tests)
    items[:] = [item for item in items if item not in gpu_tests]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,  # noqa: ARG001  (pytest passes arguments by name)
    call: pytest.CallInfo[None],  # noqa: ARG001  (likewise)
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test proves nothing: where everything must run, it is a failure."""
    report = yield
    if report.skipped and os.environ.get("REQUIRE_ALL") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although REQUIRE_ALL=1: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def _restore_log_and_signals() -> Generator[None]:
    """Undo what an edge that ran in this process has set up: its log goes to a stream that pytest closes."""
    edge = logging.getLogger("service")
    before = (list(edge.handlers), edge.level, edge.propagate)
    terminate = signal.getsignal(signal.SIGTERM)
    yield
    edge.handlers, edge.propagate = before[0], before[2]
    edge.setLevel(before[1])
    signal.signal(signal.SIGTERM, terminate)


def _cuda_is_here() -> bool:
    import torch

    return torch.cuda.is_available()
