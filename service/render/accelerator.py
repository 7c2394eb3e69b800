"""Finds out whether this machine has an accelerator, without using it from this process."""

from __future__ import annotations

import ctypes
import subprocess
import sys

_QUESTION = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 1)"


def has_accelerator() -> bool:
    """Ask torch in a child process, because here it would create a CUDA context, which takes GPU memory.

    Without NVIDIA's driver library torch is not asked, because importing it takes seconds.
    """
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    asked = subprocess.run([sys.executable, "-c", _QUESTION], check=False)  # noqa: S603  (a constant)
    return asked.returncode == 0
