"""What keeps components running."""

import asyncio

import pytest

from edge.supervise import keep_running, run_once
from shared.clock import ManualClock
from shared.retry import Backoff
from tests.tools import settled


class Component:
    """Fails until told otherwise; counts its starts."""

    def __init__(self, *, ends: bool = False) -> None:
        self.starts = 0
        self.ends = ends

    async def run(self) -> None:
        """Start, and fail or end."""
        self.starts += 1
        if not self.ends:
            raise ValueError("a broken invariant")


@pytest.mark.parametrize("ends", [False, True])
async def test_component_when_it_raises_or_ends_then_it_starts_again_after_a_wait(ends: bool) -> None:  # noqa: FBT001
    """Rule: one component's failure stops neither the gateway nor that component for good."""
    clock, component = ManualClock(), Component(ends=ends)
    keeper = asyncio.create_task(keep_running("test", component.run, clock, backoff=Backoff(base_s=1.0, cap_s=1.0)))
    for starts in range(1, 5):
        await settled()
        assert component.starts == starts
        assert not keeper.done()
        clock.advance(1.0)
    keeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeper


async def test_component_when_cancelled_then_it_is_not_started_again() -> None:
    """Rule: cancellation is the only stop signal."""
    stopped = asyncio.Event()

    async def component() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    keeper = asyncio.create_task(keep_running("test", component, ManualClock()))
    await settled()
    keeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeper
    assert stopped.is_set()


async def test_component_when_it_fails_again_and_again_then_waits_stay_under_the_cap() -> None:
    """Rule: back-off grows to its cap, never beyond."""
    clock, component = ManualClock(), Component()
    keeper = asyncio.create_task(keep_running("test", component.run, clock, backoff=Backoff(base_s=0.5, cap_s=2.0)))
    for starts in range(1, 40):
        await settled()
        assert component.starts >= starts
        clock.advance(2.0)
    keeper.cancel()
    await asyncio.wait({keeper})


async def test_component_when_its_cancellation_ends_in_an_error_then_it_is_not_started_again() -> None:
    """Rule: an error on the way out, as of a task group's children, does not keep the gateway running."""
    starts = []

    async def child() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise OSError("the other end is gone") from None

    async def component() -> None:
        starts.append(1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(child())
            await asyncio.Event().wait()

    clock = ManualClock()
    keeper = asyncio.create_task(keep_running("test", component, clock))
    await settled()
    keeper.cancel()
    await settled()
    clock.advance(60.0)
    await settled()
    assert keeper.cancelled()
    assert len(starts) == 1


async def test_component_when_a_child_of_its_task_group_fails_then_it_starts_again() -> None:
    """Rule: a failure inside a task group is a failure, not a cancellation: the component begins anew each time."""
    starts = []

    async def child() -> None:
        await asyncio.sleep(0)  # the group waits for its children already
        raise ValueError("a broken invariant")

    async def component() -> None:
        starts.append(1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(child())
            tasks.create_task(asyncio.Event().wait())

    clock = ManualClock()
    keeper = asyncio.create_task(keep_running("test", component, clock, backoff=Backoff(base_s=1.0, cap_s=1.0)))
    for number in range(1, 4):
        await settled()
        assert len(starts) == number
        assert not keeper.done()
        clock.advance(1.0)
    keeper.cancel()
    await asyncio.wait({keeper})
    assert keeper.cancelled()


async def test_work_when_it_fails_then_what_goes_on_beside_it_goes_on_and_a_stop_still_stops_it() -> None:
    """Rule: what is done once and breaks takes nothing else down, and does not swallow a cancellation."""
    component = Component()
    assert not await run_once("test", component.run)
    assert component.starts == 1
    waiting = asyncio.create_task(run_once("test", asyncio.Event().wait))  # type: ignore[arg-type]
    await settled()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
