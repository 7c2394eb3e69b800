"""What an edge tells an OpenTelemetry collector about itself, and how long it waits for the collector."""

from __future__ import annotations

import os

from opentelemetry.sdk.resources import Resource

from service.metrics.release import DISTRIBUTION, read_version

EXPORT_S = 2
"""The longest wait for the collector, in seconds. It is short, because the edge also waits this long when it ends."""


def own_resource() -> Resource:
    """Return the attributes of the sender. Its name is OTEL_SERVICE_NAME, or otherwise that of this software."""
    name = os.environ.get("OTEL_SERVICE_NAME", DISTRIBUTION)
    return Resource.create({"service.name": name, "service.version": read_version()})
