"""What the load generator sends: the right bytes, at the right times, and an account that adds up."""

import json
from collections import Counter

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.devices.position_tag import encode_position
from firmware_sim.load_messages import Mix, Positions, mix_roster, place_mm, pod_id, strap_id
from firmware_sim.roster import tag_id
from firmware_sim.squad import squad_profiles
from firmware_sim.transports.mqtt_wire import connect_packet, publish_front

BOOT = 0x0BADCAFE
T_NS = 1_790_000_000_000_000_000


def test_positions_when_asked_for_then_each_is_what_the_tag_would_send() -> None:
    """Rule: the fast way writes the same bodies and topics as the device's own encoder."""
    plan = Positions(1000, tags=7, boot=BOOT)
    for k, (front, body) in enumerate([*plan.messages(0, 30, T_NS), *plan.messages(30, 5, T_NS)]):
        n, tag = divmod(k, 7)
        x_mm, y_mm = place_mm(n, tag)
        wanted = encode_position(boot="0badcafe", n=n, t_ns=T_NS, x_mm=x_mm, y_mm=y_mm, quality=95)
        assert (front, body) == (publish_front(f"sideline/tags/tag-{tag + 1:02d}/position", len(wanted)), wanted)
    assert plan.sent(35) == {"position": (35, 35)}


def test_mix_when_a_squad_of_60_sends_then_a_second_has_2160_messages() -> None:
    """Rule: 25 positions, one heart rate and 10 frames of motion an athlete, each numbered without a gap."""
    plan = Mix(60, BOOT)
    assert plan.rate_hz == plan.due(1.0) == 2160
    assert plan.due(2.0) == 4320
    topics: Counter[str] = Counter()
    numbers: dict[str, list[int]] = {}
    for front, body in plan.messages(0, 4320, T_NS):
        topic = front[front.index(b"sideline") :].decode()
        topics[topic] += 1
        number = int.from_bytes(body[8:12], "little") if "/binary/" in topic else json.loads(body)["n"]
        numbers.setdefault(topic, []).append(number)
    each = {f"sideline/tags/{tag_id(i)}/position": 50 for i in range(60)}
    each |= {f"sideline/sensors/{strap_id(i)}/heart_rate": 2 for i in range(60)}
    each |= {f"sideline/binary/{pod_id(i)}/imu": 20 for i in range(60)}
    assert topics == each
    for topic, found in numbers.items():
        step = 10 if "/binary/" in topic else 1
        assert found == [step * i for i in range(len(found))]


@given(st.integers(1, 20), st.integers(0, 3000))
def test_mix_when_counted_then_the_kinds_add_up_to_what_was_sent(athletes: int, count: int) -> None:
    """Rule: what a test reconciles with is exact for any number of messages."""
    plan = Mix(athletes, BOOT)
    kinds: Counter[str] = Counter()
    for front, _ in plan.messages(0, count, T_NS):
        word = front.rsplit(b"/", 1)[1].decode()
        kinds[word] += 1
    found = plan.sent(count)
    assert {kind: messages for kind, (messages, _) in found.items() if messages} == dict(kinds)
    assert {kind: readings for kind, (_, readings) in found.items()} == {
        "position": kinds["position"],
        "heart_rate": kinds["heart_rate"],
        "imu": 10 * kinds["imu"],
    }


@given(st.integers(1, 60), st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_mix_when_time_passes_then_what_is_due_only_grows_at_its_rate(athletes: int, times_s: list[float]) -> None:
    """Rule: never behind and never ahead of the rate by more than a second's messages."""
    plan = Mix(athletes, BOOT)
    due = [plan.due(at) for at in sorted(times_s)]
    assert due == sorted(due)
    assert all(abs(found - at * plan.rate_hz) <= plan.rate_hz for found, at in zip(due, sorted(times_s), strict=True))


def test_roster_when_it_is_of_the_mix_then_every_sensor_has_its_athlete() -> None:
    """Rule: a gateway with this roster knows every device of the mix."""
    roster = mix_roster(squad_profiles(3, 7))
    assert [one.sensor for one in roster.assignments] == [
        name(i) for name in (tag_id, strap_id, pod_id) for i in range(3)
    ]
    assert {one.athlete for one in roster.assignments} == {one.athlete for one in roster.athletes}


@pytest.mark.parametrize("size", [0, 95, 127, 128, 20_000])
def test_wire_when_it_writes_packets_then_another_implementation_reads_them(size: int) -> None:
    """Rule: MQTT 3.1.1's PUBLISH is MQTT 5's but for the properties, whose empty length stands first in the body."""
    front = publish_front("sideline/tags/tag-01/position", size + 1)
    packet, used = mqtt5.read(memoryview(front + b"\x01\x02" + b"\x00" + b"x" * size))
    assert isinstance(packet, mqtt5.PublishPacket)
    assert (packet.topic, packet.packet_id, len(packet.payload)) == ("sideline/tags/tag-01/position", 0x0102, size)
    assert used == len(front) + 3 + size
    assert connect_packet("ab") == b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x1e\x00\x02ab"
