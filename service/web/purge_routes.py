"""The routes that purge. Whoever may use them knows EDGE_ADMIN_TOKEN; where none is set, nobody may."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_validator, model_validator
from starlette.exceptions import HTTPException

from service.errors import BEARER, BadImageId, StoreUnavailable
from service.metrics.telemetry import Telemetry
from service.records.purger import Purger
from service.rules.bearer import bears
from service.rules.cache_tags import TAG_CAP_BYTES, is_tag
from service.rules.negotiation import check_image_id
from service.web.questions import PICTURES

_UNAUTHORISED = {"WWW-Authenticate": BEARER}


class PurgeOrder(BaseModel):
    """What is to be purged: exactly one of an id, a tag or all."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: str | None = None
    tag: str | None = None
    all: bool = False
    soft: bool = False
    """Only marked stale: shown while the origin is asked, or fails, as its freshness allows."""

    @field_validator("tag")
    @classmethod
    def _could_be_a_tag(cls, tag: str | None) -> str | None:
        if tag is not None and not is_tag(tag):
            raise ValueError(f"a tag is printable ASCII of at most {TAG_CAP_BYTES} characters")
        return tag

    @field_validator("id")
    @classmethod
    def _could_be_an_id(cls, image_id: str | None) -> str | None:
        if image_id is not None:
            try:
                check_image_id(image_id)
            except BadImageId as error:
                raise ValueError(BadImageId.public) from error
        return image_id

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.id is not None) + (self.tag is not None) + self.all != 1:
            raise ValueError("exactly one of id, tag and all is to be given")
        return self


class Purging:
    """What the purge routes answer from."""

    def __init__(self, purger: Purger, telemetry: Telemetry, *, token: SecretStr) -> None:
        self._purger = purger
        self._telemetry = telemetry
        self._token = token.get_secret_value()

    def check(self, request: Request) -> None:
        """Raises 403 where purging is off, 401 for whoever has not the token."""
        if not self._token:
            raise HTTPException(HTTPStatus.FORBIDDEN, "Purging is off: this edge has no EDGE_ADMIN_TOKEN.")
        if not bears(request.headers.raw, self._token):
            raise HTTPException(HTTPStatus.UNAUTHORIZED, "The token is missing or wrong.", headers=_UNAUTHORISED)

    async def purge(self, order: PurgeOrder) -> dict[str, Any]:
        """Raises 503 where nothing could be purged."""
        scope = "id" if order.id is not None else "tag" if order.tag is not None else "all"
        try:
            if order.id is not None:
                told = {"purged": await self._purger.one(order.id, soft=order.soft)}
            else:
                told = {"generation": await self._purger.many(order.tag, soft=order.soft)}
        except StoreUnavailable as error:
            sentence = "The store does not answer: it is not known whether anything was purged."
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, sentence, headers={"Retry-After": "1"}) from error
        self._telemetry.count_purge(scope=scope)
        return {"scope": scope, "soft": order.soft, **told}


def purge_router(running: Callable[[], Purging]) -> APIRouter:
    """`PURGE /image/<id>` and `POST /purge`."""
    router = APIRouter()

    async def purge_image(request: Request, id: str) -> dict[str, Any]:  # noqa: A002, ARG001  (the path has it undecoded)
        purging = running()
        purging.check(request)
        return await purging.purge(_order(lambda: PurgeOrder(id=request.scope["path"].removeprefix(PICTURES))))

    # OpenAPI knows no such method.
    router.add_api_route(PICTURES + "{id:path}", purge_image, methods=["PURGE"], include_in_schema=False)

    body = {"required": True, "content": {"application/json": {"schema": PurgeOrder.model_json_schema()}}}

    @router.post("/purge", tags=["purging"], openapi_extra={"requestBody": body})
    async def purge(request: Request) -> dict[str, Any]:
        """Purge one picture (`id`), those with a `tag`, or `all`; `soft` marks them stale.

        Answers `purged`, a number, for an id; else the `generation` before which everything is purged, once no edge on
        this store shows it any more, which takes a second.
        """
        purging = running()
        purging.check(request)
        text = await request.body()
        return await purging.purge(_order(lambda: PurgeOrder.model_validate_json(text)))

    return router


def _order(read: Callable[[], PurgeOrder]) -> PurgeOrder:
    try:
        return read()
    except ValidationError as error:
        faults = "; ".join(fault["msg"].removeprefix("Value error, ") for fault in error.errors())
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"No purge: {faults}.") from error
