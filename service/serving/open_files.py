"""Raise the limit of open files of an edge, and compute how many client connections it leaves room for."""

from __future__ import annotations

import logging
import resource

from service.errors import TooFewFiles

RESERVED_FILES = 192
"""File descriptors of a worker that are not for clients. Derived: 64 connections each to the origin and to a parent, 16
to the store, and 22 after the start of an edge (counted) with as many again for pipes of child processes and files."""
LEAST_CLIENTS = 64  # assumed: below it, one load balancer with kept connections fills a worker
LEAST_FILES = RESERVED_FILES + LEAST_CLIENTS


def raise_limit() -> None:
    """Raise the soft limit of this process and its children to the hard one. Raises TooFewFiles."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < LEAST_FILES:
        raise TooFewFiles(
            f"a worker needs {LEAST_FILES} open files, and the limit is {hard} (`ulimit -Hn`, systemd: LimitNOFILE)"
        )
    if hard in {soft, resource.RLIM_INFINITY}:  # macOS has no hard limit, and refuses a soft one of infinity
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.getLogger(__name__).info("raised the limit of open files from %d to %d", soft, hard)


def room_for_connections() -> int:
    """Return how many client connections the limit of this process leaves room for; 0: no limit."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if files == resource.RLIM_INFINITY else max(files - RESERVED_FILES, 1)
