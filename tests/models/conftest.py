"""One thread for torch: the pictures are small, and two threads that wait for each other crawl on a busy machine."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)
