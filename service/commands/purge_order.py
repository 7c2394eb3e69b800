"""The command `purge`: send a purge request to an edge."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx

from service.commands.failure import CommandFailure
from service.commands.terminal_text import printable

TIMEOUT_S = 30.0  # seconds to wait for the answer (assumed): a purge by tag or of all takes about one second


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The pictures to purge, and whether they are only marked stale (`soft`)."""

    image_id: str | None
    tag: str | None
    everything: bool
    query: str = ""
    """With an id: the query of the picture's URL, if its origin needs arguments."""
    soft: bool

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the request. Raises CommandFailure unless exactly one of id, tag and all is given."""
        wanted: dict[str, Any] = {"id": self.image_id, "tag": self.tag, "all": self.everything or None}
        given = {name: value for name, value in wanted.items() if value is not None}
        if len(given) != 1:
            raise CommandFailure("latentedge purge: give exactly one of --id, --tag and --all")
        return {**given, "soft": self.soft, **({"query": self.query} if self.query else {})}


def purge(order: Order, *, edge: str, token: str) -> str:
    """Send the purge, and return the body of the edge's answer. Raises CommandFailure if the edge sends an error."""
    body, headers = order.body(), {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.post(f"{edge.rstrip('/')}/purge", json=body, headers=headers, timeout=TIMEOUT_S, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandFailure(f"latentedge purge: the edge {edge} cannot be reached: {error}") from error
    if not answer.is_success:
        hint = " Set EDGE_ADMIN_TOKEN as for the edge." if answer.status_code == HTTPStatus.UNAUTHORIZED else ""
        raise CommandFailure(
            f"latentedge purge: the edge {edge} answered {answer.status_code}: {_sentence(answer)}{hint}"
        )
    return printable(answer.text)


def _sentence(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
