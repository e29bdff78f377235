"""MQTT formats against published payloads, against other people's encoders, and against our simulator's."""

import json
import math
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from edge.sensors.base import About, Decoded, DeviceClock
from edge.sensors.dwm1001 import Dwm1001
from edge.sensors.owntracks import OwnTracks
from edge.sensors.pozyx import Pozyx
from edge.sensors.senml import SenMl
from edge.sensors.senml_pack import read_pack_cbor, read_pack_json, resolve
from edge.sensors.sideline_binary import SidelineBinary
from edge.sensors.sparkplug import Sparkplug
from edge.sensors.sparkplug_payload import read_payload
from edge.sensors.traccar import Traccar
from edge.sources.mqtt_topics import Topics
from firmware_sim.devices import senml as senml_device
from firmware_sim.devices import sideline_binary as binary_device
from firmware_sim.devices import sparkplug as sparkplug_device
from shared.errors import DecodeError
from shared.quantities import STREAMS
from shared.readings import Quality

Golden = Callable[[str], dict[str, Any]]
NS = 1_000_000_000
LABELS = {
    "bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6,
    "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8,
}  # fmt: skip


@pytest.fixture
def published(golden: Golden) -> dict[str, Any]:
    """Payloads collected from the makers' pages, with what they mean."""
    return golden("mqtt_vectors.json")


def body(payload: Any) -> bytes:
    """Return a published payload as it is sent."""
    return json.dumps(payload).encode()


def by_stream(parts: tuple[Decoded | About, ...]) -> dict[str, Decoded]:
    """Return the decoded parts by stream; each may stand once."""
    decoded = [part for part in parts if isinstance(part, Decoded)]
    assert len({part.stream for part in decoded}) == len(decoded)
    return {part.stream: part for part in decoded}


def test_pozyx_when_published_then_metres_mg_and_time_are_those_of_the_source(published: dict[str, Any]) -> None:
    """Rule: millimetres become metres, float seconds keep their microseconds."""
    vector = published["pozyx"]
    parts = by_stream(Pozyx().decode("pozyx", body(vector["payload"]), {}))
    want = vector["expected"]
    position, imu = parts["position"], parts["imu"]
    assert position.rows[0][:2] == (want["x_m"], want["y_m"])
    assert position.sensor == imu.sensor == want["source_id"]
    assert position.device_ns == pytest.approx(want["t_unix_s"] * NS, abs=300)
    assert [value * 1000 for value in imu.rows[0][:3]] == pytest.approx(want["acc_mg"])


def test_pozyx_when_a_tag_is_not_located_then_the_last_position_is_not_used(published: dict[str, Any]) -> None:
    """Rule: success:false is a missed position, counted over frames, and no row."""
    packet = dict(published["pozyx"]["payload"][0])
    memory = Pozyx().start()
    Pozyx().decode("pozyx", body([packet]), memory)
    lost = packet | {"success": False}
    for count in (1, 2, 3):
        parts = Pozyx().decode("pozyx", body([lost]), memory)
        assert [part.stream for part in parts if isinstance(part, Decoded)] == ["imu"]
        assert parts[-1] == About(facts=(("missed positions", str(count)),), sensor="30331")


def test_dwm1001_when_published_then_both_forms_and_the_status_are_read(published: dict[str, Any]) -> None:
    """Rule: the nested form says the same; quality is of 100; the status' time is a text of microseconds."""
    vector, sensor = published["dwm1001_pans"], Dwm1001()
    want = vector["expected"]
    for name in ("payload_location", "payload_location_nested"):
        position = by_stream(sensor.decode("dwm1001.location", body(vector[name]), sensor.start()))["position"]
        assert position.rows == ((want["x_m"], want["y_m"], want["quality"]),)
    battery = by_stream(sensor.decode("dwm1001.status", body(vector["payload_status"]), sensor.start()))["battery"]
    assert battery.device_ns == round(want["status_t_unix_s"] * 1e6) * 1000
    assert battery.rows == ((100.0,),)


@pytest.mark.parametrize("name", ["rfc_example", "sports_pack_constructed"])
@pytest.mark.parametrize("kind", ["json", "cbor"])
def test_senml_when_published_then_the_pack_resolves_as_the_source_says(
    published: dict[str, Any], name: str, kind: str
) -> None:
    """Rule: base name, unit and time carry over as in RFC 8428 §5.1.2, in JSON and in CBOR."""
    vector = published["senml"][name]
    pack = vector["pack"]
    if kind == "json":
        records = read_pack_json(body(pack))
    else:
        records = read_pack_cbor(cbor2.dumps([{LABELS[key]: value for key, value in one.items()} for one in pack]))
    resolved = resolve(records)
    assert [(one.name, one.unit, one.value) for one in resolved] == [
        (want["n"], want["u"], want["v"]) for want in vector["resolved"]
    ]
    assert [one.time_s for one in resolved] == pytest.approx([want["t"] for want in vector["resolved"]], abs=1e-6)


def test_senml_when_a_published_pack_has_no_quantity_of_ours_then_it_says_nothing(published: dict[str, Any]) -> None:
    """Rule: volts and amperes are left alone; the strap's pack gives its four streams."""
    assert SenMl().decode("senml+json", body(published["senml"]["rfc_example"]["pack"])) == ()
    parts = by_stream(SenMl().decode("senml+json", body(published["senml"]["sports_pack_constructed"]["pack"])))
    assert {stream: part.rows[0][0] for stream, part in parts.items()} == {
        "heart_rate": 152, "rr": 395, "battery": 87, "speed": 6.4,
    }  # fmt: skip
    assert {part.sensor for part in parts.values()} == {"urn:dev:mac:a0b1c2d3e4f5"}


def test_sparkplug_when_topics_are_published_then_they_name_message_and_device(published: dict[str, Any]) -> None:
    """Rule: a node's birth belongs to the node, a device's values to the device."""
    node, device = published["sparkplug_b"]["example_topics"]
    topics = Topics(["sparkplug"])
    found = [(sensor, route.channel if route else None) for sensor, route in map(topics.find, (node, device))]
    assert found == [("gw-pitch1", "sparkplug.nbirth"), ("hr-a0b1c2d3e4f5", "sparkplug.ddata")]
    assert topics.find("spBv1.0/STATE/host-1")[1] is None


def test_owntracks_when_published_then_km_h_become_m_s(published: dict[str, Any]) -> None:
    """Rule: vel is km/h, tst whole seconds; every other type says nothing."""
    vector = published["owntracks"]
    parts, want = by_stream(OwnTracks().decode("owntracks", body(vector["payload"]))), vector["expected"]
    assert parts["location"].rows[0][:2] == (want["lat"], want["lon"])
    assert parts["location"].rows[0][3] == want["hacc_m"]
    assert parts["speed"].rows[0][0] == pytest.approx(want["speed_mps"], rel=1e-12)
    assert parts["battery"].rows == ((want["battery_pct"],),)
    assert parts["location"].device_ns == want["t_unix_s"] * NS
    for kind in ("lwt", "transition", "waypoint", "encrypted", "status"):
        assert OwnTracks().decode("owntracks", body(vector["payload"] | {"_type": kind})) == ()


def test_traccar_when_published_then_time_device_and_charge_are_those_of_the_source(published: dict[str, Any]) -> None:
    """Rule: ISO time, charge of 1, metres per second."""
    vector = published["traccar_json"]
    parts, want = by_stream(Traccar().decode("traccar", body(vector["payload"]))), vector["expected"]
    assert {part.sensor for part in parts.values()} == {want["device"]}
    assert {part.device_ns for part in parts.values()} == {want["t_unix_s"] * NS}
    assert parts["battery"].rows == ((want["battery_pct"],),)


FIELD = descriptor_pb2.FieldDescriptorProto
METRIC_FIELDS = [
    ("name", 1, FIELD.TYPE_STRING), ("alias", 2, FIELD.TYPE_UINT64), ("timestamp", 3, FIELD.TYPE_UINT64),
    ("datatype", 4, FIELD.TYPE_UINT32), ("is_historical", 5, FIELD.TYPE_BOOL), ("is_transient", 6, FIELD.TYPE_BOOL),
    ("is_null", 7, FIELD.TYPE_BOOL), ("int_value", 10, FIELD.TYPE_UINT32), ("long_value", 11, FIELD.TYPE_UINT64),
    ("float_value", 12, FIELD.TYPE_FLOAT), ("double_value", 13, FIELD.TYPE_DOUBLE),
    ("boolean_value", 14, FIELD.TYPE_BOOL), ("string_value", 15, FIELD.TYPE_STRING),
]  # fmt: skip


def _payload_class() -> Any:
    """Return Sparkplug's Payload of the protobuf runtime, from the field numbers of sparkplug_b.proto."""
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug.proto", package="sparkplug", syntax="proto2")
    metric = file.message_type.add(name="Metric")
    payload = file.message_type.add(name="Payload")
    for name, number, kind in METRIC_FIELDS:
        metric.field.add(name=name, number=number, type=kind, label=FIELD.LABEL_OPTIONAL)
    for name, number, kind in [("timestamp", 1, FIELD.TYPE_UINT64), ("seq", 3, FIELD.TYPE_UINT64)]:
        payload.field.add(name=name, number=number, type=kind, label=FIELD.LABEL_OPTIONAL)
    payload.field.add(
        name="metrics", number=2, type=FIELD.TYPE_MESSAGE, type_name=".sparkplug.Metric", label=FIELD.LABEL_REPEATED
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("sparkplug.Payload"))


PAYLOAD = _payload_class()
whole = st.integers(0, 2**64 - 1)
metrics = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=20), "alias": whole, "timestamp": whole, "datatype": st.integers(0, 2**32 - 1),
        "is_historical": st.booleans(), "is_transient": st.booleans(), "is_null": st.booleans(),
    },
)  # fmt: skip
values = st.one_of(
    st.tuples(st.just("int_value"), st.integers(0, 2**32 - 1)),
    st.tuples(st.just("long_value"), whole),
    st.tuples(st.just("float_value"), st.floats(width=32, allow_nan=False)),
    st.tuples(st.just("double_value"), st.floats(allow_nan=False)),
    st.tuples(st.just("boolean_value"), st.booleans()),
    st.tuples(st.just("string_value"), st.text(max_size=20)),
)


@given(sent=st.lists(st.tuples(metrics, values), max_size=8), time_ms=whole, seq=st.integers(0, 255))
def test_sparkplug_when_the_protobuf_runtime_wrote_it_then_every_field_is_read(
    sent: list[tuple[dict[str, Any], tuple[str, Any]]], time_ms: int, seq: int
) -> None:
    """Rule: a second opinion; Google's encoder and our reader agree on every field that we read."""
    message = PAYLOAD(timestamp=time_ms, seq=seq)
    for fields, (kind, value) in sent:
        message.metrics.add(**fields, **{kind: value})
    ours = read_payload(message.SerializeToString())
    assert (ours.time_ms, ours.seq, len(ours.metrics)) == (time_ms, seq, len(sent))
    for metric, (fields, (kind, value)) in zip(ours.metrics, sent, strict=True):
        assert metric.name == fields.get("name")
        assert (metric.alias, metric.time_ms, metric.datatype) == tuple(
            fields.get(name) for name in ("alias", "timestamp", "datatype")
        )
        assert metric.is_historical == fields.get("is_historical", False)
        expected = None if fields.get("is_null") or kind == "string_value" else float(value)
        assert metric.number(None) == expected


@given(
    value=st.floats(allow_nan=False, allow_infinity=False),
    time_ms=st.integers(0, 2**42),
    historical=st.booleans(),
    count=st.integers(-(2**31), 2**31 - 1),
)
def test_sparkplug_when_the_simulator_wrote_it_then_the_protobuf_runtime_reads_it_too(
    *, value: float, time_ms: int, historical: bool, count: int
) -> None:
    """Rule: the simulator's bytes are protobuf's, not only ours."""
    metrics = [
        sparkplug_device.Metric(name="a", alias=300, value=value, t_ms=time_ms, historical=historical),
        sparkplug_device.Metric(name="b", value=count, datatype=sparkplug_device.INT32),
        sparkplug_device.Metric(name="c", value=None),
    ]
    read = PAYLOAD.FromString(sparkplug_device.encode_payload(metrics, t_ms=time_ms, seq=7))
    first, second, third = read.metrics
    assert (read.timestamp, read.seq) == (time_ms, 7)
    assert (first.name, first.alias, first.double_value, first.is_historical) == ("a", 300, value, historical)
    assert (second.int_value - 2**32 if second.int_value >= 2**31 else second.int_value) == count
    assert third.is_null


def test_sparkplug_when_a_row_is_historical_then_it_is_backlog() -> None:
    """Rule: what a device replays from its memory never passes for the live value."""
    node = sparkplug_device.Node(group="club", node="gw")
    memory, sensor = Sparkplug().start(), Sparkplug()
    sensor.decode("sparkplug.dbirth", node.device_birth("strap", {"hr": 60.0}, t_ms=1000), memory)
    for historical, quality in ((True, Quality.BACKLOG), (False, Quality.GOOD)):
        sent = node.device_values("strap", {"hr": 61.0}, t_ms=2000, historical=historical)
        (part,) = sensor.decode("sparkplug.ddata", sent, memory)
        assert isinstance(part, Decoded)
        assert (part.rows[0][0], part.quality, part.device_ns) == (61.0, quality, 2 * NS)


numbers = st.one_of(st.integers(-(2**53), 2**53), st.floats(-1e12, 1e12))


@given(st.lists(st.fixed_dictionaries({"n": st.sampled_from(["hr", "speed", "x"]), "v": numbers}), min_size=1))
def test_senml_when_the_simulator_wrote_cbor_then_cbor2_reads_what_json_says(pack: list[dict[str, Any]]) -> None:
    """Rule: both encodings of the simulator are the same pack, by a reader that is not ours."""
    texts = cbor2.loads(senml_device.encode_cbor(pack))
    assert [{name: one[LABELS[name]] for name in ("n", "v")} for one in texts] == pack
    assert json.loads(senml_device.encode_json(pack)) == pack


@pytest.mark.parametrize("stream", list(STREAMS))
@pytest.mark.parametrize("narrow", [False, True])
def test_binary_when_every_stream_is_sent_then_values_come_back_to_their_resolution(
    stream: str, *, narrow: bool
) -> None:
    """Rule: one layout for all streams, in the steps of their quantities, in 32 and in 16 bits."""
    quantities = STREAMS[stream].quantities
    steps = 2**15 - 1 if narrow else 2**31 - 1
    sent = [
        [min(quantity.high, quantity.resolution * steps * share) for quantity in quantities] for share in (0.1, 0.9)
    ]
    sent += [[max(quantity.low, -quantity.resolution * steps) for quantity in quantities], [None] * len(quantities)]
    device = binary_device.BinaryDevice(sensor="pod", boot=0xC0FFEE, sequence=5)
    body = device.next_body(stream, sent, t_ns=9 * NS, period_ns=NS, narrow=narrow, own_clock=True)
    (part,) = SidelineBinary().decode("sideline+binary", body)
    assert (part.stream, part.origin, part.sequence, part.device_ns) == (stream, "00c0ffee", 5, 9 * NS)
    assert (part.clock, part.period_ns, device.sequence) == (DeviceClock.OWN, NS, 9)
    assert all(math.isnan(value) for value in part.rows[3])
    for row, values in zip(part.rows[:3], sent[:3], strict=True):
        for got, wanted, quantity in zip(row, values, quantities, strict=True):
            assert wanted is not None
            assert abs(got - wanted) <= quantity.resolution * 0.5001
    assert len(body) == 28 + 4 * len(quantities) * (2 if narrow else 4)
    with pytest.raises(DecodeError):
        SidelineBinary().decode("sideline+binary", body + b"\0")
