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
        try:
            await component()
        except Exception:  # noqa: BLE001  a broken invariant stops its component, not the gateway
            stop_if_cancelled()
            if clock.mono_ns() - started_ns > _HEALTHY_NS:
                failures = 0
            wait_s = waits.delay_s(failures, rng)
            failures += 1
            _log.exception("component failed, starting it again", component=name, wait_s=round(wait_s, 2))
            await clock.sleep(wait_s)
        else:
            _log.warning("component ended, starting it again", component=name)
            await clock.sleep(waits.base_s)


def stop_if_cancelled() -> None:
    """Raise the cancellation of the running task that an error took the place of.

    A task group whose children fail while it is being cancelled raises their errors in place of the cancellation
    (before Python 3.13), and so does a connection that cannot be left in peace: who then begins anew would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
