"""More sensors than slots, streams that are asked for, and sensors that change hands, over a fake `org.bluez`."""

import asyncio
from pathlib import Path

from edge.pipeline.intake import Intake
from edge.pipeline.roster import Wearers
from edge.settings import BleSettings
from edge.sources.ble import BleSource
from shared.clock import ManualClock, SystemClock
from shared.ids import AthleteId, SensorId
from shared.readings import Frame
from shared.roster import Assignment, Roster
from tests.factories import roster_athlete
from tests.fakes.bluez.air import bluez, gateway
from tests.fakes.bluez.peripheral import advertise_heart_rate, full, heart_strap, polar_strap
from tests.tools import BOUND_S, until

POLAR = [SensorId(f"A0:9E:1A:00:00:0{n}") for n in range(1, 5)]
STRAP = SensorId("C0:00:00:00:00:01")
CONTROL = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
START_ECG = bytes.fromhex("0200000182000101 0e00".replace(" ", ""))
HEART_RATE = full("2a37")


def held(source: BleSource) -> set[SensorId]:
    """Return the sensors that the gateway holds."""
    return {sensor for sensor, link in source.links.items() if link.connected}


async def frames(source: BleSource, count: int, *, channel: str) -> list[Frame]:
    """Wait for this many frames of a channel."""
    found: list[Frame] = []
    async with asyncio.timeout(BOUND_S):
        while len(found) < count:
            found += [d.frame for d in await source.receive() if d.frame.channel == channel]
    return found


async def test_source_when_slots_are_exhausted_then_the_rest_is_read_from_advertisements(tmp_path: Path) -> None:
    """Rule: a squad beyond the adapter's slots is heard all the same, each reading once; the health page says how."""
    async with bluez(tmp_path) as service:
        straps = [polar_strap(address) for address in POLAR]
        service.put(*straps)
        async with gateway(BleSettings(adapter="system:hci0", slots=2)) as source:
            await until(lambda: len(held(source)) == 2)
            waiting = [strap for strap in straps if strap.connected_to is None]
            assert len(waiting) == 2
            connected = next(strap for strap in straps if strap.connected_to)
            assert len(await frames(source, 4, channel="adv:006b")) == 4  # before they had a slot
            for counter in range(1, 6):
                for strap in straps:
                    advertise_heart_rate(strap, 100 + counter, counter)
                heard = await frames(source, 2, channel="adv:006b")
                assert {frame.sensor for frame in heard} == {strap.address for strap in waiting}
                assert {frame.body[2] for frame in heard} == {100 + counter}
            modes = [link.mode(SystemClock().mono_ns()) for link in source.links.values()]
            assert sorted(map(str, modes)) == ["advertising", "advertising", "connected", "connected"]
            # What the frames say: as readings of a heart, not as unknown bytes.
            intake = Intake(Wearers(roster(*(SensorId(s.address) for s in straps))), "boot")
            blocks, rejected = intake.take(heard)
            assert not rejected
            assert {block.stream for block in blocks} == {"heart_rate"}
            # A slot that gets free goes to one of those.
            service.peripherals.remove(connected)
            service.drop(connected)
            await until(lambda: len(held(source)) == 2)


def roster(*sensors: SensorId) -> Roster:
    """Return a squad of two; the first wears these sensors."""
    return Roster(
        athletes=[roster_athlete("a01"), roster_athlete("a02", number=2)],
        assignments=[Assignment(sensor=sensor, athlete="a01") for sensor in sensors],
    )


async def test_source_when_a_sensor_needs_a_slot_then_one_that_does_not_makes_room(tmp_path: Path) -> None:
    """Rule: what cannot be read from advertisements gets its slot first, also when it comes last."""
    async with bluez(tmp_path) as service:
        service.put(*(polar_strap(address) for address in POLAR[:2]))
        async with gateway(BleSettings(adapter="system:hci0", slots=2)) as source:
            await until(lambda: held(source) == set(POLAR[:2]))
            assert len(await frames(source, 2, channel="adv:006b")) == 2
            late = heart_strap(STRAP)
            service.put(late)
            await until(lambda: STRAP in held(source) and len(held(source)) == 2)
            (left,) = set(POLAR[:2]) - held(source)
            polar = next(p for p in service.peripherals if p.address == left)
            advertise_heart_rate(polar, 99, 3)
            (frame,) = await frames(source, 1, channel="adv:006b")
            assert (frame.sensor, frame.body[2]) == (left, 99)
            connections = late.connections
            for counter in range(8):  # and it stays that way
                advertise_heart_rate(polar, 90 + counter, counter)
                await asyncio.sleep(0.05)
            assert STRAP in held(source)
            assert late.connections == connections


async def test_source_when_streams_are_asked_for_then_they_start_and_stop_with_the_gateway(tmp_path: Path) -> None:
    """Rule: start after subscribing, on every connection; stop before letting go, or the strap drains its battery."""
    async with bluez(tmp_path) as service:
        polar, plain = polar_strap(POLAR[0]), heart_strap(STRAP)
        service.put(polar, plain)
        settings = BleSettings(adapter="system:hci0", polar_streams=("ecg",))
        async with gateway(settings) as source:
            await until(lambda: held(source) == {POLAR[0], STRAP})
            assert polar.written == [(CONTROL, b"\x01\x00"), (CONTROL, START_ECG)]
            service.drop(polar)
            await until(lambda: len(polar.written) == 4)
            assert polar.written[2:] == polar.written[:2]
            await until(lambda: POLAR[0] in held(source))
            polar.written.clear()
        assert polar.written == [(CONTROL, b"\x03\x00")]
        assert plain.written == []
        assert polar.connected_to is None


async def test_source_when_a_command_is_refused_then_heart_rate_comes_all_the_same(tmp_path: Path) -> None:
    """Rule: what a strap will not do costs that stream and nothing else."""
    async with bluez(tmp_path) as service:
        polar = polar_strap(POLAR[0], refused={CONTROL})
        service.put(polar)
        async with gateway(BleSettings(adapter="system:hci0", polar_streams=("ecg", "acc"))) as source:
            await until(lambda: held(source) == {POLAR[0]})
            assert service.notify(polar, HEART_RATE, b"\x00\x50") == 1
            (frame,) = await frames(source, 1, channel="2a37")
            assert frame.body == b"\x00\x50"


async def test_source_when_a_strap_leaves_and_returns_then_a_gap_is_recorded(tmp_path: Path) -> None:
    """Rule: a drop while readings are expected is no silence: from, to, how many, and why; at the end too."""
    async with bluez(tmp_path) as service:
        strap, clock = heart_strap(STRAP), ManualClock()
        service.put(strap)
        async with gateway(BleSettings(adapter="system:hci0"), clock=clock) as source:
            await until(lambda: held(source) == {STRAP})
            service.notify(strap, HEART_RATE, b"\x00\x50")
            await frames(source, 1, channel="2a37")
            began_ns = clock.utc_ns()
            service.peripherals.remove(strap)
            service.drop(strap)
            await until(lambda: not held(source))
            clock.advance(7.0)
            service.put(strap)
            await until(lambda: held(source) == {STRAP})
            clock.advance(1.0)
            service.notify(strap, HEART_RATE, b"\x00\x51")
            await frames(source, 1, channel="2a37")
            (gap,) = source.take_gaps()
            assert (gap.sensor, gap.stream, gap.reason, gap.count) == (STRAP, "heart_rate", "out of range", 7)
            assert (gap.from_ns, gap.to_ns) == (began_ns, clock.utc_ns())
            service.peripherals.remove(strap)
            service.drop(strap)
            await until(lambda: not held(source))
            clock.advance(20.0)
        (last,) = source.end()
        assert (last.reason, last.count) == ("out of range", 20)


async def test_source_when_the_gateway_stops_then_no_strap_is_said_to_be_out_of_range(tmp_path: Path) -> None:
    """Rule: what the gateway lets go itself is no gap; an adapter that goes is one, and says so."""
    async with bluez(tmp_path) as service:
        strap, clock = heart_strap(STRAP), ManualClock()
        service.put(strap)
        async with gateway(BleSettings(adapter="system:hci0"), clock=clock) as source:
            await until(lambda: held(source) == {STRAP})
            service.notify(strap, HEART_RATE, b"\x00\x50")
            await frames(source, 1, channel="2a37")
            clock.advance(2.0)
        assert source.end() == []
        async with gateway(BleSettings(adapter="system:hci0"), clock=clock) as source:
            await until(lambda: held(source) == {STRAP})
            service.notify(strap, HEART_RATE, b"\x00\x50")
            await frames(source, 1, channel="2a37")
            service.remove_adapter("hci0")
            await until(lambda: not held(source))
            clock.advance(4.0)
        (gap,) = source.end()
        assert (gap.reason, gap.count) == ("adapter lost", 4)


async def test_source_when_sensors_change_hands_then_they_are_let_go_and_taken_at_once(tmp_path: Path) -> None:
    """Rule: a strap taken off is disconnected, one put on is connected; a spare held near can be paired."""
    async with bluez(tmp_path) as service:
        old, new = polar_strap(POLAR[0]), polar_strap(POLAR[1], rssi_dbm={"hci0": -35})
        service.put(old, new)
        wearers, clock = Wearers(roster(POLAR[0])), SystemClock()
        source = BleSource(
            BleSettings(adapter="system:hci0", polar_streams=("ecg",)),
            lambda sensor: wearers.is_worn(sensor, clock.utc_ns()),
            clock,
        )
        task = asyncio.create_task(source.run())
        try:
            await until(lambda: held(source) == {POLAR[0]})
            await until(lambda: bool(source.near()))
            (near,) = source.near()
            assert (near.sensor, near.name, near.rssi_dbm) == (POLAR[1], "Polar H10", -35)
            wearers.assign(POLAR[0], None, clock.utc_ns())
            wearers.assign(POLAR[1], AthleteId("a01"), clock.utc_ns())
            source.reassigned()
            await until(lambda: held(source) == {POLAR[1]})
            assert old.connected_to is None
            assert old.written[-1] == (CONTROL, b"\x03\x00")
            assert source.take_gaps() == []  # nobody expects readings of what was taken off
            await until(lambda: POLAR[0] in source.strangers)
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=BOUND_S)
