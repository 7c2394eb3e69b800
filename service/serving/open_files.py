"""Raise the limit of open files of an edge, and compute how many client connections it leaves room for."""

from __future__ import annotations

import logging
import resource

from service.errors import TooFewFiles

RESERVED_FETCHES = 64
RESERVED_FILES = 192
"""The file descriptors of a worker that are not for clients (derived).

64 connections to the origin, 64 to a parent, 16 to the store, 22 that are open after the start (counted), and 26 for
files and the pipes of child processes.
"""
LEAST_CLIENTS = 64  # assumed: with fewer, the kept connections of one load balancer would fill a worker
LEAST_FILES = RESERVED_FILES + LEAST_CLIENTS
SLOW_SHARE = 8
"""A slow origin, or a slow parent, may use one in SLOW_SHARE of the open files above LEAST_FILES (assumed)."""


def raise_limit() -> None:
    """Raise the soft limit of open files of this process and its children to the hard limit.

    Raises TooFewFiles if the hard limit is below LEAST_FILES.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < LEAST_FILES:
        raise TooFewFiles(
            f"a worker needs {LEAST_FILES} open files, and the limit is {hard} (`ulimit -Hn`, systemd: LimitNOFILE)"
        )
    if hard in {soft, resource.RLIM_INFINITY}:  # macOS has no hard limit, and refuses an infinite soft limit
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.getLogger(__name__).info("raised the limit of open files from %d to %d", soft, hard)


def room_for_slow_fetches(most: int, *, origins: int = 1) -> int:
    """Return how many connections to a slow origin may be opened beyond the reserved ones, at most `most`.

    Several origins share the part of one.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    share = SLOW_SHARE * origins
    return most if files == resource.RLIM_INFINITY else min(most, max(files - LEAST_FILES, 0) // share)


def room_for_connections(*, upstream_files: int) -> int:
    """Return how many client connections fit into this process's limit of open files; 0 if there is no limit.

    `upstream_files` is the number of files for connections to the origin and the parent beyond RESERVED_FILES.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if files == resource.RLIM_INFINITY else max(files - RESERVED_FILES - upstream_files, 1)
