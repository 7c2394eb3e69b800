"""Try store, origins and parent once, in the way that the edge uses them, and return their faults as sentences."""

from __future__ import annotations

import secrets
from http import HTTPStatus

from service.errors import EdgeError, StoreUnavailable
from service.metrics.telemetry import Telemetry
from service.records.store_keys import generations_key, lease_key, record_key
from service.rules.negotiation import check_image_id
from service.rules.origin_names import OriginNames
from service.rules.origin_refused import OriginRefused
from service.settings.edge_settings import Settings
from service.settings.named_origins import read_origins
from service.store.connection import Connection, Timeouts
from service.store.generation_store import GenerationStore
from service.store.latent_store import LatentStore, Token
from service.upstream.origin_access import bearer
from service.upstream.origin_client import Limits, OriginClient
from service.upstream.origins import Origins
from service.upstream.origins import named as named_origins
from service.upstream.parent import mismatch_told_by
from service.web.questions import LATENTS

PROBE = "latentedge-check"
"""The image id that is requested from origins, which need not have it, and the prefix of the probe's id."""
LIFETIME_S = 10
"""The time after which the probe's key expires if this process dies before it is removed (assumed)."""


async def probe_store(settings: Settings) -> tuple[str, ...]:
    """Write, read and remove a key, and ask for the table of purges and the policy of eviction. Return the faults."""
    connection = Connection(
        settings.redis_url,
        timeouts=Timeouts(timeout_s=settings.store_timeout_s, retry_s=0),
        observer=Telemetry().store,
    )
    try:
        await _write_and_read(LatentStore(connection), settings.namespace)
        await GenerationStore(connection, generations_key(settings.namespace)).latest()
        return await _policy_faults(connection)
    except StoreUnavailable as error:
        return (f"the store fails: {error}",)
    finally:
        await connection.close()


async def _write_and_read(store: LatentStore, namespace: str) -> None:
    key = record_key(f"{PROBE}-{secrets.token_hex(8)}", origin=namespace)
    token, value = Token(lease_key(key), secrets.token_bytes(16)), secrets.token_bytes(16)
    await store.take(token, ttl_ms=1000 * LIFETIME_S)
    stored = await store.put(key, value, ttl_s=LIFETIME_S, under=token)
    if not stored or await store.get(key) != value:
        raise StoreUnavailable("it does not return what was written")
    await store.remove(key, value)


async def _policy_faults(connection: Connection) -> tuple[str, ...]:
    async with connection.servers() as servers:
        figures = [await server.info("memory") for server in servers]
    if any(int(one["maxmemory"]) and one["maxmemory_policy"] == "noeviction" for one in figures):
        return ("a server has a maxmemory and evicts nothing; its maxmemory-policy should be volatile-lfu",)
    return ()


async def probe_origins(settings: Settings, image_id: str) -> tuple[str, ...]:
    """Ask each origin for a picture that it need not have, and for `image_id` unless it is empty. Return the faults."""
    limits = _limits(settings, timeout_s=settings.origin_timeout_s)
    origins = Origins.of(settings, limits=limits, observer=Telemetry().origin)
    try:
        faults = [await _fault_of(origins, name) for name in _names(settings)]
        if image_id:
            faults.append(await _fetch_fault(origins, image_id, named_origins(settings)))
    finally:
        await origins.close()
    return tuple(fault for fault in faults if fault)


async def probe_parent(settings: Settings) -> tuple[str, ...]:
    """Ask the parent for a latent that it need not have, of each named origin. Return the faults."""
    parent = OriginClient(
        settings.parent + LATENTS.rstrip("/"),
        limits=_limits(settings, timeout_s=settings.parent_timeout_s),
        observer=Telemetry().parent,
        access=bearer(settings.parent_token.get_secret_value()),
    )
    try:
        faults = [await _parent_fault(parent, name) for name in _names(settings)]
    finally:
        await parent.close()
    return tuple(dict.fromkeys(fault for fault in faults if fault))  # one that is down is told once


async def _parent_fault(parent: OriginClient, name: str) -> str:
    """Return what is wrong with the parent. An error that it passes on from the origin is all right, but not a 5xx."""
    try:
        await parent.fetch(f"{name}/{PROBE}".lstrip("/"))
    except OriginRefused as error:
        mismatch = mismatch_told_by(error)
        if mismatch or not error.is_final:
            return mismatch or f"the parent answered {error.status:d}"
    except EdgeError as error:
        return str(error).replace("the origin", "the parent")
    return ""


def _limits(settings: Settings, *, timeout_s: float) -> Limits:
    return Limits(
        source_bytes=settings.source_bytes,
        timeout_s=timeout_s,
        connect_timeout_s=settings.origin_connect_timeout_s,
    )


def _names(settings: Settings) -> tuple[str, ...]:
    """Return the names of the origins; an empty one if there is one origin only."""
    return tuple(read_origins(settings.origins.get_secret_value().strip())) or ("",)


async def _fault_of(origins: Origins, name: str) -> str:
    """Return the fault of an origin. Every response except 401 and 5xx shows that the origin can be used."""
    begin = f"{name}: " if name else ""
    try:
        await origins.find(f"{name}/").fetch(f"{name}/{PROBE}".lstrip("/"))
    except OriginRefused as error:
        if error.is_final and error.status != HTTPStatus.UNAUTHORIZED:
            return ""
        return f"{begin}{error}"
    except EdgeError as error:
        return f"{begin}{error}"
    return ""


async def _fetch_fault(origins: Origins, image_id: str, names: OriginNames) -> str:
    try:
        check_image_id(image_id)
        names.check(image_id)
        await origins.find(image_id).fetch(image_id)
    except EdgeError as error:
        return f"{image_id}: {error}"
    return ""
