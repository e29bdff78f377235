"""Keeps components running. The one place that catches whatever a component raises."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from shared.clock import NS_PER_S, Clock
from shared.log import get_logger
from shared.retry import Backoff

_log = get_logger("supervise")
_HEALTHY_NS = 60 * NS_PER_S
"""A component that ran this long before it failed starts again with the shortest wait."""


async def keep_running(
    name: str, component: Callable[[], Awaitable[None]], clock: Clock, *, backoff: Backoff | None = None
) -> None:
    """Run `component` until cancelled: when it raises, log it and start it again after a growing wait."""
    waits = backoff or Backoff(base_s=0.2, cap_s=10.0)
    rng = random.Random()
    failures = 0
    while True:
        started_ns = clock.mono_ns()
        if await run_once(name, component):
            wait_s = waits.base_s
        else:
            if clock.mono_ns() - started_ns > _HEALTHY_NS:
                failures = 0
            wait_s = waits.delay_s(failures, rng)
            failures += 1
        _log.warning("component is started again", component=name, wait_s=round(wait_s, 2))
        await clock.sleep(wait_s)


async def run_once(name: str, work: Callable[[], Awaitable[None]]) -> bool:
    """Run `work` to its end and return True, or to its failure, which is logged: what goes on beside it goes on."""
    try:
        await apart(work)
    except Exception:  # noqa: BLE001  a broken invariant stops its component, not the gateway
        stop_if_cancelled()
        _log.exception("component failed", component=name)
        return False
    return True


async def apart(work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` in a task of its own, which a cancellation of this one reaches.

    Before Python 3.13 a task group whose child fails while it waits for its children leaves its own task looking
    cancelled for good: who asks `stop_if_cancelled` then would end where it has to begin anew.
    """

    async def inner() -> None:
        await work()

    await asyncio.create_task(inner())


def stop_if_cancelled() -> None:
    """Raise the cancellation of the running task that an error took the place of.

    A task group whose children fail while it is being cancelled raises their errors in place of the cancellation
    (before Python 3.13), and so does a connection that cannot be left in peace: who then begins anew would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
