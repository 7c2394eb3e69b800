"""Whether this machine has an accelerator, found out without touching it from this process."""

from __future__ import annotations

import ctypes
import subprocess
import sys

_QUESTION = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 1)"


def has_accelerator() -> bool:
    """Ask torch in a process of its own: here it would make a context that every forked or spawned process pays for.

    Without NVIDIA's driver library torch is not asked: importing it takes seconds.
    """
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    asked = subprocess.run([sys.executable, "-c", _QUESTION], check=False)  # noqa: S603  (a constant)
    return asked.returncode == 0
