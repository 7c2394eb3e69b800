"""What an edge tells an OpenTelemetry collector about itself, and how long it waits for the collector."""

from __future__ import annotations

import os

from opentelemetry.sdk.resources import Resource

from service.metrics.release import DISTRIBUTION, read_version

EXPORT_S = 2
"""The longest wait for the collector; also at the end of the edge, which is not to wait for long."""


def own_resource() -> Resource:
    """Return who sends: OTEL_SERVICE_NAME, or the name of this software."""
    name = os.environ.get("OTEL_SERVICE_NAME", DISTRIBUTION)
    return Resource.create({"service.name": name, "service.version": read_version()})
