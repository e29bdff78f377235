"""Every MQTT device of the simulator through a real mosquitto into source and intake: each value as it was sent."""

import asyncio
import contextlib
import math
import random
from collections import defaultdict
from collections.abc import AsyncIterator

import aiomqtt
import pytest

from edge.pipeline.intake import Intake
from edge.pipeline.roster import Wearers
from edge.sensors.base import Rejected
from edge.sensors.registry import SENSORS
from edge.settings import MapTo, MqttSettings, MqttTopic
from edge.sources.mqtt import MqttSource
from firmware_sim.devices import owntracks, pozyx, senml, sparkplug, traccar
from firmware_sim.devices.dwm1001 import Dwm1001
from firmware_sim.devices.position_tag import PositionTag, position_topic
from firmware_sim.devices.sideline_binary import BinaryDevice
from firmware_sim.devices.sideline_json import JsonDevice, flat_body
from firmware_sim.transports.mqtt import MqttPublisher
from shared.clock import NS_PER_MS, NS_PER_S, SystemClock
from shared.quantities import STREAMS
from shared.readings import Quality, Readings
from shared.resolution import NS_PER_US
from shared.roster import Assignment, Roster
from tests.factories import roster_athlete
from tests.fakes.broker import Broker
from tests.tools import BOUND_S, until

SEED = 17
ROUNDS = 25
GYM = MqttTopic(
    topic="gym/{sensor}/out",
    format="sideline+json",
    map={"hr": "heart_rate_bpm", "watt": "power_w", "ms": MapTo(to="t", scale=0.001)},
)
Sent = dict[tuple[str, str], list[tuple[int | None, tuple[float | None, ...], int]]]
"""By sensor and stream, in order: time in ns if the device tells one, row, quality."""


class Scene:
    """What the devices sent, to be published and to be found again."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.sent: Sent = defaultdict(list)

    def publish(self, topic: str, body: bytes) -> None:
        """Add a message."""
        self.messages.append((topic, body))

    def expect(self, sensor: str, stream: str, t_ns: int | None, *row: float | None, quality: int = 0) -> None:
        """Add a row that must be found; columns left out were not measured."""
        width = len(STREAMS[stream].quantities)
        self.sent[sensor, stream].append((t_ns, (*row, *[None] * (width - len(row))), quality))


@pytest.fixture
def scene() -> Scene:
    """Some rounds of every device, with a fixed seed and times of now."""
    print("seed", SEED)
    rng = random.Random(SEED)
    made = Scene()
    start_ms = SystemClock().utc_ns() // NS_PER_MS - 60_000
    dwm, nested = Dwm1001(node="1a2b"), Dwm1001(node="1a2c", nested=True)
    tag = PositionTag(sensor="tag-01", boot="0badcafe", battery_percent=80)
    form = JsonDevice(sensor="form-1", boot="00c0ffee")
    pod = BinaryDevice(sensor="pod-1", boot=0xFEED)
    node = sparkplug.Node(group="club", node="gw", bd_seq=3)
    made.publish(node.topic("NBIRTH"), node.birth(["uwb-9/x_m", "uwb-9/y_m"], t_ms=start_ms))
    made.publish(
        node.topic("DBIRTH", "spark-1"),
        node.device_birth("spark-1", {"hr": 60.0, "power_w": -5.0}, t_ms=start_ms),
    )
    made.expect("spark-1", "heart_rate", start_ms * NS_PER_MS, 60.0)
    made.expect("spark-1", "power", start_ms * NS_PER_MS, -5.0)
    for i in range(ROUNDS):
        t_ms = start_ms + 1000 * i + rng.randrange(1000)
        _uwb(made, rng, t_ms, (dwm, nested), tag)
        _phones(made, rng, t_ms)
        _packs(made, rng, t_ms)
        _sparks(made, rng, t_ms, node, historical=i % 5 == 0)
        _ours(made, rng, t_ms, form, pod)
    made.publish(node.topic("DDEATH", "spark-1"), sparkplug.encode_payload([], t_ms=start_ms, seq=node.seq))
    made.publish(node.topic("NDEATH"), node.death(t_ms=start_ms))
    return made


def _uwb(made: Scene, rng: random.Random, t_ms: int, dwms: tuple[Dwm1001, ...], tag: PositionTag) -> None:
    t_s = t_ms / 1000
    t_ns = math.floor(t_s) * NS_PER_S + round((t_s - math.floor(t_s)) * 1e9)
    fixes = []
    for name in ("7001", "7002"):
        x, y = rng.randrange(-5000, 110_000), rng.randrange(-5000, 73_000)
        felt = (rng.randrange(-2000, 2000), 69, 949)
        solved = rng.random() < 0.8
        fixes.append(pozyx.Fix(tag=name, t_s=t_s, x_y_z_mm=(x, y, 900) if solved else None, acceleration_mg=felt))
        if solved:
            made.expect(name, "position", t_ns, x / 1000, y / 1000)
        made.expect(name, "imu", t_ns, *(mg / 1000 for mg in felt))
    made.publish(pozyx.TOPIC, pozyx.encode_fixes(fixes))
    for dwm in dwms:
        x_m, y_m, quality = round(rng.uniform(0, 105), 2), round(rng.uniform(0, 68), 2), rng.randrange(101)
        lost = rng.random() < 0.2
        made.publish(dwm.location_topic, dwm.location(None if lost else x_m, y_m, quality=quality))
        if not lost:
            doubt = 0 if quality else int(Quality.UNCERTAIN)
            made.expect(dwm.node, "position", None, x_m, y_m, quality / 100, quality=doubt)
    charge = rng.randrange(101)
    made.publish(dwms[0].status_topic, dwms[0].status(present=True, battery=charge, t_us=t_ms * 1000 + 7))
    made.expect(dwms[0].node, "battery", t_ms * NS_PER_MS + 7000, float(charge))
    if tag.n == 0:  # a tag tells its charge in every hundredth message
        made.expect("tag-01", "battery", t_ms * NS_PER_MS, 80.0)
    made.publish(position_topic(tag.sensor), tag.next_body(t_ns=t_ms * NS_PER_MS, x_mm=1234, y_mm=-56, quality=90))
    made.expect("tag-01", "position", t_ms * NS_PER_MS, 1.234, -0.056, 0.9)


def _phones(made: Scene, rng: random.Random, t_ms: int) -> None:
    lat, lon, t_s = rng.uniform(-80, 80), rng.uniform(-179, 179), t_ms // 1000
    body = owntracks.encode_location(
        t_s=t_s, lat_deg=lat, lon_deg=lon, accuracy_m=7, altitude_m=40, speed_km_h=18, battery_percent=63
    )
    made.publish(owntracks.topic("ana", "phone-1"), body)
    made.expect("phone-1", "location", t_s * NS_PER_S, lat, lon, 40.0, 7.0)
    made.expect("phone-1", "speed", t_s * NS_PER_S, 5.0)
    made.expect("phone-1", "battery", t_s * NS_PER_S, 63.0)
    speed = rng.uniform(0, 9)
    where = {"t_ms": t_ms, "lat_deg": lat, "lon_deg": lon, "speed_mps": speed}
    client = traccar.encode_client(device="phone-2", accuracy_m=3.5, altitude_m=12.5, battery=0.25, **where)  # type: ignore[arg-type]
    made.publish(traccar.topic("squad"), client)
    made.publish(traccar.topic("squad"), traccar.encode_osmand(device="phone-3", **where))  # type: ignore[arg-type]
    made.publish(traccar.topic("squad"), traccar.encode_forwarded(device="phone-4", **where))  # type: ignore[arg-type]
    for name, more in (("phone-2", (12.5, 3.5)), ("phone-3", ()), ("phone-4", (40.0, 3.0))):
        made.expect(name, "location", t_ms * NS_PER_MS, lat, lon, *more)
        made.expect(name, "speed", t_ms * NS_PER_MS, speed)
    made.expect("phone-2", "battery", t_ms * NS_PER_MS, 25.0)
    made.expect("phone-4", "battery", t_ms * NS_PER_MS, 64.0)


def _packs(made: Scene, rng: random.Random, t_ms: int) -> None:
    for kind, encode, device in (
        ("json", senml.encode_json, "a0b1c2d3e4f5"),
        ("cbor", senml.encode_cbor, "a0b1c2d3e4f6"),
    ):
        bpm, rr_s, speed, watt = float(rng.randrange(50, 200)), rng.randrange(300, 1200) / 1000, rng.random() * 9, 250.5
        t_s = float(t_ms // 1000)
        pack = senml.pack(
            device,
            t_s,
            [("hr", "beat/min", bpm), ("rr", "s", rr_s), ("speed", "m/s", speed), ("power", "W", watt)],
        )
        made.publish(senml.topic(kind, device), encode(pack))
        name, t_ns = f"urn:dev:mac:{device}", int(t_s) * NS_PER_S
        made.expect(name, "heart_rate", t_ns, bpm)
        made.expect(name, "rr", t_ns, rr_s * 1000)
        made.expect(name, "speed", t_ns, speed)
        made.expect(name, "power", t_ns, watt)


def _sparks(made: Scene, rng: random.Random, t_ms: int, node: sparkplug.Node, *, historical: bool) -> None:
    bpm, watt, x_m, y_m = float(rng.randrange(50, 200)), float(rng.randrange(-50, 900)), rng.random(), rng.random()
    values = {"hr": bpm, "power_w": watt}
    made.publish(
        node.topic("DDATA", "spark-1"), node.device_values("spark-1", values, t_ms=t_ms, historical=historical)
    )
    quality = int(Quality.BACKLOG) if historical else 0
    made.expect("spark-1", "heart_rate", t_ms * NS_PER_MS, bpm, quality=quality)
    made.expect("spark-1", "power", t_ms * NS_PER_MS, watt, quality=quality)
    made.publish(node.topic("NDATA"), node.values({"uwb-9/x_m": x_m, "uwb-9/y_m": y_m}, t_ms=t_ms))
    made.expect("uwb-9", "position", t_ms * NS_PER_MS, x_m, y_m)


def _ours(made: Scene, rng: random.Random, t_ms: int, form: JsonDevice, pod: BinaryDevice) -> None:
    t_ns = t_ms * NS_PER_MS + 5
    answer = rng.randrange(21) / 2
    made.publish(form.topic("exertion"), form.next_body(t_ns=t_ns, values={"exertion_cr10": answer}))
    made.expect("form-1", "exertion", t_ns, answer)
    rows = [
        [rng.randrange(-4000, 4000) / 1000 for _ in range(3)] + [rng.randrange(-9000, 9000) / 10] * 3 for _ in range(4)
    ]
    period_ns = 10 * NS_PER_MS
    made.publish(pod.topic("imu"), pod.next_body("imu", rows, t_ns=t_ns, period_ns=period_ns, narrow=True))
    for back, row in zip((3, 2, 1, 0), rows, strict=True):
        made.expect("pod-1", "imu", t_ns - back * period_ns, *row)
    made.publish("gym/bike-1/out", flat_body({"hr": 120, "watt": 250, "ms": t_ms, "mode": "erg"}))
    t_s = t_ms * 0.001
    gym_ns = math.floor(t_s) * NS_PER_S + round((t_s - math.floor(t_s)) * 1e9)
    made.expect("bike-1", "heart_rate", gym_ns, 120.0)
    made.expect("bike-1", "power", gym_ns, 250.0)


@contextlib.asynccontextmanager
async def running(broker: Broker) -> AsyncIterator[MqttSource]:
    """Run a gateway's source that reads every format."""
    formats = tuple(sensor.name for sensor in SENSORS if sensor.topics)
    settings = MqttSettings(host=broker.host, port=broker.port, topics=(*formats, GYM))
    source = MqttSource(settings, "gw-formats", SystemClock())
    task = asyncio.create_task(source.run())
    try:
        await until(lambda: source.status.up)
        yield source
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def intake_for(scene: Scene) -> Intake:
    """Return an intake whose roster knows every device of the scene."""
    names = sorted({sensor for sensor, _ in scene.sent})
    assignments = [Assignment(sensor=name, athlete="a01") for name in names]
    return Intake(Wearers(Roster(athletes=[roster_athlete("a01")], assignments=assignments)), "boot-7")


async def publish_all(broker: Broker, messages: list[tuple[str, bytes]]) -> None:
    """Publish through the simulator's own client and wait for every acknowledgement."""
    publisher = MqttPublisher(
        host=broker.host,
        port=broker.port,
        identifier="devices",
        clock=SystemClock(),
        on_acked=lambda _: None,
        on_given_up=lambda _: pytest.fail("given up"),
    )
    connection = asyncio.create_task(publisher.run())
    try:
        async with asyncio.timeout(BOUND_S):
            await publisher.connected.wait()
            for ticket, (topic, body) in enumerate(messages):
                publisher.publish(topic, body, ticket)
            await publisher.settled()
    finally:
        connection.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await connection


async def taken(source: MqttSource, intake: Intake, count: int) -> tuple[list[Readings], list[Rejected]]:
    """Take this many messages through the intake, acknowledging each."""
    blocks: list[Readings] = []
    rejected: list[Rejected] = []
    async with asyncio.timeout(BOUND_S):
        while count > 0:
            deliveries = await source.receive()
            count -= len(deliveries)
            new, bad = intake.take([delivery.frame for delivery in deliveries])
            blocks += new
            rejected += bad
            source.acknowledge(deliveries)
    assert count == 0
    return blocks, rejected


async def test_devices_when_they_publish_through_a_real_broker_then_every_value_is_as_sent(
    own_broker: Broker, scene: Scene
) -> None:
    """Rule: nothing lost, nothing invented, nothing changed, over all formats at once."""
    own_broker.start()
    intake = intake_for(scene)
    async with running(own_broker) as source:
        await publish_all(own_broker, scene.messages)
        blocks, rejected = await taken(source, intake, len(scene.messages))
    assert [(reject.reason, reject.frame) for reject in rejected] == []
    found: dict[tuple[str, str], list[tuple[int, list[float], int]]] = defaultdict(list)
    for block in blocks:
        rows = zip(block.time_ns.tolist(), block.values.tolist(), block.quality.tolist(), strict=True)
        found[block.sensor, block.stream] += list(rows)
    assert found.keys() == scene.sent.keys()
    compared = 0
    for key, wanted in scene.sent.items():
        assert len(found[key]) == len(wanted), key
        for (time_ns, row, quality), (sent_ns, sent_row, sent_quality) in zip(found[key], wanted, strict=True):
            assert sent_ns is None or time_ns == sent_ns - sent_ns % NS_PER_US, key
            want = [math.nan if value is None else value for value in sent_row]
            assert row == pytest.approx(want, rel=1e-12, abs=1e-9, nan_ok=True), key
            assert quality & ~Quality.IMPLAUSIBLE == sent_quality, key
            compared += len(row)
    print(f"{len(scene.messages)} messages, {len(found)} streams, {compared} values compared")
    assert int(intake.counts["7001"].about["missed positions"]) > 0  # type: ignore[index]
    assert intake.counts["spark-1"].about["state"] == "gone"  # type: ignore[index]


async def test_source_when_messages_are_retained_then_only_devices_that_count_are_heard(own_broker: Broker) -> None:
    """Rule: a retained message is of a time that nobody knows; left out and counted, and new ones still come."""
    own_broker.start()
    dwm, tag = Dwm1001(node="1a2b"), PositionTag(sensor="tag-01", boot="0badcafe", battery_percent=80)
    async with aiomqtt.Client(own_broker.host, own_broker.port) as client:
        await client.publish(dwm.location_topic, dwm.location(1.0, 2.0), qos=1, retain=True)
        await client.publish(
            owntracks.topic("a", "b"), owntracks.encode_location(t_s=1, lat_deg=1, lon_deg=2), retain=True
        )
        kept = tag.next_body(t_ns=5, x_mm=1, y_mm=2, quality=3)
        await client.publish(position_topic("tag-01"), kept, qos=1, retain=True)
        async with running(own_broker) as source:
            await client.publish(dwm.location_topic, dwm.location(3.0, 4.0), qos=1, retain=True)
            bodies = []
            async with asyncio.timeout(BOUND_S):
                while len(bodies) < 2:
                    bodies += [delivery.frame.body for delivery in await source.receive()]
                await until(lambda: source.retained == 2)
        assert sorted(b'"x":3.0' in body or body == kept for body in bodies) == [True, True]
