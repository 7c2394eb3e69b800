"""Several processes behind one port: uvicorn's own supervisor, but one that leaves in order. Serves nothing itself."""

from __future__ import annotations

import signal
import socket
from types import FrameType

from uvicorn import Config
from uvicorn.supervisors import Multiprocess


class Workers(Multiprocess):
    """Starts the workers, restarts those that died, tells them of SIGTERM."""

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        signal.signal(signal.SIGTERM, self._leave)

    def terminate_all(self) -> None:
        """End the workers in order."""
        # Open here, a socket would go on taking connections that nobody serves any more.
        for listening in self.sockets:
            listening.close()
        super().terminate_all()

    def _leave(self, number: int, _frame: FrameType | None) -> None:
        # The supervisor looks at its queue twice a second; readiness is to end now.
        self.signal_queue.append(number)
        for worker in self.processes:
            worker.process.terminate()
