"""The response fields that let other sites use the pictures, and the fields that are passed on from the origin."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator
from pydantic_settings import NoDecode

from service.rules.pass_on import USUAL, PassOn, read_pass_on
from service.settings.setting_field import setting

ResourcePolicy = Literal["", "same-site", "same-origin", "cross-origin"]
_SITE = r"[a-z][a-z0-9+.-]*://[^\s/,\"<>\\@?#]+"  # an origin as text: scheme, host and port (RFC 6454 6.2)


def _allow_origin(text: str) -> str:
    if not re.fullmatch(rf"(\*|{_SITE})?", text) or not text.isascii():
        raise ValueError("the value must be * or one site such as https://www.example.com, without a path")
    return text


def _timing_allow_origin(text: str) -> str:
    if not re.fullmatch(rf"(\*|{_SITE}( *, *{_SITE})*)?", text) or not text.isascii():
        raise ValueError("the value must be *, or sites such as https://www.example.com separated by commas")
    return text


class ResponseSettings(BaseModel):
    """Settings of the fields in responses for pictures."""

    pass_on: Annotated[PassOn, NoDecode, BeforeValidator(read_pass_on)] = setting(
        USUAL,
        "fields",
        "Names of fields of the origin's response that clients get with the picture, besides those for caching, "
        "separated by commas. A change applies to pictures that are fetched after it. none: no field.",
    )
    allow_origin: Annotated[str, AfterValidator(_allow_origin)] = setting(
        "",
        "site",
        "Value of Access-Control-Allow-Origin in each response for a picture, in place of the origin's: * or one site, "
        "such as https://www.example.com. Empty: what the origin says.",
    )
    timing_allow_origin: Annotated[str, AfterValidator(_timing_allow_origin)] = setting(
        "",
        "sites",
        "Value of Timing-Allow-Origin in each response for a picture, in place of the origin's: * or sites separated "
        "by commas. Empty: what the origin says.",
    )
    resource_policy: ResourcePolicy = setting(
        "",
        "name",
        "Value of Cross-Origin-Resource-Policy in each response for a picture, in place of the origin's: same-site, "
        "same-origin or cross-origin. Empty: what the origin says.",
    )
