"""How a setting is declared: its default, unit, help and bounds."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr

from service.rules.url_signature import read_hex_list


def setting(default: Any, unit: str, sentence: str, **bounds: Any) -> Any:  # noqa: ANN401  (Field's own types)
    """Return the field of one setting. `sentence` is its help, `bounds` are those of pydantic's Field."""
    return Field(default, description=sentence, json_schema_extra={"unit": unit}, **bounds)


def _token(secret: SecretStr) -> SecretStr:
    token = secret.get_secret_value()
    if not token.isascii() or not token.isprintable() or token != token.strip():
        raise ValueError("the token must be printable ASCII without spaces at its ends")
    return secret


def _hex_list(secret: SecretStr) -> SecretStr:
    read_hex_list(secret.get_secret_value())
    return secret


Token = Annotated[SecretStr, AfterValidator(_token)]
"""A secret token. Logs and statistics never contain it."""
HexKeys = Annotated[SecretStr, AfterValidator(_hex_list)]
"""Secret keys as hexadecimal digits, separated by commas."""
NO_TOKEN = SecretStr("")
