"""How the evaluation uses the CPU: two processes of one thread each, on any machine.

One thread, because torch's threads wait for each other at every layer: beside any other load two threads are four times
slower than one (measured). Two processes, so that an evaluation leaves room for other work on the machine.
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
    """Yield the results in the order of the jobs, each when it and all earlier ones are ready."""
    # spawn, because a fork would copy the locks of torch's threads without the threads
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(work, jobs)
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def one_thread() -> Iterator[None]:
    import torch  # most importers of this module need no torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
