"""The process keeps freed memory and reuses it without page faults. Each case runs in a child process."""

import platform
import subprocess
import sys

import pytest

FAULTS_OF_FIFTY_PICTURES = """
import resource
import sys
import numpy as np
from service.render.heap import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
np.ones(2**22)  # the heap has grown once
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    pieces = [np.ones(2**20) for _ in range(3)]
    del pieces
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    child = subprocess.run(
        [sys.executable, "-c", FAULTS_OF_FIFTY_PICTURES, how], capture_output=True, text=True, check=True
    )
    return int(child.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other heaps are left as they are")
def test_freed_memory_is_reused_without_page_faults() -> None:
    assert faults("kept") * 10 < faults("as it is")
