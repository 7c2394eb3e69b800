"""All settings of the edge: name, default, unit and help. All invalid settings are reported together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Self

from pydantic import SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.errors import SettingsError
from service.rules.origin_names import NAMESPACE
from service.rules.url_signature import read_hex_list
from service.settings.cache_settings import CacheSettings
from service.settings.codec_settings import CodecSettings
from service.settings.fetch_settings import FetchSettings
from service.settings.response_settings import ResponseSettings
from service.settings.server_settings import ServerSettings
from service.settings.serving_settings import ServingSettings

PREFIX = "EDGE_"
_LIKENESS = 0.85
"""How much a variable must resemble a setting to count as misspelt. Assumed: EDGE_PORT, which Kubernetes sets for a
service named `edge`, resembles EDGE_PARENT by 0.8."""


class Settings(
    ServingSettings, ResponseSettings, FetchSettings, CacheSettings, CodecSettings, ServerSettings, BaseSettings
):
    """The settings of one edge, read from environment variables with the prefix EDGE_.

    pydantic puts the fields of the last base first.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    @model_validator(mode="after")
    def _has_a_range_of_lifetimes(self) -> Self:
        if 0 < self.max_ttl_s < self.min_ttl_s:
            raise ValueError("EDGE_MIN_TTL_S must not be above EDGE_MAX_TTL_S")
        return self

    @model_validator(mode="after")
    def _has_a_token_for_its_parent(self) -> Self:
        if self.parent and not self.parent_token.get_secret_value():
            raise ValueError("EDGE_PARENT needs EDGE_PARENT_TOKEN, which is the EDGE_LATENT_TOKEN of the parent")
        return self

    @model_validator(mode="after")
    def _has_a_salt_for_each_key(self) -> Self:
        keys, salts = self.key.get_secret_value(), self.salt.get_secret_value()
        if len(read_hex_list(keys)) != len(read_hex_list(salts)):
            raise ValueError("EDGE_KEY and EDGE_SALT must hold the same number of values")
        return self

    @property
    def namespace(self) -> str:
        """What stands for the origin in the keys of the store: its address, or one word for all named origins."""
        return self.origin or NAMESPACE

    def environment(self) -> dict[str, str]:
        """Return the settings as environment variables for the worker processes."""
        values = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {PREFIX + name.upper(): _written(value) for name, value in values if value is not None}


def _written(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


@dataclass(frozen=True)
class SettingRow:
    """One setting as a row of the table in docs/operations.md."""

    name: str
    default: str
    unit: str
    help: str


def table() -> list[SettingRow]:
    """Return the rows of all settings, in the order in which they are declared."""
    rows = []
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        unit = str(extra["unit"]) if isinstance(extra, dict) else ""
        default = "" if field.is_required() or field.default is None else str(field.default)
        rows.append(SettingRow(name=PREFIX + name.upper(), default=default, unit=unit, help=field.description or ""))
    return rows


def read_settings(**given: object) -> Settings:
    """Read the settings from the environment. `given` overrides them. Raises SettingsError with all invalid ones."""
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        # The message quotes no value of a setting, because an address may contain a password.
        raise SettingsError(
            [
                f"{_variable(fault['loc'])}: {line}"
                for fault in error.errors()
                for line in fault["msg"].removeprefix("Value error, ").split("\n")
            ]
        ) from None


def misspelt(variables: Iterable[str]) -> list[str]:
    """Return a sentence for each environment variable that is no setting, but has nearly the name of one."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    unknown = sorted({name.upper() for name in variables if name.upper().startswith(PREFIX)} - set(known))
    nearest = ((name, get_close_matches(name, known, n=1, cutoff=_LIKENESS)) for name in unknown)
    return [f"{name}: there is no such setting; did you mean {found[0]}?" for name, found in nearest if found]


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + str(location[0]).upper() if location else PREFIX.rstrip("_")
