"""Bounded queues: one policy slows the producer, the other drops and counts."""

import asyncio

from edge.lanes import Lane, Policy
from tests.tools import settled


async def test_lane_when_full_and_blocking_then_the_producer_waits_and_nothing_is_lost() -> None:
    """Rule: BLOCK keeps every item, in order, and never holds more than its capacity."""
    lane: Lane[int] = Lane("test", capacity=3, policy=Policy.BLOCK)

    async def produce() -> None:
        for i in range(10):
            await lane.put(i)

    producer = asyncio.create_task(produce())
    taken: list[int] = []
    while len(taken) < 10:
        await settled()
        assert len(lane) <= 3
        taken += await lane.take_all()
    await producer
    assert taken == list(range(10))
    assert lane.dropped == 0


async def test_lane_when_several_producers_wait_then_the_capacity_holds() -> None:
    """Rule: waking all waiting producers overfills nothing and drops nothing."""
    lane: Lane[int] = Lane("test", capacity=2, policy=Policy.BLOCK)
    producers = [asyncio.create_task(lane.put(i)) for i in range(9)]
    taken: list[int] = []
    while len(taken) < 9:
        await settled()
        assert len(lane) <= 2
        taken += await lane.take_all()
    await asyncio.gather(*producers)
    assert sorted(taken) == list(range(9))
    assert lane.dropped == 0


async def test_lane_when_full_and_dropping_then_the_oldest_go_and_are_counted() -> None:
    """Rule: DROP_OLDEST keeps the newest and hears of each loss."""
    lost: list[int] = []
    lane: Lane[int] = Lane("test", capacity=3, policy=Policy.DROP_OLDEST, on_drop=lost.append)
    for i in range(5):
        await lane.put(i)
    assert await lane.take_all() == [2, 3, 4]
    assert (lost, lane.dropped) == ([0, 1], 2)


async def test_lane_when_empty_then_the_consumer_waits() -> None:
    """Rule: take_all returns at least one item."""
    lane: Lane[int] = Lane("test", capacity=3, policy=Policy.BLOCK)
    consumer = asyncio.create_task(lane.take_all())
    await settled()
    assert not consumer.done()
    lane.offer(1)
    assert await consumer == [1]
    assert len(lane) == 0


async def test_lane_when_a_waiting_producer_is_cancelled_then_its_item_is_not_added() -> None:
    """Rule: cancellation is clean."""
    lane: Lane[int] = Lane("test", capacity=1, policy=Policy.BLOCK)
    await lane.put(1)
    waiting = asyncio.create_task(lane.put(2))
    await settled()
    waiting.cancel()
    await settled()
    assert await lane.take_all() == [1]
    assert len(lane) == 0
