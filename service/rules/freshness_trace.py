"""Format a freshness decision as one log line with every input and the result. No I/O, no clock."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from service.rules.freshness import FreshnessRules, Storage
from service.rules.response_age import initial_age_s
from service.rules.response_fields import ResponseFields


@dataclass(frozen=True, slots=True)
class FreshnessTrace:
    """The inputs and the result (`verdict`) of one freshness decision. It is formatted only if it is logged."""

    fields: ResponseFields
    rules: FreshnessRules
    draw: float
    """A random number from 0 to 1: the fraction of EDGE_TTL_JITTER by which the lifetime was shortened."""
    verdict: Storage

    def __str__(self) -> str:
        """Return the response's fields (without absent ones), then the operator's settings, then the verdict."""
        said = {**asdict(self.fields.passed), "age": self.fields.age, "etag": self.fields.etag}
        answer = [f"{name.replace('_', '-')}={value!r}" for name, value in said.items() if value]
        settings = [f"{field.name}={_text(getattr(self.rules, field.name))}" for field in fields(self.rules)]
        return " ".join(
            [
                f"status={self.fields.status}",
                *answer,
                f"initial_age_s={initial_age_s(self.fields):.3f}",
                f"redirects={len(self.fields.redirects)}",
                f"parent_said_stale={str(self.fields.is_stale).lower()}",
                *settings,
                f"draw={self.draw:.3f}",
                f"-> {_verdict(self.verdict)}",
            ]
        )


def _text(setting: object) -> str:
    return str(setting).replace(" ", "") or "none"


def _verdict(verdict: Storage) -> str:
    if verdict.obstacle is not None:
        return f"not stored: {verdict.obstacle.detail}"
    return (
        f"lifetime_s={verdict.lifetime_s} stale_while_revalidate_s={verdict.stale_while_revalidate_s}"
        f" stale_if_error_s={verdict.stale_if_error_s}"
    )
