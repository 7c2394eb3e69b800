"""What clients saw of one scenario, and its summary. No I/O, no clock."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

OK = 200
SLOW_S = 2.0
"""An answer that took longer is not normal (assumed: a busy machine encodes a picture in a second)."""
REFUSED, RESET, TIMED_OUT = "refused", "reset", "timed out"
WRONG, OLD = "wrong", "old"


@dataclass(frozen=True)
class Answer:
    """The end of one request. `status` is 0 where `cut` names the reason that there was no answer."""

    ended_s: float
    took_s: float
    status: int = 0
    cut: str = ""
    verdict: str = ""
    """WRONG: another picture, another size or no picture. OLD: a version from before a purge that had been answered."""

    @property
    def is_normal(self) -> bool:
        return self.status == OK and self.took_s <= SLOW_S and not self.verdict


@dataclass(frozen=True)
class Span:
    """The times of a scenario, by the clock of its answers. A fault that nobody can heal is healed when it begins."""

    began_s: float
    healed_s: float
    ended_s: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The goals of a scenario; None: no goal. That no picture is wrong or old is a goal of all of them."""

    resets: int | None = None
    timed_out: int | None = 0
    other_statuses: int | None = None
    slowest_s: float | None = None
    silent_s: float | None = None
    normal_after_s: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """The figures of one scenario."""

    ok: int = 0
    other_statuses: Mapping[int, int] = field(default_factory=dict)
    resets: int = 0
    refused: int = 0
    timed_out: int = 0
    slowest_s: float = 0.0
    silent_s: float = 0.0
    normal_after_s: float = 0.0
    wrong: int = 0
    old: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)
    skipped: str = ""
    """Why the scenario cannot run here."""

    def missed(self, limits: Limits) -> list[str]:
        """Return a sentence for each goal that was missed."""
        if self.skipped:
            return []
        goals = {"wrong": 0, "old": 0, **_set(limits), **limits.figures}
        found = {**vars(self), "other_statuses": sum(self.other_statuses.values()), **self.figures}
        bad = [f"{name} {found[name]:g} > {most:g}" for name, most in goals.items() if found[name] > most]
        return bad if self.ok else [*bad, "no picture was served"]


def _set(limits: Limits) -> dict[str, float]:
    return {name: most for name, most in vars(limits).items() if name != "figures" and most is not None}


def summarise(answers: Sequence[Answer], span: Span, figures: Mapping[str, float] | None = None) -> Summary:
    cuts = Counter(answer.cut for answer in answers)
    statuses = Counter(answer.status for answer in answers if answer.status)
    verdicts = Counter(answer.verdict for answer in answers)
    return Summary(
        ok=statuses.pop(OK, 0),
        other_statuses=dict(sorted(statuses.items())),
        resets=cuts[RESET],
        refused=cuts[REFUSED],
        timed_out=cuts[TIMED_OUT],
        slowest_s=max((answer.took_s for answer in answers), default=0.0),
        silent_s=_longest_silence(answers, span),
        normal_after_s=_last(answers, lambda one: not one.is_normal and one.ended_s > span.healed_s, span.healed_s),
        wrong=verdicts[WRONG],
        old=verdicts[OLD],
        figures=figures or {},
    )


def _longest_silence(answers: Sequence[Answer], span: Span) -> float:
    """Return the longest time without a 200."""
    times = sorted(one.ended_s for one in answers if one.status == OK)
    ended_s = max([span.ended_s, *times[-1:]])
    return max(after - before for before, after in pairwise([span.began_s, *times, ended_s]))


def _last(answers: Sequence[Answer], chosen: Callable[[Answer], bool], since_s: float) -> float:
    """Return how long after `since_s` the last chosen answer ended."""
    return max((answer.ended_s - since_s for answer in answers if chosen(answer)), default=0.0)
