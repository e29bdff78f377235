"""The Bluetooth source when things go at the worst moment: nothing is left connected, leaked or waited for in vain."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError
from bumble.hci import Address

from edge.lanes import Lane, Policy
from edge.pipeline.intake import Intake
from edge.pipeline.roster import Wearers
from edge.pipeline.storing import Storing
from edge.settings import BleSettings, StoreSettings
from edge.sources.ble import BleSource
from edge.sources.ble_bluez import watched
from edge.sources.ble_bumble import BumbleRadio, open_radio
from edge.store.journal import Journal
from firmware_sim.transports.bumble import Air
from shared.clock import Clock, ManualClock, SystemClock
from shared.ids import AthleteId, SensorId
from shared.readings import Gap, Readings
from shared.roster import Assignment, Roster
from tests.factories import roster, roster_athlete
from tests.fakes.bluez.air import bluez, gateway
from tests.fakes.bluez.peripheral import full, heart_strap, polar_strap
from tests.tools import BOUND_S, settled, until

pytestmark = pytest.mark.usefixtures("quiet_bumble")

STRAP = SensorId("C0:00:00:00:00:01")
OTHER = SensorId("C0:00:00:00:00:02")
ATHLETE = AthleteId("a01")
HEART_RATE = full("2a37")
STOP_ECG = ("fb005c81-02e7-f387-1cad-8acd2d8df0c8", b"\x03\x00")
HCI0 = BleSettings(adapter="system:hci0")


def held(source: BleSource) -> set[SensorId]:
    """Return the sensors that are connected."""
    return {sensor for sensor, link in source.links.items() if link.connected}


@contextlib.asynccontextmanager
async def worn(settings: BleSettings, clock: Clock) -> AsyncIterator[tuple[BleSource, Wearers, "asyncio.Task[None]"]]:
    """Run a source of whose sensors an athlete wears the first."""
    wearers = Wearers(Roster(athletes=[roster_athlete("a01")], assignments=[Assignment(sensor=STRAP, athlete="a01")]))
    source = BleSource(settings, lambda sensor: wearers.is_worn(sensor, clock.utc_ns()), clock)
    task = asyncio.create_task(source.run())
    try:
        yield source, wearers, task
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=BOUND_S)
        assert task.cancelled()


async def test_bluez_when_it_is_stopped_then_no_try_leaves_a_bus_connection_behind(tmp_path: Path) -> None:
    """Rule: a bus admits some hundred connections; a service that is away for minutes must not use them up."""
    async with bluez(tmp_path) as service:
        before = await service.clients()
        async with service.stopped():
            for _ in range(5):
                with pytest.raises(BleakError, match="refuses GetManagedObjects"):
                    async with watched("hci0"):
                        pass
            await settled()
            assert await service.clients() == before


async def test_strap_when_it_is_let_go_twice_then_its_streams_are_stopped_and_it_is_disconnected(
    tmp_path: Path,
) -> None:
    """Rule: two changes of the roster within a second do not cut short what the first one ends."""
    async with bluez(tmp_path) as service:
        strap = polar_strap(STRAP)
        service.put(strap)
        settings = BleSettings(adapter="system:hci0", polar_streams=("ecg",))
        async with worn(settings, SystemClock()) as (source, wearers, _):
            await until(lambda: held(source) == {STRAP})
            wearers.assign(STRAP, None, 0)
            for _ in range(3):
                source.reassigned()
                await settled(2)
            await until(lambda: source.links[STRAP].holder is None)
            assert strap.written[-1] == STOP_ECG
            assert strap.connected_to is None


@pytest.mark.parametrize("unanswered", [set(), {"WriteValue"}], ids=["answers", "dead link"])
async def test_strap_when_the_gateway_stops_while_it_is_let_go_then_it_is_disconnected(
    tmp_path: Path, unanswered: set[str]
) -> None:
    """Rule: whatever is cancelled when, and however dead the link, a strap is disconnected within seconds."""
    async with bluez(tmp_path) as service:
        strap = polar_strap(STRAP)
        service.put(strap)
        settings = BleSettings(adapter="system:hci0", polar_streams=("ecg",))
        async with worn(settings, SystemClock()) as (source, wearers, task):
            await until(lambda: held(source) == {STRAP})
            strap.unanswered = unanswered
            wearers.assign(STRAP, None, 0)
            source.reassigned()
            await settled(2)
            task.cancel()
            async with asyncio.timeout(3.0):
                await asyncio.wait({task})
        await until(lambda: strap.connected_to is None)


async def test_strap_when_it_sends_while_it_is_let_go_then_the_time_off_is_no_gap(tmp_path: Path) -> None:
    """Rule: nobody expects readings of a strap that nobody wears, whatever still came when it was taken off."""
    async with bluez(tmp_path) as service:
        strap, clock = heart_strap(STRAP), ManualClock()
        service.put(strap)
        async with worn(HCI0, clock) as (source, wearers, _):
            await until(lambda: held(source) == {STRAP})
            service.notify(strap, HEART_RATE, b"\x00\x50")
            await until(lambda: bool(source._arrived))
            wearers.assign(STRAP, None, clock.utc_ns())
            service.notify(strap, HEART_RATE, b"\x00\x51")
            source.reassigned()
            await until(lambda: not held(source))
            clock.advance(3600.0)
            assert source.end() == []
            wearers.assign(STRAP, ATHLETE, clock.utc_ns())
            await until(lambda: held(source) == {STRAP})
            service.notify(strap, HEART_RATE, b"\x00\x52")
            await until(lambda: source._arrived[-1].frame.body == b"\x00\x52")
            assert source.take_gaps() == []


async def test_strap_when_it_never_answers_then_the_others_are_connected_all_the_same(tmp_path: Path) -> None:
    """Rule: an adapter connects one sensor at a time, so none may keep it."""
    async with bluez(tmp_path) as service:
        silent, strap = heart_strap(STRAP, unanswered={"StartNotify"}), heart_strap(OTHER)
        service.put(silent)
        settings = BleSettings(adapter="system:hci0", connect_timeout_s=0.5)
        async with gateway(settings) as source:
            await until(lambda: silent.connections == 1)
            service.put(strap)
            await until(lambda: held(source) == {OTHER})
            await until(lambda: silent.connections >= 2)


async def test_adapter_when_it_goes_deaf_with_all_that_it_knew_connected_then_it_scans_anew(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: who was never heard may be waiting, too."""
    async with bluez(tmp_path) as service:
        strap = heart_strap(STRAP)
        service.put(strap)
        async with gateway(HCI0, clock=clock) as source:
            await until(lambda: held(source) == {STRAP})
            service.deaf.add("hci0")
            service.put(heart_strap(OTHER))
            for _ in range(31):
                clock.advance(1.0)
                service.notify(strap, HEART_RATE, b"\x00\x50")
                await until(lambda: bool(source._arrived))
                await source.receive()
            await until(lambda: service.scans["hci0"] == 2)
            service.deaf.clear()
            await until(lambda: held(source) == {STRAP, OTHER})


async def test_gaps_when_frames_are_given_up_then_what_the_radio_missed_is_told_beside_them(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: counts of one reason are one record; another reason's keeps its own times."""
    journal = Journal.open(tmp_path / "gateway.sqlite", clock, max_bytes=2**26)
    live: Lane[list[Readings]] = Lane("live", capacity=1, policy=Policy.DROP_OLDEST)
    storing = Storing(Intake(Wearers(roster()), "boot"), journal, live, StoreSettings(), clock)
    away = Gap(sensor=STRAP, stream="heart_rate", from_ns=1, to_ns=2, count=7, reason="out of range")
    storing.record_gaps([away])
    for count in (2, 3):
        storing.record_drops(Counter({STRAP: count}))
    await storing.finish()
    told = {(reason, count) for _, reason, count, _ in await journal.gaps()}
    journal.close()
    assert told == {("out of range", 7), ("store could not keep up", 5)}


@contextlib.asynccontextmanager
async def radio(air: Air) -> AsyncIterator[BumbleRadio]:
    """Open an adapter on the air."""
    async with open_radio(f"tcp-client:127.0.0.1:{air.port}") as opened:
        yield opened


def client(opened: BumbleRadio, address: str) -> BleakClient:
    """Return a client of the sensor at an address."""
    device = BLEDevice(address, None, Address(address))
    return BleakClient(device, backend=opened.client, timeout=5.0)


async def test_hci_when_connecting_is_cancelled_then_the_next_sensor_is_connected() -> None:
    """Rule: a strap that is taken off while it is being connected leaves no attempt in the controller."""
    async with Air(host="127.0.0.1", port=0) as air:
        await air.add_strap(STRAP, battery_percent=83)
        async with radio(air) as opened:
            absent = asyncio.create_task(client(opened, OTHER).connect())
            await until(lambda: opened.central.is_le_connecting)
            absent.cancel()
            await asyncio.wait({absent}, timeout=BOUND_S)
            assert absent.cancelled()
            async with client(opened, STRAP) as connected:
                assert connected.is_connected
            assert not opened.central.connections


async def test_hci_when_the_link_goes_during_a_request_then_that_is_an_error_and_no_cancellation() -> None:
    """Rule: only who is told to stop is cancelled; a lost link is tried again with back-off."""
    async with Air(host="127.0.0.1", port=0) as air:
        strap = await air.add_strap(STRAP, battery_percent=83)
        async with radio(air) as opened, client(opened, STRAP) as connected:
            going = asyncio.create_task(strap.disconnect())

            async def read_on() -> None:
                while True:
                    await connected.read_gatt_char(full("2a19"))

            with pytest.raises(BleakError):
                await read_on()
            await going


@pytest.mark.parametrize("adapter", ["usb:9", "blue:9", "serial:/dev/nowhere,1", "tcp-client:127.0.0.1:1"])
async def test_adapter_when_it_cannot_be_opened_then_it_is_one_error_that_names_it(adapter: str) -> None:
    """Rule: whatever a driver raises, an adapter that is not there is down with a reason, not a broken component."""
    with pytest.raises(BleakError, match=adapter.replace("/", ".")):
        async with open_radio(adapter):
            pass
