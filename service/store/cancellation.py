"""Cancel a task that uses redis-py."""

from __future__ import annotations

import asyncio

CANCEL_AGAIN_S = 0.1


async def cancel(task: asyncio.Task[None] | None) -> None:
    """Cancel the task, and return when it has ended.

    redis-py 8.1 on uvloop loses a cancellation that arrives while it connects (seen), so the task is cancelled again
    until it has ended.
    """
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_S)
