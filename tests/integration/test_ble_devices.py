"""Every kind of simulated Bluetooth sensor through a real GATT connection, and the gateway's decoders behind it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bumble.core import UUID, AdvertisingData, PhysicalTransport
from bumble.device import Device, Peer
from bumble.gatt_client import CharacteristicProxy
from bumble.hci import Address
from bumble.transport import open_transport

from edge.sensors import imu_pod, movesense, polar
from edge.sensors.base import About, Decoded, DeviceClock
from edge.sensors.commands import conversations
from edge.sensors.registry import BY_CHANNEL
from firmware_sim.devices.kinds import KINDS, address_of, maker, parse_kinds
from firmware_sim.devices.movesense import Movesense
from firmware_sim.devices.polar_beacon import PolarBeacon
from firmware_sim.devices.polar_strap import PolarStrap
from firmware_sim.transports.bumble import Air
from shared.errors import ConfigError
from tests.tools import BOUND_S, settled, until

pytestmark = pytest.mark.usefixtures("quiet_bumble")

ADDRESS = address_of(0)


@contextlib.asynccontextmanager
async def central(air: Air) -> AsyncIterator[Device]:
    """Attach a central to the air over TCP, as a gateway does."""
    transport = await open_transport(f"tcp-client:127.0.0.1:{air.port}")
    device = Device.with_hci("gateway", Address("F0:F0:F0:F0:F0:F1"), transport.source, transport.sink)
    await device.power_on()
    try:
        yield device
    finally:
        await transport.close()
        # Sensors that lost their link advertise again before the air goes.
        await settled(100)


class Listener:
    """A connection that listens to everything a sensor has, and decodes it as the gateway does."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[float, ...]]] = {}
        self.parts: list[Decoded] = []
        self.facts: dict[str, str] = {}
        self._memories: dict[str, Any] = {}
        self._characteristics: dict[str, CharacteristicProxy[Any]] = {}

    async def connect(self, device: Device, *, mtu: int = 247) -> None:
        """Connect, subscribe to what notifies or indicates, read what can only be read."""
        connection = await device.connect(Address(ADDRESS), transport=PhysicalTransport.LE, timeout=BOUND_S)
        peer = Peer(connection)
        await peer.request_mtu(mtu)
        await peer.discover_all()
        for service in peer.services:
            for characteristic in service.characteristics:
                channel = characteristic.uuid.to_hex_str("-").lower()
                if channel not in BY_CHANNEL:
                    continue
                self._characteristics[channel] = characteristic
                properties = characteristic.properties
                if properties & (properties.NOTIFY | properties.INDICATE):
                    await peer.subscribe(
                        characteristic,
                        lambda value, name=channel: self.take(name, bytes(value)),  # type: ignore[misc]
                        prefer_notify=bool(properties & properties.NOTIFY),
                    )
                if properties & properties.READ:
                    self.take(channel, bytes(await peer.read_value(characteristic)))
        self._peer = peer

    async def write(self, characteristic: str, body: bytes) -> None:
        """Write to a characteristic and wait for the response."""
        (found,) = self._peer.get_characteristics_by_uuid(UUID(characteristic))
        await self._peer.write_value(found, body, with_response=True)

    def take(self, channel: str, body: bytes) -> None:
        """Decode one frame."""
        sensor = BY_CHANNEL[channel]
        memory = self._memories.setdefault(sensor.name, sensor.start())
        for part in sensor.decode(channel, body, memory):
            if isinstance(part, About):
                self.facts.update(part.facts)
            else:
                self.parts.append(part)
                self.rows.setdefault(part.stream, []).extend(part.rows)


async def spoken(sensor: Any, from_s: float, to_s: float) -> None:
    """Let a sensor speak over a stretch of its time, as fast as the link takes it."""
    turn = round(from_s / sensor.period_s)
    while (turn := turn + 1) * sensor.period_s <= to_s + 1e-9:
        await sensor.speak(turn * sensor.period_s)
        await asyncio.sleep(0)


EXPECTED = {
    "heart_strap": {"heart_rate", "rr", "battery"},
    "running_pod": {"speed", "battery"},
    "cycling_sensor": {"cadence", "battery"},
    "power_meter": {"power", "cadence", "battery"},
    "trainer": {"speed", "cadence", "power", "heart_rate", "machine", "battery"},
    "polar_strap": {"heart_rate", "rr", "battery"},
    "movesense": {"battery"},
    "imu_pod": {"imu", "battery"},
}


@pytest.mark.parametrize("kind", EXPECTED)
async def test_device_when_connected_then_it_is_found_read_and_heard(kind: str) -> None:
    """Rule: discovery, device information, battery and notifications, each decoded by the gateway's own sensors."""
    async with Air(host="127.0.0.1", port=0) as air:
        sensor = await air.add(ADDRESS, maker(kind, ADDRESS, battery_percent=81))
        async with central(air) as device:
            assert not await sensor.speak(0.0)
            listener = Listener()
            await listener.connect(device)
            await spoken(sensor, 0.0, 8.0)
            await until(lambda: set(listener.rows) == EXPECTED[kind])
            assert listener.rows["battery"] == [(81.0,)]
            assert listener.facts["manufacturer"] == "Sideline"
            assert listener.facts["model"] == KINDS[kind].model  # type: ignore[attr-defined]


def test_kinds_when_listed_then_each_is_tested_here() -> None:
    """Rule: a new kind of device is not finished without its test; a name that is none is a clear error."""
    assert set(EXPECTED) | {"polar_beacon"} == set(KINDS)
    with pytest.raises(ConfigError, match="barometer"):
        parse_kinds("imu_pod, barometer")


async def test_cycling_sensor_when_its_counters_roll_over_and_it_stops_then_rates_are_right() -> None:
    """Rule: 85 and 240 a minute across the roll-over of both counters, nought after it stands still."""
    async with Air(host="127.0.0.1", port=0) as air:
        sensor = await air.add(ADDRESS, maker("cycling_sensor", ADDRESS, battery_percent=81))
        async with central(air) as device:
            listener = Listener()
            await listener.connect(device)
            await spoken(sensor, 0.0, 55.0)
            await until(lambda: len(listener.rows["cadence"]) >= 53)
            cadence = listener.rows["cadence"]
            moving = [row for row in cadence if row[0]]
            assert len(moving) > 40
            for crank_rpm, wheel_rpm in moving:
                assert crank_rpm == pytest.approx(85, rel=0.01)
                assert wheel_rpm == pytest.approx(240, rel=0.01)
            assert cadence[-1] == (0.0, 0.0)


async def test_imu_pod_when_heard_then_no_sample_is_missing_and_its_time_is_its_own() -> None:
    """Rule: 100 samples a second, counted by the pod, in as many frames as the link's MTU needs."""
    for mtu in (247, 64):
        async with Air(host="127.0.0.1", port=0) as air:
            sensor = await air.add(ADDRESS, maker("imu_pod", ADDRESS, battery_percent=81))
            async with central(air) as device:
                listener = Listener()
                await listener.connect(device, mtu=mtu)
                await spoken(sensor, 0.0, 3.0)
                await until(lambda rows=listener.rows: len(rows.get("imu", ())) == 290)  # type: ignore[misc]
                parts = [part for part in listener.parts if part.stream == "imu"]
                expected_sequence = parts[0].sequence
                for part in parts:
                    assert part.sequence == expected_sequence
                    assert part.sequence is not None
                    expected_sequence = part.sequence + len(part.rows)
                    assert part.device_ns == (expected_sequence - 1) * 10_000_000
                    assert (part.clock, part.origin) == (DeviceClock.OWN, "boot-1")
    assert imu_pod.SAMPLES in BY_CHANNEL


async def test_polar_strap_when_started_by_hand_then_it_streams_until_stopped() -> None:
    """Rule: nothing before start; ECG, accelerations and pulses after; nothing after stop; answers are facts."""
    (conversation,) = conversations(["ecg", "acc:200", "ppi"], [])
    async with Air(host="127.0.0.1", port=0) as air:
        sensor = await air.add(ADDRESS, lambda radio: PolarStrap(radio, address=ADDRESS, battery_percent=81))
        async with central(air) as device:
            listener = Listener()
            await listener.connect(device)
            await spoken(sensor, 0.0, 2.0)
            assert not {"ecg", "imu"} & set(listener.rows)
            assert listener.facts["polar_streams"] == "ecg, acc, ppi"
            for command in conversation.start:
                await listener.write(command.characteristic, command.body)
            await until(lambda: listener.facts.get("polar_ppi") == "started")
            assert listener.facts["polar_acc_settings"] == "rate 25 50 100 200, resolution 16, range 2 4 8"
            assert set(sensor.running.values()) == {130, 200, 0}
            await spoken(sensor, 2.0, 6.0)
            await until(lambda: len(listener.rows.get("imu", ())) >= 800 and len(listener.rows.get("ecg", ())) >= 520)
            ecg = [part for part in listener.parts if part.stream == "ecg"]
            assert ecg[-1].period_ns == pytest.approx(1e9 / 130, rel=0.01)
            assert ecg[-1].clock is DeviceClock.OWN
            assert ecg[-1].device_ns == pytest.approx(1_546_300_800_000_000_000 + 6 * 10**9, abs=10**8)
            acceleration = [part for part in listener.parts if part.stream == "imu"]
            assert acceleration[-1].period_ns == pytest.approx(5e6, rel=0.02)
            for command in conversation.stop:
                await listener.write(command.characteristic, command.body)
            await until(lambda: listener.facts.get("polar_ppi") == "stopped")
            assert not sensor.running
            before = len(listener.parts)
            await sensor.speak(6.5)
            assert len(listener.parts) == before


async def test_polar_strap_when_the_link_drops_then_its_streams_end() -> None:
    """Rule: as an H10: what was started ends with the link, and a reconnect must start it again."""
    (conversation,) = conversations(["ecg"], [])
    async with Air(host="127.0.0.1", port=0) as air:
        sensor = await air.add(ADDRESS, lambda radio: PolarStrap(radio, address=ADDRESS, battery_percent=81))
        async with central(air) as device:
            for _ in range(2):
                listener = Listener()
                await listener.connect(device)
                assert not sensor.running
                for command in conversation.start:
                    await listener.write(command.characteristic, command.body)
                await until(lambda heard=listener: heard.facts.get("polar_ecg") == "started")  # type: ignore[misc]
                await spoken(sensor, 0.0, 1.0)
                await until(lambda heard=listener: "ecg" in heard.rows)  # type: ignore[misc]
                await sensor.disconnect()
                await until(lambda: not sensor.running and not device.connections)


async def test_polar_strap_when_asked_for_a_rate_that_it_lacks_then_it_refuses() -> None:
    """Rule: a refusal is a fact for the health page, not a silence."""
    (conversation,) = conversations(["acc:52"], [])
    async with Air(host="127.0.0.1", port=0) as air:
        sensor = await air.add(ADDRESS, lambda radio: PolarStrap(radio, address=ADDRESS, battery_percent=81))
        async with central(air) as device:
            listener = Listener()
            await listener.connect(device)
            for command in conversation.start:
                await listener.write(command.characteristic, command.body)
            await until(lambda: listener.facts.get("polar_acc") == "refused: invalid sample rate")
            assert not sensor.running
    assert conversation.services == (polar.SERVICE,)


async def test_movesense_when_subscribed_then_long_packets_are_joined_and_streams_end_with_the_link() -> None:
    """Rule: heart rate, ECG and motion by path; packets that a small MTU splits in two come out whole."""
    (conversation,) = conversations([], ["/Meas/ECG/200", "/Meas/IMU6/104", "/Meas/HR"])
    async with Air(host="127.0.0.1", port=0) as air:
        sensor = await air.add(ADDRESS, lambda radio: Movesense(radio, address=ADDRESS, battery_percent=81))
        async with central(air) as device:
            listener = Listener()
            await listener.connect(device, mtu=156)
            for command in conversation.start:
                await listener.write(command.characteristic, command.body)
            await until(lambda: listener.facts.get("movesense /Meas/HR") == "started")
            await spoken(sensor, 0.0, 4.0)
            await until(lambda: len(listener.rows.get("imu", ())) == 416 and len(listener.rows.get("ecg", ())) == 800)
            assert {"heart_rate", "rr"} <= set(listener.rows)
            assert max(abs(row[2]) for row in listener.rows["imu"]) == pytest.approx((9.81 + 4.5) / 9.80665, rel=0.01)
            assert any(row[3] for row in listener.rows["imu"])
            await sensor.disconnect()
            await until(lambda: not sensor.subscribed)
    assert conversation.services == (movesense.SERVICE,)


async def test_polar_beacon_when_it_advertises_then_it_is_heard_without_a_connection() -> None:
    """Rule: a squad beyond the adapter's slots; each counter is one reading however often it is on the air."""
    async with Air(host="127.0.0.1", port=0) as air:
        sensor = await air.add(ADDRESS, lambda radio: PolarBeacon(radio, address=ADDRESS, battery_percent=81))
        async with central(air) as device:
            listener = Listener()
            heard = 0

            def take(advertisement: Any) -> None:
                nonlocal heard
                for company, body in advertisement.data.get_all(AdvertisingData.Type.MANUFACTURER_SPECIFIC_DATA):
                    heard += 1
                    listener.take(f"adv:{company:04x}", bytes(body))

            device.on("advertisement", take)
            await device.start_scanning(active=False, filter_duplicates=False)
            for bpm in (140, 141, 150):
                await sensor.advertise(bpm)
                before = heard
                await until(lambda count=before: heard >= count + 3)  # type: ignore[misc]
            assert [row[0] for row in listener.rows["heart_rate"]] == [140, 141, 150]
            assert not device.connections
