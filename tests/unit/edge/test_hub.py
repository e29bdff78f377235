"""Many tablets, slow and fast: each gets the newest state."""

import asyncio
import json
from typing import Any

import pytest

from edge.messages import Alert, Dot, Tile, TilePatch
from edge.ui.hub import Hub
from shared.clock import ManualClock
from tests.fakes.tablet import TabletConnection
from tests.tools import until

FIRST = TilePatch(sent_ns=0, tiles=[])


def alert(name: str) -> Alert:
    """Return an alert."""
    return Alert(alert=name, athlete="a01", rule="r@1", severity="badge", why="w", cause="hr", started_ns=1)


def kinds(connection: TabletConnection) -> list[str]:
    """Return the types of the messages that arrived."""
    return [json.loads(text)["type"] for text in connection.arrived]


async def end(task: "asyncio.Task[None]") -> None:
    """Cancel a connection's sender and wait for it."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_hub_when_tiles_change_faster_than_they_are_sent_then_only_the_newest_of_each_goes_out() -> None:
    """Rule: coalescing; at most one tile per athlete waits for a tablet."""
    hub, connection = Hub(ManualClock()), TabletConnection()
    connection.pause()
    serving = asyncio.create_task(hub.serve(connection, FIRST))
    await until(lambda: hub.clients == 1)
    for bpm in range(100, 200):
        hub.tiles([Tile(athlete="a01", hr_bpm=bpm), Tile(athlete="a02", hr_bpm=bpm + 0.5)])
        hub.dots([Dot(athlete="a01", x_m=bpm, y_m=0, time_ns=bpm)])
    connection.resume()
    await until(lambda: len(connection.arrived) == 3)
    tiles, dots = (json.loads(text) for text in connection.arrived[1:])
    assert {tile["athlete"]: tile["hr_bpm"] for tile in tiles["tiles"]} == {"a01": 199, "a02": 199.5}
    assert [dot["x_m"] for dot in dots["dots"]] == [199]
    await end(serving)


async def test_hub_when_one_tablet_is_slow_then_the_others_are_not() -> None:
    """Rule: a tablet in somebody's pocket holds nobody up."""
    hub, slow, fast = Hub(ManualClock()), TabletConnection(), TabletConnection()
    slow.pause()
    serving = [asyncio.create_task(hub.serve(tablet, FIRST)) for tablet in (slow, fast)]
    await until(lambda: hub.clients == 2)
    hub.tiles([Tile(athlete="a01", hr_bpm=150)])
    await until(lambda: kinds(fast) == ["tiles", "tiles"])
    assert slow.arrived == []
    for task in serving:
        await end(task)


async def test_hub_when_alerts_pile_up_then_each_is_sent_up_to_a_bound() -> None:
    """Rule: alerts are not coalesced, as each counts; a tablet away for long gets the newest 256."""
    hub, connection = Hub(ManualClock()), TabletConnection()
    connection.pause()
    serving = asyncio.create_task(hub.serve(connection, FIRST))
    await until(lambda: hub.clients == 1)
    for i in range(300):
        hub.alert(alert(f"{i}"))
    connection.resume()
    await until(lambda: len(connection.arrived) == 257)
    names: list[Any] = [json.loads(text)["alert"]["alert"] for text in connection.arrived[1:]]
    assert names == [str(i) for i in range(44, 300)]
    await end(serving)


async def test_hub_when_a_tablet_goes_then_it_is_forgotten() -> None:
    """Rule: a broken connection ends its sender and leaves no client behind."""
    hub, connection = Hub(ManualClock()), TabletConnection()
    serving = asyncio.create_task(hub.serve(connection, FIRST))
    await until(lambda: hub.clients == 1)
    connection.broken = True
    hub.tiles([Tile(athlete="a01")])
    with pytest.raises(ConnectionError):
        await serving
    assert hub.clients == 0


async def test_hub_when_a_tablet_connects_then_the_first_message_comes_first() -> None:
    """Rule: one snapshot, then patches; nothing sent between is lost."""
    hub, connection = Hub(ManualClock()), TabletConnection()
    connection.pause()
    serving = asyncio.create_task(hub.serve(connection, FIRST))
    await until(lambda: hub.clients == 1)
    hub.tiles([Tile(athlete="a01", hr_bpm=150)])
    connection.resume()
    await until(lambda: len(connection.arrived) == 2)
    assert json.loads(connection.arrived[0])["tiles"] == []
    assert json.loads(connection.arrived[1])["tiles"][0]["hr_bpm"] == 150
    await end(serving)


async def test_hub_when_it_ends_its_tablets_then_their_senders_return_and_new_ones_are_served() -> None:
    """Rule: a new session lets the tablets go, so that they connect again for its snapshot."""
    hub, connection, later = Hub(ManualClock()), TabletConnection(), TabletConnection()
    serving = asyncio.create_task(hub.serve(connection, FIRST))
    await until(lambda: len(connection.arrived) == 1)
    hub.end()
    await serving
    assert hub.clients == 0
    again = asyncio.create_task(hub.serve(later, FIRST))
    await until(lambda: len(later.arrived) == 1)
    hub.tiles([Tile(athlete="a01")])
    await until(lambda: kinds(later) == ["tiles", "tiles"])
    await end(again)
