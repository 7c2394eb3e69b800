"""Run the evaluation's work in two processes of one thread each, on any machine.

Each has one thread because torch's threads wait for each other at every layer: on a machine with other load two threads
take four times as long as one (measured). There are only two processes so that other work can run on the machine.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

_PROCESSES = 2


def in_two_processes(work: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
    """Call `work` for each job in two worker processes; yield the results in the order of the jobs."""
    # Workers are spawned, because a forked process inherits locks that torch's threads hold, but not the threads.
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(work, jobs)
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def one_thread() -> Iterator[None]:
    import torch  # imported in this function, because most users of this module do not need torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
