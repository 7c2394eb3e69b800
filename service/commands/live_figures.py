"""The command `top`: show the figures of an edge (/stats) in the terminal, and follow them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import httpx
from pydantic import TypeAdapter, ValidationError
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from service.commands.failure import CommandFailure
from service.commands.terminal_text import printable
from service.web.stats import Figures

TIMEOUT_S = 5.0  # the timeout of /stats (assumed: it takes milliseconds)
_READER = TypeAdapter(Figures)


@dataclass(frozen=True, slots=True)
class Moment:
    """The figures of an edge, and when they were read by a monotonic clock."""

    at_s: float
    figures: Figures


def show(*, edge: str, every_s: float, once: bool) -> None:
    """Show the figures until Ctrl-C, or one frame if `once`. Raises CommandFailure if the edge cannot be read."""
    url = f"{edge.rstrip('/')}/stats"
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        before = _read(client, url)
        if once:
            Console().print(frame(before))
            return
        with suppress(KeyboardInterrupt), Live(frame(before), screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(every_s)
                before = _follow(client, url, before, live)


def _follow(client: httpx.Client, url: str, before: Moment, live: Live) -> Moment:
    try:
        now = _read(client, url)
    except CommandFailure as failure:
        live.update(Group(Text(printable(str(failure)), style="bold red"), frame(before)), refresh=True)
        return before
    live.update(frame(now, before), refresh=True)
    return now


def _read(client: httpx.Client, url: str) -> Moment:
    try:
        answer = client.get(url)
        answer.raise_for_status()
        return Moment(time.monotonic(), _READER.validate_json(answer.content))
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise CommandFailure(
            f"latentedge top: {url} answered {status}: give the URL of an edge, with its EDGE_ADMIN_PORT if it has one"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandFailure(f"latentedge top: {url} cannot be read: {error}") from error
    except ValidationError as error:
        raise CommandFailure(
            f"latentedge top: the figures of {url} are not those of this release of latentedge"
        ) from error


def frame(now: Moment, before: Moment | None = None) -> Group:
    """Return one frame. It shows rates since `before`, or no rates without it."""
    return Group(_heading(now.figures), _totals(now, before), _requests(now, before), _stages(now.figures))


def _heading(figures: Figures) -> Text:
    codec = figures.codec
    text = f"latentedge {figures.version}   {codec.device}, {codec.head}, weights {codec.stream_id}"
    return Text(printable(text), style="bold")


def _totals(now: Moment, before: Moment | None) -> Table:
    figures = now.figures
    ratio = "-" if figures.hit_ratio is None else f"{100 * figures.hit_ratio:.1f} %"
    limit = f" of {_mb(figures.store.limit_bytes)}" if figures.store.limit_bytes else ""
    store = f"{figures.store.objects} records, {_mb(figures.store.used_bytes)}{limit}"
    table = Table.grid(padding=(0, 3))
    table.add_row("requests", str(figures.requests_total), "a second", _rate(now, before, _total))
    table.add_row("hit ratio", ratio, "queue", str(figures.queue_depth))
    table.add_row("store", store if figures.store.answers else "does not answer", "errors", str(figures.store_errors))
    table.add_row("origin", f"{figures.origin.requests} requests", "failures", str(figures.origin.failures))
    table.add_row("fetched", _mb(figures.origin.fetched_bytes), "saved", _mb(figures.origin.avoided_bytes))
    return table


def _requests(now: Moment, before: Moment | None) -> Table:
    table = Table("size", "outcome", title="requests", title_justify="left")
    for name in ("number", "a second", "p50, ms", "p99, ms"):
        table.add_column(name, justify="right")
    for one in now.figures.requests:

        def count(figures: Figures, key: tuple[str, str] = (one.res, one.status)) -> int:
            return next((other.count for other in figures.requests if (other.res, other.status) == key), 0)

        rate = _rate(now, before, count)
        table.add_row(_cell(one.res), _cell(one.status), str(one.count), rate, f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}")
    return table


def _stages(figures: Figures) -> Table:
    table = Table("stage", title="stages", title_justify="left")
    table.add_column("number", justify="right")
    table.add_column("mean, ms", justify="right")
    for one in figures.stages:
        table.add_row(_cell(one.stage), str(one.count), f"{one.mean_ms:.1f}")
    return table


def _cell(text: str) -> Text:
    """Return a text of the edge as a cell. rich would take brackets in a plain `str` for markup."""
    return Text(printable(text))


def _rate(now: Moment, before: Moment | None, count: Callable[[Figures], int]) -> str:
    if before is None or now.at_s <= before.at_s:
        return "-"
    return f"{(count(now.figures) - count(before.figures)) / (now.at_s - before.at_s):.1f}"


def _total(figures: Figures) -> int:
    return figures.requests_total


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
