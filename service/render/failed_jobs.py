"""What a codec's failure is for the jobs that meet it: logged once, and a typed error for each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from service.errors import CodecFailed
from service.render.jobs import Job


def fail_jobs(jobs: Sequence[Job[Any]], error: Exception) -> None:
    """Log the error and give it to every one of the jobs."""
    logging.getLogger(__name__).error("the codec failed", exc_info=error)
    for job in jobs:
        job.fail(CodecFailed(str(error)))
