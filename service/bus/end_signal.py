"""How the processes beside the workers end: by a signal of their own, which the edge alone sends.

SIGTERM (systemd sends it to every process of a service) and Ctrl-C reach the whole edge at once. The workers then
finish the requests that are under way. They need the decoder for these, and the admin port answers until they are done.
"""

from __future__ import annotations

import os
import signal

END = signal.SIGUSR2


def end_by_edge_only() -> None:
    """Let this process ignore SIGTERM and SIGINT, and end in order by `END`.

    uvicorn has installed its own handlers by the time that it calls the factory of an application, which calls this.
    """
    signal.signal(END, signal.getsignal(signal.SIGTERM))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def end_this_process() -> None:
    """Let this process end in order."""
    os.kill(os.getpid(), END)
