"""The signal that stops the decoder and the admin process. Only the edge itself sends it.

SIGTERM (which systemd sends to every process of a service) and Ctrl-C reach all processes of the edge at once. The
workers then finish their requests. Until they have, they need the decoder, and the admin port must answer.
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
    """Start the shutdown of this process."""
    os.kill(os.getpid(), END)
