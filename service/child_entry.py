"""`python -m service.child_entry ARGUMENTS`: the command line as a child that dies with its parent."""

import ctypes
import os
import signal
import sys

from service.cli import main

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent_pid: int) -> None:
    """SIGTERM when the parent is gone, whatever became of it. Linux only; elsewhere the parent's tidying has to do."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:  # it went before we asked
        raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    die_with_parent(int(sys.argv.pop(1)))
    main()
