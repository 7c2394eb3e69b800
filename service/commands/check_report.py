"""The command `check`: check settings, machine, weights, store, origins and parent, and report all faults.

Each part is checked even if another part has faults. A part whose own settings are invalid is left out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from models.checkpoint import RELEASED
from service.commands.failure import CommandFailure
from service.commands.probes import probe_origins, probe_parent, probe_store
from service.commands.start_servers import check_weights, must_have_a_gpu
from service.commands.terminal_text import printable
from service.errors import EdgeError, SettingsError
from service.serving.open_files import raise_limit
from service.settings.edge_settings import PREFIX, Settings, misspelt, read_settings
from service.store.embedded import EmbeddedValkey, find_temporary_folder
from service.store.servers import Servers

TOGETHER = {"parent", "key", "salt", "max_ttl_s"}
"""Settings whose value may be valid alone but invalid together with another one. Such a fault names no variable."""
STORE, ORIGINS, WEIGHTS = {"redis_url"}, {"origin", "origins"}, {"weights", "previous_weights"}
PARENT = {"parent", "parent_token", "origins"}
NO_ORIGIN = {"origin": "http://origin.invalid", "origins": ""}
"""The settings that replace invalid origins, because an edge needs one. `check` sends no request to this address."""


@dataclass(frozen=True, slots=True)
class Part:
    """The result of checking one part of an edge: its faults, none if it works."""

    name: str
    faults: tuple[str, ...] = ()
    is_skipped: bool = False

    def lines(self) -> Iterator[str]:
        """Yield the lines that report this part."""
        if self.is_skipped:
            yield f"{self.name}: not checked, because its settings are invalid"
        elif not self.faults:
            yield f"{self.name}: ok"
        yield from (f"{self.name}: FAULT: {printable(' '.join(fault.split()))}" for fault in self.faults)


def check(image_id: str) -> list[Part]:
    """Check each part, and return the results. With an `image_id`, that picture is fetched from its origin."""
    settings, faults, doubtful = _read_settings()
    works: dict[str, tuple[set[str], Callable[[Settings], tuple[str, ...]]]] = {
        "weights": (WEIGHTS, _check_weights),
        "store": (STORE, _check_store),
        "origin": (ORIGINS, lambda known: asyncio.run(probe_origins(known, image_id))),
    }
    if os.environ.get(f"{PREFIX}PARENT"):
        works["parent"] = (PARENT, lambda known: asyncio.run(probe_parent(known)))
    parts = [Part("settings", (*faults, *misspelt(os.environ))), Part("machine", _faults_of(_check_machine))]
    for name, (needed, work) in works.items():
        if settings is None or doubtful & needed:
            parts.append(Part(name, is_skipped=True))
        else:
            parts.append(Part(name, _faults_of(lambda work=work: work(settings))))  # type: ignore[misc]  # mypy 14001
    return parts


def _read_settings() -> tuple[Settings | None, tuple[str, ...], set[str]]:
    """Return the settings, all faults, and the names of the invalid settings, which are replaced by their defaults.

    A conflict between two settings shows only once each of them is valid alone, so the settings are read several times.
    The settings are None if they are invalid even with these defaults.
    """
    faults: tuple[str, ...] = ()
    doubtful: set[str] = set()
    while True:
        try:
            settings = read_settings(**_in_place_of(doubtful))
            Servers.check(settings.redis_url or "redis://")
        except SettingsError as error:
            faults += error.faults
            names = _names(error.faults) - doubtful
            if not names:
                return None, faults, doubtful
            doubtful |= names
        else:
            return settings, faults, doubtful


def _names(faults: tuple[str, ...]) -> set[str]:
    named = {fault.partition(":")[0].removeprefix(PREFIX).lower() for fault in faults}
    found = named & Settings.model_fields.keys()
    return found if found == named else found | TOGETHER


def _in_place_of(doubtful: set[str]) -> dict[str, object]:
    defaults = {name: Settings.model_fields[name].default for name in doubtful}
    return defaults | NO_ORIGIN if doubtful & ORIGINS else defaults


def _faults_of(work: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    try:
        return work()
    except (CommandFailure, EdgeError) as error:
        return (str(error).removeprefix("latentedge: "),)


def _check_machine() -> tuple[str, ...]:
    raise_limit()
    find_temporary_folder("an edge")
    return ()


def _check_weights(settings: Settings) -> tuple[str, ...]:
    check_weights(settings.weights or RELEASED, settings.previous_weights)
    if settings.device == "cuda":
        must_have_a_gpu()
    return ()


def _check_store(settings: Settings) -> tuple[str, ...]:
    with ExitStack() as closing:
        if not settings.redis_url:
            embedded = closing.enter_context(EmbeddedValkey(limit_bytes=settings.store_bytes))
            settings = settings.model_copy(update={"redis_url": embedded.url})
        return asyncio.run(probe_store(settings))
