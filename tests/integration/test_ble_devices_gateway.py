"""Every kind of simulated sensor heard by the gateway's own radio source at once, and read by its intake."""

import asyncio
from collections import Counter, defaultdict

import pytest

from edge.pipeline.intake import Intake
from edge.pipeline.roster import Wearers
from edge.settings import BleSettings
from edge.sources.ble import BleSource
from firmware_sim.also import speak_on
from firmware_sim.devices.kinds import KINDS, addresses_of, maker
from firmware_sim.transports.bumble import Air
from shared.clock import SystemClock
from shared.ids import SensorId
from shared.roster import Assignment, Roster
from tests.tools import BOUND_S

pytestmark = pytest.mark.usefixtures("quiet_bumble")

STREAMS = {
    "heart_strap": {"heart_rate", "rr", "battery"},
    "running_pod": {"speed", "battery"},
    "cycling_sensor": {"cadence", "battery"},
    "power_meter": {"power", "cadence", "battery"},
    "trainer": {"speed", "cadence", "power", "heart_rate", "machine", "battery"},
    "polar_strap": {"heart_rate", "rr", "battery", "ecg", "imu"},
    "polar_beacon": {"heart_rate"},
    "movesense": {"imu", "battery"},
    "imu_pod": {"imu", "battery"},
}


async def test_gateway_when_every_kind_is_on_the_air_then_each_gives_its_streams() -> None:
    """Rule: found, connected, started where it must be asked, decoded; nothing malformed, samples without a hole."""
    kinds = tuple(KINDS)
    assert set(kinds) == set(STREAMS)
    addresses = addresses_of(kinds)
    roster = Roster(athletes=[], assignments=[Assignment(sensor=address, athlete="ball") for address in addresses])
    intake = Intake(Wearers(roster), "gateway-1")
    clock = SystemClock()
    async with Air(host="127.0.0.1", port=0) as air:
        sensors = [
            await air.add(address, maker(kind, address, battery_percent=77))
            for kind, address in zip(kinds, addresses, strict=True)
        ]
        settings = BleSettings(
            adapter=f"tcp-client:127.0.0.1:{air.port}",
            slots=16,
            polar_streams=("ecg", "acc:200"),
            movesense_paths=("/Meas/IMU6/104",),
        )
        source = BleSource(settings, lambda sensor: sensor in addresses, clock)
        tasks = [asyncio.create_task(source.run()), asyncio.create_task(speak_on(sensors, clock))]
        heard: dict[str, set[str]] = defaultdict(set)
        pod: list[int] = []
        refused: Counter[str] = Counter()
        try:
            async with asyncio.timeout(3 * BOUND_S):
                while dict(heard) != {a: STREAMS[k] for k, a in zip(kinds, addresses, strict=True)} or len(pod) < 200:
                    blocks, rejected = intake.take([delivery.frame for delivery in await source.receive()])
                    refused.update(f"{r.frame.sensor} {r.frame.channel} {r.reason}" for r in rejected)
                    for block in blocks:
                        heard[str(block.sensor)].add(block.stream)
                        if block.sensor == addresses[kinds.index("imu_pod")] and block.stream == "imu":
                            pod += block.sequence.tolist()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=BOUND_S)
    assert not refused
    assert pod == list(range(pod[0], pod[0] + len(pod)))
    for kind, address in zip(kinds, addresses, strict=True):
        counts = intake.counts[SensorId(address)]
        assert counts.malformed == counts.implausible == 0, kind
        if kind != "polar_beacon":
            assert counts.about["model"] == KINDS[kind].model  # type: ignore[attr-defined]
            assert counts.battery_percent == 77
