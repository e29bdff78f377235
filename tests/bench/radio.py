"""Many Bluetooth sensors on one gateway: 100 straps at 1 Hz, 30 motion pods at 50 Hz, and both at once.

The simulated sensors run in a process of their own; the gateway's part (source with five adapters, intake) in this
one, which is measured. Every frame is numbered: what was sent is compared with what was decoded, and each frame's time
of sending with its arrival here. Over HCI the sensors are GATT peripherals on a virtual air (bumble); over BlueZ
bleak's own backend talks to a fake `org.bluez` on a private bus.

.venv/bin/python -m tests.bench.radio [--seconds 20] [--json FILE]
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from edge.pipeline.intake import Intake
from edge.pipeline.roster import Wearers
from edge.settings import AdapterSettings, BleSettings
from edge.sources.ble import BleSource
from firmware_sim.devices.heart_strap import encode_heart_rate_measurement
from firmware_sim.devices.imu_pod import SAMPLES, SERVICE, ImuPod, encode_samples
from firmware_sim.transports.bumble import Air
from shared.clock import SystemClock
from shared.ids import SensorId
from shared.readings import Frame
from shared.roster import Assignment, Roster
from tests.factories import roster_athlete
from tests.fakes.bluez.bus import private_bus
from tests.fakes.bluez.peripheral import Attribute, Peripheral, full, heart_strap
from tests.fakes.bluez.service import FakeBlueZ
from tests.tools import require_tool

ADAPTERS = 5
STRAP_HZ, POD_HZ = 1.0, 50.0
_SAMPLES_PER_FRAME = 2
_CONNECT_S = 120.0
_ADVERTISING_S = 0.5
CASES = [("HCI", 100, 0), ("HCI", 0, 30), ("HCI", 100, 30), ("StartNotify", 100, 30), ("AcquireNotify", 100, 30)]

Send = Callable[[bytes], Awaitable[bool]]


def strap_address(index: int) -> str:
    """Return the address of strap `index`."""
    return f"C0:00:00:00:01:{index:02X}"


def pod_address(index: int) -> str:
    """Return the address of pod `index`."""
    return f"C0:00:00:00:02:{index:02X}"


def strap_frame(n: int) -> bytes:
    """Return heart rate `n`; the number stands in the field for energy."""
    return encode_heart_rate_measurement(120 + n % 40, contact=True, energy_kj=n, rr_1024=[500])


def pod_frame(n: int) -> bytes:
    """Return the samples that follow 2n others, at 100 Hz."""
    first = n * _SAMPLES_PER_FRAME
    samples = [(100, 200, 1000, 30, 20, 10)] * _SAMPLES_PER_FRAME
    return encode_samples(boot=1, first=first, last_us=(first + 1) * 10_000, rate_hz=100, samples=samples)


def number_of(frame: Frame) -> int:
    """Return the number that stands in a frame of ours."""
    if frame.channel == "2a37":
        return int.from_bytes(frame.body[2:4], "little")
    return int.from_bytes(frame.body[4:8], "little") // _SAMPLES_PER_FRAME


class Pod(ImuPod):
    """A pod that sends what it is told."""

    async def notify(self, body: bytes) -> bool:
        """Send one frame."""
        return await self.send(self._samples, body)


async def speak(send: Send, frame: Callable[[int], bytes], *, hz: float, seconds: float, late_s: float) -> list[int]:
    """Send numbered frames at a rate; return when each was sent (monotonic ns, as one machine's processes share it)."""
    loop, sent = asyncio.get_running_loop(), []
    begin = loop.time() + late_s
    for n in range(round(hz * seconds)):
        await asyncio.sleep(max(0.0, begin + n / hz - loop.time()))
        body = frame(n)
        at_ns = time.monotonic_ns()
        if not await send(body):
            raise RuntimeError("a sensor lost its link during the measurement")
        sent.append(at_ns)
    return sent


async def converse(sensors: dict[str, Send], seconds: float, where: dict[str, Any]) -> None:
    """Say where the sensors are, wait for the word, send, and say when each frame went."""
    print(json.dumps(where), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    async with asyncio.TaskGroup() as tasks:
        speaking = {
            address: tasks.create_task(
                speak(
                    send,
                    *((strap_frame,) if address.startswith("C0:00:00:00:01") else (pod_frame,)),
                    hz=STRAP_HZ if address.startswith("C0:00:00:00:01") else POD_HZ,
                    seconds=seconds,
                    late_s=0.5 + index / len(sensors),
                )
            )
            for index, (address, send) in enumerate(sensors.items())
        }
    print(json.dumps({address: task.result() for address, task in speaking.items()}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def simulate_hci(straps: int, pods: int, seconds: float) -> None:
    """Run GATT peripherals on a virtual air with an adapter on each of several ports."""
    async with Air(host="127.0.0.1", port=0, adapters=ADAPTERS) as air:
        sensors: dict[str, Send] = {}
        for index in range(straps):
            sensors[strap_address(index)] = (await air.add_strap(strap_address(index), battery_percent=80)).notify
        for index in range(pods):
            address = pod_address(index)
            sensors[address] = (await air.add(address, partial(Pod, address=address, battery_percent=80))).notify
        await converse(sensors, seconds, {"adapters": [f"tcp-client:127.0.0.1:{port}" for port in air.ports]})


async def simulate_bluez(straps: int, pods: int, seconds: float) -> None:
    """Run a fake Bluetooth service with several adapters on a private bus."""
    names = [f"hci{number}" for number in range(ADAPTERS)]
    rssi_dbm = dict.fromkeys(names, -60)
    around = [heart_strap(strap_address(index), rssi_dbm=dict(rssi_dbm)) for index in range(straps)]
    around += [
        Peripheral(
            address=pod_address(index),
            name="Pod",
            services={SERVICE: [Attribute(SAMPLES, ("notify",))]},
            advertised=(SERVICE,),
            rssi_dbm=dict(rssi_dbm),
        )
        for index in range(pods)
    ]
    with tempfile.TemporaryDirectory() as folder, private_bus(require_tool("dbus-daemon"), Path(folder)) as bus:
        async with FakeBlueZ(bus, advertising_s=_ADVERTISING_S) as service:
            for name in names:
                service.add_adapter(name)
            service.put(*around)

            async def send(peripheral: Peripheral, uuid: str, body: bytes) -> bool:
                return service.notify(peripheral, uuid, body) == 1

            sensors: dict[str, Send] = {
                p.address: partial(send, p, SAMPLES if SERVICE in p.services else full("2a37")) for p in around
            }
            await converse(sensors, seconds, {"adapters": [f"system:{name}" for name in names], "bus": bus})


async def measure(radio: str, straps: int, pods: int, seconds: float) -> dict[str, Any]:
    """Run one case and return its row."""
    words = [sys.executable, "-m", "tests.bench.radio", "--simulate", radio, str(straps), str(pods), str(seconds)]
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**26
    )
    assert process.stdin is not None
    assert process.stdout is not None
    where = await told(process.stdout)
    os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = where.get("bus", "")
    names = [strap_address(i) for i in range(straps)] + [pod_address(i) for i in range(pods)]
    clock = SystemClock()
    wearers = Wearers(
        Roster(athletes=[roster_athlete()], assignments=[Assignment(sensor=name, athlete="a01") for name in names])
    )
    slots = -(-len(names) // ADAPTERS)
    given = tuple(AdapterSettings(adapter=name, slots=slots) for name in where["adapters"])
    # The sensors are silent until all are connected, and that is no fault of theirs.
    settings = BleSettings(adapters=given, acquire_notify=radio == "AcquireNotify", silent_s=_CONNECT_S)
    source = BleSource(settings, lambda sensor: wearers.is_worn(sensor, clock.utc_ns()), clock)
    gateway = _Gateway(source, Intake(wearers, clock.boot_id))
    running = asyncio.create_task(source.run())
    taking = asyncio.create_task(gateway.take())
    began = time.monotonic()
    async with asyncio.timeout(_CONNECT_S):
        while sum(link.connected for link in source.links.values()) < len(names):
            await asyncio.sleep(0.02)
    connected_s = time.monotonic() - began
    held = [adapter.slots.capacity - adapter.slots.free for adapter in source.adapters]
    process.stdin.write(b"\n")
    me, other = psutil.Process(), psutil.Process(process.pid)
    cpu = [sum(p.cpu_times()[:2]) for p in (me, other)]
    began = time.monotonic()
    sent = await told(process.stdout)
    wall_s = time.monotonic() - began
    spent = [sum(p.cpu_times()[:2]) - before for p, before in zip((me, other), cpu, strict=True)]
    await asyncio.sleep(0.5)
    for task in (running, taking):
        task.cancel()
    await asyncio.wait({running, taking})
    process.stdin.write(b"\n")
    await process.wait()
    return {
        "radio": radio, "straps": straps, "pods": pods, "per_adapter": held, "connected_s": round(connected_s, 2),
        "gateway_cpu_percent": round(100 * spent[0] / wall_s, 1),
        "simulator_cpu_percent": round(100 * spent[1] / wall_s, 1),
    } | gateway.compared(sent)  # fmt: skip


async def told(stream: asyncio.StreamReader) -> dict[str, Any]:
    """Return the simulator's next line of JSON; what it logs stands between them."""
    while True:
        line = await stream.readline()
        if not line:
            raise RuntimeError("the simulator ended")
        if line.startswith(b"{"):
            found: dict[str, Any] = json.loads(line)
            return found


class _Gateway:
    """Takes frames as the gateway does and keeps when each came."""

    def __init__(self, source: BleSource, intake: Intake) -> None:
        self._source, self._intake = source, intake
        self._came: dict[tuple[str, int], list[int]] = {}
        self._rows = self._rejected = 0

    async def take(self) -> None:
        """Decode what has come, in turns of 5 ms like the store's, until cancelled."""
        while True:
            frames = [delivery.frame for delivery in await self._source.receive()]
            blocks, rejected = self._intake.take(frames)
            now_ns = time.monotonic_ns()  # decoded and in time: what the live lane and the store get
            self._rejected += len(rejected)
            self._rows += sum(len(block) for block in blocks if block.stream in ("heart_rate", "imu"))
            for frame in frames:
                if frame.channel in ("2a37", SAMPLES):
                    self._came.setdefault((frame.sensor, number_of(frame)), []).append(now_ns)
            await asyncio.sleep(0.005)

    def compared(self, sent: dict[str, list[int]]) -> dict[str, Any]:
        """Return what was lost and how long the rest was on its way to its decoded reading."""
        due = {(SensorId(sensor), n): at_ns for sensor, times in sent.items() for n, at_ns in enumerate(times)}
        late_ms = [(self._came[key][0] - at_ns) / 1e6 for key, at_ns in due.items() if key in self._came]
        return {
            "sent": len(due),
            "received": len(late_ms),
            "twice": sum(len(times) - 1 for times in self._came.values()),
            "rows": self._rows,
            "rejected": self._rejected,
            "p50_ms": round(float(np.percentile(late_ms, 50)), 2),
            "p99_ms": round(float(np.percentile(late_ms, 99)), 2),
            "max_ms": round(max(late_ms), 2),
        }


def main() -> None:
    """Run every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the sensors send in each case")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--simulate", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.simulate:
        radio, straps, pods, seconds = options.simulate
        simulate = simulate_hci if radio == "HCI" else simulate_bluez
        asyncio.run(simulate(int(straps), int(pods), float(seconds)))
        return
    rows = []
    for radio, straps, pods in CASES:
        rows.append(asyncio.run(measure(radio, straps, pods, options.seconds)))
        print(json.dumps(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"radio": rows}, indent=1))


if __name__ == "__main__":
    main()
