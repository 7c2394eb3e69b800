"""Find the version of the installed latentedge. Standard library only."""

from __future__ import annotations

from importlib import metadata

DISTRIBUTION = "latentedge"
NOT_INSTALLED = "unknown"
"""The version that is shown if latentedge runs from a source tree and is not installed."""


def read_version() -> str:
    """Return the version of the installed distribution, or NOT_INSTALLED."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return NOT_INSTALLED
