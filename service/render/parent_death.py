"""Ends a child of an edge, or of the demonstration, with its parent, whatever becomes of that."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent_pid: int, sent: signal.Signals = signal.SIGTERM) -> None:
    """Get this signal when the parent is gone. Linux only; elsewhere the parent's tidying has to do."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, sent)
    if os.getppid() != parent_pid:  # it went before we asked
        raise SystemExit(128 + sent)
