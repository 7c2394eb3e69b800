"""Fail jobs after an error of the codec: the error is logged once, and each job gets a CodecFailed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from service.errors import CodecFailed
from service.render.jobs import Job


def fail_jobs(jobs: Sequence[Job[Any]], error: Exception) -> None:
    """Log the error, and fail every job with a CodecFailed."""
    logging.getLogger(__name__).error("the codec failed", exc_info=error)
    for job in jobs:
        job.fail(CodecFailed(str(error)))
