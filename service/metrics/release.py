"""Which release of latentedge runs. Imports nothing but the standard library."""

from __future__ import annotations

from importlib import metadata

DISTRIBUTION = "latentedge"
NOT_INSTALLED = "unknown"
"""The version of a source tree that no package manager has installed."""


def installed_version() -> str:
    """Return the version of the installed distribution."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return NOT_INSTALLED
