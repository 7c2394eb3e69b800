"""docs/architecture.md tells the calls of one decoded hit. Here a hit is traced, and the two are compared."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.markdown_page import ROOT
from tests.service.running_edge import running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin

MOST_FILES = 14
CALL = re.compile(r"^ *(\S+) +((?:service|models)/\S+\.py)", re.MULTILINE)


class Trace:
    """The first call of each function, in order, of all threads that are started while it is installed."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str], None] = {}
        self.is_on = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        threading.setprofile(self._note)
        try:
            yield
        finally:
            threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if self.is_on and event == "call":
            file = frame.f_code.co_filename.removeprefix(f"{ROOT}/")
            self.calls.setdefault((frame.f_code.co_qualname, file))


def told() -> list[tuple[str, str]]:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return CALL.findall(page.partition("<!-- one hit begins -->")[2].partition("<!-- one hit ends -->")[0])


def test_a_decoded_hit_makes_the_calls_that_the_page_tells_in_their_order(
    valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers={"Cache-Control": "max-age=600"}))
    settings = read_settings(origin=origin.url, redis_url=valkey.url, device="cpu", hot_bytes=0)
    trace = Trace()
    with trace.installed(), running_edge(settings) as edge:
        edge.get("/image/cat")
        trace.is_on = True
        assert edge.get("/image/cat").headers["cache-status"].startswith("latentedge; hit")
        trace.is_on = False
    calls = told()
    assert [call for call in trace.calls if call in set(calls)] == calls
    assert len({file for _, file in calls}) <= MOST_FILES
