"""Find out whether this machine has an accelerator (a GPU), without creating a CUDA context in this process."""

from __future__ import annotations

import ctypes
import subprocess
import sys

_QUESTION = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 1)"


def has_accelerator() -> bool:
    """Return whether torch can use a GPU on this machine.

    A child process asks torch, because torch would create a CUDA context in this one, which takes GPU memory. On a
    machine without NVIDIA's driver library, torch is not even imported, because that takes seconds.
    """
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    asked = subprocess.run([sys.executable, "-c", _QUESTION], check=False)  # noqa: S603  (a constant)
    return asked.returncode == 0
