"""Parse the setting EDGE_ORIGINS: the named origins, in a TOML or JSON file or as JSON."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from service.rules.origin_names import OriginNames, OriginRule
from service.rules.url_signature import ARGUMENTS, SIGNATURE
from service.settings.addresses import FOLDER, read_origin

_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a field name (RFC 9110 5.6.2)
_OF_THE_EDGE = {
    *("accept", "accept-encoding", "cdn-loop", "connection", "content-length", "host", "if-modified-since"),
    *("if-none-match", "range", "te", "transfer-encoding", "upgrade", "via"),
}
_RESERVED = ARGUMENTS | {SIGNATURE}


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name) or name.lower() in _OF_THE_EDGE:
        raise ValueError("this is not the name of a field, or one that the edge writes itself")
    return name


def _header_value(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if not value.isascii() or not value.isprintable() or value != value.strip():
        raise ValueError("the value must be printable ASCII without spaces at its ends")
    return secret


def _argument(name: str) -> str:
    # An equals sign would let the signature of one argument pass for that of another one: see rules/url_signature.py.
    if not name or name in _RESERVED or "=" in name or not name.isprintable():
        raise ValueError(f"an argument must have a name other than {', '.join(sorted(_RESERVED))}, without `=`")
    return name


_Secret = Annotated[SecretStr, AfterValidator(_header_value), Field(min_length=1)]


class S3Access(BaseModel):
    """The credentials of an S3-compatible origin, whose requests are signed with AWS Signature Version 4."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$")]
    access_key: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]+$")]
    secret_key: _Secret
    session_token: _Secret | None = None


class NamedOrigin(BaseModel):
    """One named origin."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, AfterValidator(read_origin)]
    headers: dict[Annotated[str, AfterValidator(_header_name)], _Secret] = {}
    allow: list[Annotated[str, StringConstraints(min_length=1)]] = []
    deny: list[Annotated[str, StringConstraints(min_length=1)]] = []
    arguments: list[Annotated[str, AfterValidator(_argument)]] = []
    fetches: Annotated[int, Field(ge=1, le=65_536)] | None = None
    s3: S3Access | None = None

    @model_validator(mode="after")
    def _suits_its_address(self) -> Self:
        if self.url.startswith(FOLDER) and (self.s3 or self.headers or self.arguments):
            raise ValueError("a folder takes no headers, arguments or s3")
        if self.s3 and find_spec("botocore") is None:
            raise ValueError("s3 needs botocore: install latentedge[s3]")
        return self


_ORIGINS = TypeAdapter(dict[Annotated[str, StringConstraints(pattern=_NAME)], NamedOrigin])


def read_origins(text: str) -> dict[str, NamedOrigin]:
    """Return the origins by name, from JSON or the path of a file; none if the text is empty.

    Raises ValueError with one line for each fault, which quotes no value.
    """
    if not text:
        return {}
    try:
        origins = _ORIGINS.validate_python(_load(text))
    except ValidationError as error:
        raise ValueError("\n".join(_fault(one["loc"], one["msg"]) for one in error.errors())) from None
    if not origins:
        raise ValueError("there must be at least one origin")
    return origins


def check_origins(secret: SecretStr) -> SecretStr:
    """Validate EDGE_ORIGINS. Raises ValueError as `read_origins` does."""
    read_origins(secret.get_secret_value().strip())
    return secret


def names_of(origins: dict[str, NamedOrigin]) -> OriginNames:
    """Return the rules by which ids name these origins."""
    return OriginNames(
        {name: OriginRule(tuple(one.allow), tuple(one.deny), frozenset(one.arguments)) for name, one in origins.items()}
    )


def _load(text: str) -> Any:  # noqa: ANN401  (what the file holds is validated by the caller)
    try:
        if text.startswith("{"):
            return _parse_json(text)
        content = Path(text).read_text(encoding="utf-8")
        return _parse_json(content) if text.endswith(".json") else tomllib.loads(content)
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the JSON is not valid: {error.msg} in line {error.lineno}") from None
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8") from None
    except RecursionError:
        raise ValueError("the values are nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\((at [^()]*)\)$", str(error))
        raise ValueError(f"the TOML is not valid {place[1] if place else ''}".rstrip()) from None


def _parse_json(text: str) -> Any:  # noqa: ANN401  (as `_load`)
    return json.loads(text, object_pairs_hook=_without_repeats)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. Raises ValueError if a key is there twice, of which json would keep the last one."""
    names = [name for name, _ in pairs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"these keys are there twice: {', '.join(repeated)}")
    return dict(pairs)


def _fault(location: tuple[int | str, ...], message: str) -> str:
    place = ".".join(str(part) for part in location if part != "[key]")
    return f"{place}: {message.removeprefix('Value error, ')}"
