import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from bumble.core import UUID, PhysicalTransport
from bumble.core import TimeoutError as BumbleTimeoutError
from bumble.device import Device, Peer
from bumble.hci import Address
from bumble.profiles.heart_rate_service import HeartRateService
from bumble.transport import open_transport

from firmware_sim.devices.heart_strap import HEART_RATE_MEASUREMENT, encode_heart_rate_measurement
from firmware_sim.devices.peripheral import BATTERY_LEVEL
from firmware_sim.emitter import Emitter
from firmware_sim.faults import FaultRates
from firmware_sim.squad import SimulatedSession
from firmware_sim.transports.bumble import Air
from firmware_sim.transports.memory import MemoryPublisher
from firmware_sim.truth import Truth
from shared.clock import SystemClock
from shared.errors import SourceError

ADDRESS = "C0:00:5E:00:00:01"
BOUND_S = 5.0


@asynccontextmanager
async def gateway(air: Air) -> AsyncIterator[Device]:
    """Attach a central to the air over TCP, as a gateway does; leaving drops the TCP connection without a goodbye."""
    transport = await open_transport(f"tcp-client:127.0.0.1:{air.port}")
    device = Device.with_hci("gateway", Address("F0:F0:F0:F0:F0:F1"), transport.source, transport.sink)
    await device.power_on()
    try:
        yield device
    finally:
        await transport.close()


async def subscribe(device: Device) -> tuple[Peer, list[bytes]]:
    """Connect to the strap and subscribe to its heart rate."""
    connection = await device.connect(Address(ADDRESS), transport=PhysicalTransport.LE, timeout=BOUND_S)
    peer = Peer(connection)
    await peer.discover_all()
    measurement = peer.get_characteristics_by_uuid(UUID.from_16_bits(HEART_RATE_MEASUREMENT))[0]
    received: list[bytes] = []
    await peer.subscribe(measurement, received.append)
    return peer, received


async def heard_once(received: list[bytes]) -> None:
    """Wait for the first notification."""
    await until(lambda: len(received) == 1)


async def until(state: Callable[[], bool]) -> None:
    """Wait for a state on the other side of the link, with a bound."""
    async with asyncio.timeout(BOUND_S):
        while not state():
            await asyncio.sleep(0.01)


async def test_strap_when_a_gateway_subscribes_then_it_receives_what_was_sent() -> None:
    """Rule: real GATT end to end: discovery, subscription, notification, battery."""
    async with Air(host="127.0.0.1", port=0) as air:
        strap = await air.add_strap(ADDRESS, battery_percent=83)
        assert not await strap.notify(b"\x00\x3c")
        async with gateway(air) as device:
            peer, received = await subscribe(device)
            body = encode_heart_rate_measurement(151, contact=True, rr_1024=[400, 410])
            assert await strap.notify(body)
            await heard_once(received)
            assert HeartRateService.HeartRateMeasurement.from_bytes(received[0]).heart_rate == 151
            battery = peer.get_characteristics_by_uuid(UUID.from_16_bits(BATTERY_LEVEL))[0]
            assert bytes(await peer.read_value(battery)) == bytes([83])


async def test_air_when_the_gateway_vanishes_then_the_next_one_finds_the_strap_again() -> None:
    """Rule: a lost TCP connection ends its links; straps advertise again and forget the old subscription."""
    async with Air(host="127.0.0.1", port=0) as air:
        strap = await air.add_strap(ADDRESS, battery_percent=83)
        for _ in range(3):
            async with gateway(air) as device:
                _, received = await subscribe(device)
                assert await strap.notify(b"\x00\x3c")
                await heard_once(received)
            await until(lambda: not strap.subscribers())
            assert not await strap.notify(b"\x00\x3c")


async def test_air_when_a_second_gateway_comes_then_it_takes_the_adapter_over() -> None:
    """Rule: the newest TCP connection has the adapter, so that a hung gateway can be replaced."""
    async with Air(host="127.0.0.1", port=0) as air:
        strap = await air.add_strap(ADDRESS, battery_percent=83)
        async with gateway(air) as old:
            _, unheard = await subscribe(old)
            async with gateway(air) as new:
                _, received = await subscribe(new)
                assert await strap.notify(b"\x00\x3c")
                await heard_once(received)
        assert unheard == []


async def test_strap_when_it_disconnects_then_it_can_be_connected_again() -> None:
    """Rule: a dropped strap advertises at once."""
    async with Air(host="127.0.0.1", port=0) as air:
        strap = await air.add_strap(ADDRESS, battery_percent=83)
        async with gateway(air) as device:
            await subscribe(device)
            await strap.disconnect()
            _, received = await subscribe(device)
            assert await strap.notify(b"\x00\x3c")
            await heard_once(received)


async def test_adapter_when_a_connection_attempt_times_out_then_the_next_one_works() -> None:
    """Rule: a cancelled attempt to an absent strap leaves the adapter usable."""
    async with Air(host="127.0.0.1", port=0) as air:
        await air.add_strap(ADDRESS, battery_percent=83)
        async with gateway(air) as device:
            with pytest.raises(BumbleTimeoutError):
                await device.connect(Address("C0:00:00:00:00:99"), transport=PhysicalTransport.LE, timeout=0.2)
            peer, _ = await subscribe(device)
            assert peer.connection.peer_address == Address(ADDRESS)


async def test_air_when_the_port_is_taken_then_source_error_names_it() -> None:
    """Rule: a taken port is one clear error."""
    async with Air(host="127.0.0.1", port=0) as air:
        with pytest.raises(SourceError, match=str(air.port)):
            await Air(host="127.0.0.1", port=air.port).__aenter__()


async def test_emission_when_a_gateway_listens_then_truth_is_what_it_heard(tmp_path: Path) -> None:
    """Rule: one truth line per notification in order, n from 0, duplicates included, with the same bytes."""
    path = tmp_path / "truth.jsonl"
    async with Air(host="127.0.0.1", port=0) as air:
        session = SimulatedSession(athletes=1, seed=4)
        strap = await air.add_strap(session.straps[0], battery_percent=83)
        with Truth(path) as truth:
            emitter = Emitter(
                session=session,
                tags=[],
                straps=[strap],
                publisher=MemoryPublisher(truth.acked),
                truth=truth,
                faults=FaultRates(duplicate=0.3, corrupt=0.2),
                seed=4,
                clock=SystemClock(),
            )
            async with gateway(air) as device:
                _, received = await subscribe(device)
                for number in range(300):
                    await emitter.emit(session.step(), number, due_ns=0, since_start_ns=0)
                await until(lambda: len(received) >= truth.summary(0.0).heart_rates_sent)
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["n"] for line in lines] == list(range(len(received)))
    assert {line["fault"] for line in lines} == {None, "duplicate", "corrupt"}
    for line, body in zip(lines, received, strict=True):
        sent = encode_heart_rate_measurement(line["bpm"], contact=line["contact"], rr_1024=line["rr_1024"])
        assert body == (sent[:1] if line["fault"] == "corrupt" else sent)
    assert sum(rr for line in lines if line["fault"] != "duplicate" for rr in line["rr_1024"]) / 1024 > 27.0


async def test_emission_when_nobody_listens_then_notifications_are_unheard_not_sent(tmp_path: Path) -> None:
    """Rule: n counts only notifications that went to a subscriber."""
    async with Air(host="127.0.0.1", port=0) as air:
        session = SimulatedSession(athletes=1, seed=4)
        strap = await air.add_strap(session.straps[0], battery_percent=83)
        with Truth(tmp_path / "truth.jsonl") as truth:
            emitter = Emitter(
                session=session,
                tags=[],
                straps=[strap],
                publisher=MemoryPublisher(truth.acked),
                truth=truth,
                faults=FaultRates(disconnect=1.0),
                seed=4,
                clock=SystemClock(),
            )
            for number in range(30):
                await emitter.emit(session.step(), number, due_ns=0, since_start_ns=0)
            assert truth.summary(0.0).heart_rates_sent == 0
            assert truth.unheard == 3
            async with gateway(air) as device:
                await subscribe(device)
                for number in range(10):
                    await emitter.emit(session.step(), number, due_ns=0, since_start_ns=0)
                assert truth.faults == {"disconnect": 1}
                assert strap.subscribers() == []
