"""The routes that purge pictures. Requests need the bearer token EDGE_ADMIN_TOKEN; without the setting, all get 403."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_validator, model_validator
from starlette.exceptions import HTTPException

from service.errors import BEARER, BadImageId, StoreUnavailable
from service.metrics.store_counts import StoreCounts
from service.records.purger import Purger
from service.rules.bearer import bears
from service.rules.cache_tags import TAG_CAP_BYTES, is_tag
from service.rules.negotiation import check_image_id
from service.rules.origin_names import OriginNames
from service.web.questions import PICTURES

_UNAUTHORISED = {"WWW-Authenticate": BEARER}


class PurgeOrder(BaseModel):
    """The body of a purge request: exactly one of an id, a tag or all."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: str | None = None
    query: str = ""
    """With an `id`: the query of the picture's URL, if its origin needs arguments (EDGE_ORIGINS)."""
    tag: str | None = None
    all: bool = False
    soft: bool = False
    """Only mark the pictures as stale. They may still be served while they are validated, or if the origin fails."""

    @field_validator("tag")
    @classmethod
    def _check_tag(cls, tag: str | None) -> str | None:
        if tag is not None and not is_tag(tag):
            raise ValueError(f"a tag is printable ASCII of at most {TAG_CAP_BYTES} characters")
        return tag

    @field_validator("id")
    @classmethod
    def _check_id(cls, image_id: str | None) -> str | None:
        if image_id is not None:
            try:
                check_image_id(image_id)
            except BadImageId as error:
                raise ValueError(BadImageId.public) from error
        return image_id

    @model_validator(mode="after")
    def _check_exactly_one(self) -> Self:
        if (self.id is not None) + (self.tag is not None) + self.all != 1:
            raise ValueError("give exactly one of id, tag and all")
        if self.query and self.id is None:
            raise ValueError("a query needs an id")
        return self


class Purging:
    """Checks the token of a purge request, purges the pictures, and counts the purge in the metrics."""

    def __init__(self, purger: Purger, counts: StoreCounts, *, token: SecretStr, names: OriginNames) -> None:
        self._purger = purger
        self._names = names
        self._counts = counts
        self._token = token.get_secret_value()

    def check(self, request: Request) -> None:
        """Raise HTTPException with 403 if purging is off, or with 401 if the token is missing or wrong."""
        if not self._token:
            raise HTTPException(HTTPStatus.FORBIDDEN, "Purging is off: this edge has no EDGE_ADMIN_TOKEN.")
        if not bears(request.headers.raw, self._token):
            raise HTTPException(HTTPStatus.UNAUTHORIZED, "The token is missing or wrong.", headers=_UNAUTHORISED)

    async def purge(self, order: PurgeOrder) -> dict[str, Any]:
        """Purge the pictures that `order` names, and return the body of the response.

        Raises HTTPException with 503 if the store does not answer.
        """
        scope = "id" if order.id is not None else "tag" if order.tag is not None else "all"
        try:
            if order.id is not None:
                result = {"purged": await self._purger.one(self._whole_id(order.id, order.query), soft=order.soft)}
            else:
                result = {"generation": await self._purger.many(order.tag, soft=order.soft)}
        except StoreUnavailable as error:
            raise HTTPException(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The store does not answer, so the purge may or may not have taken effect.",
                headers={"Retry-After": "1"},
            ) from error
        self._counts.count_purge(scope=scope)
        return {"scope": scope, "soft": order.soft, **result}

    def _whole_id(self, image_id: str, query: str) -> str:
        try:
            return self._names.with_arguments(image_id, query)
        except BadImageId as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"Nothing was purged: {BadImageId.public}") from error


def purge_router(running: Callable[[], Purging]) -> APIRouter:
    """Return the routes `PURGE /image/<id>` and `POST /purge`."""
    router = APIRouter()

    async def purge_image(request: Request, id: str) -> dict[str, Any]:  # noqa: A002, ARG001  (the path has it undecoded)
        purging = running()
        purging.check(request)
        path, query = request.scope["path"].removeprefix(PICTURES), request.url.query
        return await purging.purge(_order(lambda: PurgeOrder(id=path, query=query)))

    # Not in the schema, because OpenAPI has no method PURGE.
    router.add_api_route(PICTURES + "{id:path}", purge_image, methods=["PURGE"], include_in_schema=False)

    body = {"required": True, "content": {"application/json": {"schema": PurgeOrder.model_json_schema()}}}

    @router.post("/purge", tags=["purging"], openapi_extra={"requestBody": body})
    async def purge(request: Request) -> dict[str, Any]:
        """Purge one picture (`id`), all pictures with a `tag`, or `all`. `soft` only marks them stale.

        The response for an `id` has `purged`, the number of purged pictures. The response for a `tag` or `all` has
        `generation`, the number of this purge. It takes about a second, until no edge on this store serves the purged
        pictures any more.
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
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"Nothing was purged: {faults}.") from error
