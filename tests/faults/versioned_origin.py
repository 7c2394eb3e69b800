"""An origin whose pictures show their number and version, and which can leave chosen pictures without an answer."""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from types import TracebackType

from tests.faults.marked_picture import draw
from tests.service.scripted_origin import Reply, ScriptedOrigin

FRESH_S = 3600


class VersionedOrigin(ScriptedOrigin):
    """Answers /NUMBER with the picture of that number in its present version."""

    def __init__(self, *, fresh_s: int = FRESH_S) -> None:
        super().__init__()
        self.versions: Counter[int] = Counter()
        self.fetches: Counter[int] = Counter()
        self._headers = {"Cache-Control": f"max-age={fresh_s}", "Content-Type": "image/png"}
        self._hanging: frozenset[int] = frozenset()
        self._opened = threading.Event()
        self._fetched = threading.Condition(self._lock)

    def next_reply(self, path: str, lines: Sequence[tuple[str, str]], port: int) -> Reply:  # noqa: ARG002
        number = int(path.removeprefix("/"))
        with self._lock:
            self.fetches[number] += 1
            self._fetched.notify_all()
            gate = self._opened if number in self._hanging else None
            return Reply(draw(number, self.versions[number]), headers=self._headers, gate=gate)

    def wait_for_fetches(self, number: int, *, limit_s: float) -> None:
        """Wait until so many requests have come, or until the limit is over."""
        with self._fetched:
            self._fetched.wait_for(lambda: self.fetches.total() >= number, limit_s)

    def hang(self, numbers: Iterable[int]) -> None:
        """Leave requests for these pictures without an answer from now on."""
        with self._lock:
            self._hanging, self._opened = frozenset(numbers), threading.Event()

    def answer(self) -> None:
        """Answer all requests again, also those that wait."""
        with self._lock:
            self._hanging = frozenset()
        self._opened.set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.answer()
        super().__exit__(kind, error, traceback)
