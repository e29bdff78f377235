"""The Bluetooth source over HCI on an air of real GATT peripherals."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bumble.profiles.heart_rate_service import HeartRateService

from edge.links import LinkStatus
from edge.settings import BleSettings
from edge.sources.base import Delivery
from edge.sources.ble import BleSource
from firmware_sim.transports.bumble import Air
from shared.clock import SystemClock
from shared.ids import SensorId
from tests.tools import BOUND_S, until

pytestmark = pytest.mark.usefixtures("quiet_bumble")

STRAP = SensorId("C0:00:00:00:00:01")
STRANGER = "C0:00:00:00:00:99"


@contextlib.asynccontextmanager
async def running(port: int, *, slots: int = 5) -> AsyncIterator[BleSource]:
    """Run a gateway's source on the adapter at a TCP port."""
    settings = BleSettings(adapter=f"tcp-client:127.0.0.1:{port}", slots=slots, connect_timeout_s=5.0)
    source = BleSource(settings, lambda sensor: sensor != STRANGER, SystemClock())
    task = asyncio.create_task(source.run())
    try:
        yield source
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=BOUND_S)
        assert task.cancelled()


async def received(source: BleSource, count: int, *, channel: str = "2a37") -> list[Delivery]:
    """Wait for this many frames of a channel."""
    arrived: list[Delivery] = []
    async with asyncio.timeout(BOUND_S):
        while len(arrived) < count:
            arrived += [d for d in await source.receive() if d.frame.channel == channel]
    return arrived


def measurement(bpm: int) -> bytes:
    """Return a 0x2A37 value as bumble's own service writes it."""
    return bytes(HeartRateService.HeartRateMeasurement(heart_rate=bpm))


async def test_source_when_a_strap_is_on_the_air_then_it_is_connected_and_heard() -> None:
    """Rule: found, connected and subscribed without being told more than who is on the roster; the battery is read."""
    async with Air(host="127.0.0.1", port=0) as air:
        strap = await air.add_strap(STRAP, battery_percent=83)
        async with running(air.port) as source:
            (battery,) = await received(source, 1, channel="2a19")
            assert (battery.frame.sensor, battery.frame.body) == (STRAP, bytes([83]))
            await until(lambda: source.links[STRAP].connected)
            assert source.status.up
            for bpm in (120, 121, 122):
                assert await strap.notify(measurement(bpm))
            frames = [delivery.frame for delivery in await received(source, 3)]
            assert [frame.body for frame in frames] == [measurement(bpm) for bpm in (120, 121, 122)]
            assert {frame.sensor for frame in frames} == {STRAP}


async def test_source_when_a_strap_drops_then_it_is_connected_and_subscribed_again() -> None:
    """Rule: a fresh client per connection, re-subscribed on every one; reconnects are counted."""
    async with Air(host="127.0.0.1", port=0) as air:
        strap = await air.add_strap(STRAP, battery_percent=83)
        async with running(air.port) as source:
            for connection in range(1, 4):
                await until(lambda n=connection: STRAP in source.links and source.links[STRAP].connections == n)  # type: ignore[misc]
                assert await strap.notify(measurement(100 + connection))
                (delivery,) = await received(source, 1)
                assert delivery.frame.body == measurement(100 + connection)
                await strap.disconnect()
            assert source.status.up


async def test_source_when_a_strap_is_on_no_roster_then_it_is_left_alone_and_counted() -> None:
    """Rule: the neighbours' straps are not ours to connect."""
    async with Air(host="127.0.0.1", port=0) as air:
        stranger = await air.add_strap(STRANGER, battery_percent=50)
        await air.add_strap(STRAP, battery_percent=83)
        async with running(air.port) as source:
            await until(lambda: STRAP in source.links and source.links[STRAP].connected)
            await until(lambda: bool(source.strangers))
            assert set(source.strangers) == {STRANGER}
            assert set(source.links) == {STRAP}
            assert not stranger.subscribers()


async def test_source_when_there_are_more_straps_than_slots_then_no_more_are_connected() -> None:
    """Rule: connection slots are counted; a freed one goes to who waits."""
    async with Air(host="127.0.0.1", port=0) as air:
        straps = [await air.add_strap(f"C0:00:00:00:00:0{i}", battery_percent=80) for i in range(3)]
        async with running(air.port, slots=2) as source:

            def connected() -> int:
                return sum(link.connected for link in source.links.values())

            await until(lambda: connected() == 2)
            # All three advertise ten times a second; a fourth round of advertisements changes nothing.
            await until(lambda: len(source.links) == 3)
            assert connected() == 2
            assert sum(bool(strap.subscribers()) for strap in straps) == 2


async def test_source_when_there_are_several_adapters_then_slots_add_up_and_a_lost_one_takes_nothing_along() -> None:
    """Rule: slots of several adapters add up; one that hears nobody, or goes, changes nothing for the others."""
    async with Air(host="127.0.0.1", port=0, adapters=2) as air, Air(host="127.0.0.1", port=0) as elsewhere:
        straps = [await air.add_strap(f"C0:00:00:00:00:0{i}", battery_percent=80) for i in range(3)]
        names = [f"tcp-client:127.0.0.1:{port}" for port in (*air.ports, elsewhere.port)]
        source = BleSource(BleSettings(adapters=tuple(names), slots=2), lambda _sensor: True, SystemClock())
        task = asyncio.create_task(source.run())

        def held() -> list[int]:
            return [adapter.slots.capacity - adapter.slots.free for adapter in source.adapters]

        try:
            await until(lambda: sum(link.connected for link in source.links.values()) == 3)
            assert sorted(held()) == [0, 1, 2]
            assert held()[2] == 0
            for strap in straps:
                assert await strap.notify(measurement(120))
            assert {delivery.frame.sensor for delivery in await received(source, 3)} == {s.address for s in straps}
            await elsewhere.__aexit__(None, None, None)
            await until(lambda: not source.adapters[2].is_up)
            assert source.status.up
            assert names[2] in (source.status.problem or "")
            assert sum(link.connected for link in source.links.values()) == 3
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=BOUND_S)


async def test_source_when_the_adapter_goes_then_it_says_so_and_comes_back_with_it() -> None:
    """Rule: a pulled dongle is a status; when it is back, so are the straps."""
    async with Air(host="127.0.0.1", port=0) as air:
        port = air.port
        await air.add_strap(STRAP, battery_percent=83)
        async with running(port) as source:
            await until(lambda: STRAP in source.links and source.links[STRAP].connected)
            await air.__aexit__(None, None, None)
            await until(lambda: not source.status.up)
            assert source.status.problem
            assert not source.links[STRAP].connected
            async with Air(host="127.0.0.1", port=port) as again:
                strap = await again.add_strap(STRAP, battery_percent=83)
                await until(lambda: source.links[STRAP].connections == 2, bound_s=20)
                assert source.status.up
                assert await strap.notify(measurement(99))
                (delivery,) = await received(source, 1)
                assert delivery.frame.body == measurement(99)


async def test_source_when_there_is_no_adapter_at_the_start_then_it_waits_for_one() -> None:
    """Rule: a gateway starts without its dongle and says what is missing."""
    async with Air(host="127.0.0.1", port=0) as air:
        port = air.port
    async with running(port) as source:
        await until(lambda: "adapter tcp-client" in (source.status.problem or ""))
        async with Air(host="127.0.0.1", port=port) as late:
            await late.add_strap(STRAP, battery_percent=83)
            await until(lambda: STRAP in source.links and source.links[STRAP].connected, bound_s=20)


async def test_source_when_the_system_has_no_bluetooth_then_its_link_never_comes_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Regression: the link was up before the scan had begun: without BlueZ it flapped fifteen times a second."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'none'}")
    source = BleSource(BleSettings(), lambda _sensor: True, SystemClock())
    states: list[LinkStatus] = []
    task = asyncio.create_task(source.run())
    try:
        async with asyncio.timeout(BOUND_S):
            while len({id(status) for status in states}) < 4:
                if not states or states[-1] is not source.status:
                    states.append(source.status)
                await asyncio.sleep(0)
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=BOUND_S)
    assert not any(status.up for status in states)
    assert len({status.since_ns for status in states}) == 1


def test_strangers_when_there_are_many_then_the_latest_heard_are_kept() -> None:
    """Rule: a crowd of phones cannot fill the memory."""
    source = BleSource(BleSettings(), lambda _sensor: False, SystemClock())
    for i in range(100):
        for address in (STRANGER, f"C0:00:00:00:01:{i:02X}"):
            source.meet(address)
    assert len(source.strangers) == 64
    assert source.strangers[STRANGER] == 100
    assert list(source.strangers)[-1] == "C0:00:00:00:01:63"
