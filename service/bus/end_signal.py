"""The signal that stops the decoder process and the admin process. Only the edge itself sends it.

SIGTERM (which systemd sends to every process of a service) and Ctrl-C reach all processes of the edge at once. The
workers then finish their requests. During that time they need the decoder, and the admin port must answer. So these two
processes ignore SIGTERM and SIGINT, and stop on `END`.
"""

from __future__ import annotations

import os
import signal

END = signal.SIGUSR2


def end_by_edge_only() -> None:
    """Ignore SIGTERM and SIGINT in this process, and shut down on `END`.

    Call it from an application factory: uvicorn has installed its SIGTERM handler by then.
    """
    signal.signal(END, signal.getsignal(signal.SIGTERM))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def end_this_process() -> None:
    """Start the graceful shutdown of this process, by sending it `END`."""
    os.kill(os.getpid(), END)
