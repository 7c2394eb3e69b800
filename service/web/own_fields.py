"""The response fields that the settings of this edge add to every picture, in place of the origin's. No I/O."""

from __future__ import annotations

from service.settings.response_settings import ResponseSettings

OwnFields = tuple[tuple[bytes, bytes], ...]


def own_fields(settings: ResponseSettings) -> OwnFields:
    """Return the fields that the settings name, as header lines."""
    said = {
        b"access-control-allow-origin": settings.allow_origin,
        b"timing-allow-origin": settings.timing_allow_origin,
        b"cross-origin-resource-policy": settings.resource_policy,
    }
    return tuple((name, value.encode("ascii")) for name, value in said.items() if value)
