"""End a child process of an edge or of the demonstration as soon as its parent has ended, even by a crash."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # the number of this option of prctl, from linux/prctl.h


def die_with_parent(parent_pid: int, sent: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send the signal `sent` to this process when its parent ends. Does nothing outside Linux.

    Raises SystemExit if the parent has ended already.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, sent)
    if os.getppid() != parent_pid:  # the parent ended before the call of prctl
        raise SystemExit(128 + sent)
