"""The origin, the parent, the store, and the tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, SecretStr, ValidationInfo

from service.settings.addresses import read_origin, read_parent, read_store
from service.settings.named_origins import check_origins
from service.settings.setting_field import NO_TOKEN, HexKeys, Token, setting


def _origin(url: str, info: ValidationInfo) -> str:
    origins = info.data.get("origins")
    if origins is None or not origins.get_secret_value():  # None: EDGE_ORIGINS has a fault, which is told beside this
        return "" if origins is None and not url else read_origin(url)
    if url:
        raise ValueError("the value must be empty, because EDGE_ORIGINS is set")
    return url


class ServerSettings(BaseModel):
    """Settings of the origin's and the parent's address, the store, and the tokens."""

    origins: Annotated[SecretStr, AfterValidator(check_origins)] = setting(
        NO_TOKEN,
        "path or JSON",
        "Named origins, in place of EDGE_ORIGIN: the path of a TOML or JSON file, or JSON. An image id then begins "
        "with the name of its origin and a slash. Empty: one origin.",
    )
    origin: Annotated[str, AfterValidator(_origin)] = setting(
        "",
        "address",
        "URL of the origin. A picture is fetched from this URL plus a slash and the image id. file:///srv/pictures "
        "names a folder of this machine. Required without EDGE_ORIGINS.",
        validate_default=True,
    )
    parent: Annotated[str, AfterValidator(read_parent)] = setting(
        "",
        "address",
        "URL of a parent edge. On a miss, a latent is requested from the parent. The picture is requested from the "
        "origin only if the parent sends no usable latent. Empty: no parent.",
    )
    parent_token: Token = setting(
        NO_TOKEN,
        "text",
        "Token that the edge sends to its parent. It must equal the parent's EDGE_LATENT_TOKEN. Required with "
        "EDGE_PARENT.",
    )
    parent_timeout_s: float = setting(
        10.0,
        "s",
        "Timeout of a fetch from the parent. After it, the picture is requested from the origin.",
        gt=0,
        le=600,
    )
    parent_retry_s: float = setting(
        1.0,
        "s",
        "Back-off after the parent was down or too slow: it gets no requests for this long. 0: no back-off.",
        ge=0,
        le=3600,
    )
    redis_url: Annotated[str, AfterValidator(read_store)] = setting(
        "",
        "address",
        "URL of the Redis or Valkey that stores the latents, or of a cluster with the scheme redis+cluster://, or "
        "of Sentinels as redis+sentinel://host:port,host:port/service. Empty: the edge starts an embedded Valkey.",
    )
    store_bytes: int = setting(
        256 * 2**20, "bytes", "Memory limit of the embedded Valkey. Ignored with EDGE_REDIS_URL.", ge=4 * 2**20
    )
    latent_token: Token = setting(
        NO_TOKEN,
        "text",
        "Token that child edges must send as `Authorization: Bearer` to get `/latent/<id>`. Empty: the edge serves no "
        "latents.",
    )
    admin_token: Token = setting(
        NO_TOKEN, "text", "Token that clients must send as `Authorization: Bearer` to purge. Empty: purging is off."
    )
    key: HexKeys = setting(
        NO_TOKEN,
        "hex",
        "Key with which the URLs of pictures are signed, in hexadecimal digits. Several keys, separated by commas, are "
        "all accepted, for rotation. Requests for pictures without a valid signature get 403. Empty: no signatures.",
    )
    salt: HexKeys = setting(
        NO_TOKEN, "hex", "Salt of each EDGE_KEY, in hexadecimal digits, in the same order. Required with EDGE_KEY."
    )
    store_timeout_s: float = setting(1.0, "s", "Timeout of a command to the Redis or Valkey server.", gt=0, le=60)
    store_retry_s: float = setting(
        1.0,
        "s",
        "Back-off after a store command timed out: no commands are sent for this long, and pictures are served from "
        "memory or from the origin. 0: no back-off.",
        ge=0,
        le=3600,
    )
    store_grace_s: float = setting(
        30.0,
        "s",
        "While the store does not answer, a fresh picture is still served from memory for this long after the store "
        "last confirmed it. 0: not at all.",
        ge=0,
        le=3600,
    )
    variants: int = setting(
        64,
        "variants",
        "Maximum number of variants (by the origin's Vary) of one picture in the store. Beyond it, the variant that was"
        " stored first is dropped. 0: no maximum.",
        ge=0,
    )
