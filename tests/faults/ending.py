"""Ends tasks for good: a library may answer a cancellation with an error of its own and go on."""

import asyncio
from collections.abc import Iterable

_AGAIN_S = 1.0


async def end(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Cancel tasks until all of them have ended."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_S)
