"""The packets that differ between MQTT 5 and 3.1.1: what we write, others read; what brokers write, in plain words."""

import mqtt5
import pytest

from edge.sources.mqtt_packets import Answer, Dialect, Login
from edge.sources.mqtt_v5 import Mqtt5
from edge.sources.mqtt_v311 import Mqtt311
from shared.errors import SourceError

LOGIN = Login(client_id="gw-1", username="gateway", password="geheim-ü", keep_alive_s=10)


def test_connect_when_it_is_of_version_5_then_the_session_is_resumed_and_kept_for_weeks() -> None:
    """Rule: clean start off, a bounded window, an expiry in weeks."""
    packet, _ = mqtt5.read(memoryview(Mqtt5().connect(LOGIN)))
    assert isinstance(packet, mqtt5.ConnectPacket)
    assert (packet.client_id, packet.username, packet.password) == ("gw-1", "gateway", "geheim-ü".encode())
    assert (packet.clean_start, packet.keep_alive, packet.receive_max) == (False, 10, 20_000)
    assert packet.session_expiry_interval >= 4 * 7 * 86_400


def test_connect_when_it_is_of_version_3_1_1_then_its_bytes_are_those_of_the_specification() -> None:
    """Rule: §3.1, byte by byte; without a user there are neither flags nor fields."""
    wanted = b"\x10\x24\x00\x04MQTT\x04\xc0\x00\x0a\x00\x04gw-1\x00\x07gateway\x00\x09" + "geheim-ü".encode()
    assert Mqtt311().connect(LOGIN) == wanted
    nobody = Login(client_id="gw-1", username=None, password=None, keep_alive_s=10)
    assert Mqtt311().connect(nobody) == b"\x10\x10\x00\x04MQTT\x04\x00\x00\x0a\x00\x04gw-1"


def test_subscribe_when_written_then_it_asks_for_qos_1() -> None:
    """Rule: messages published from now on do not come marked as retained."""
    packet, _ = mqtt5.read(memoryview(Mqtt5().subscribe(["a/+", "b/#"])))
    assert isinstance(packet, mqtt5.SubscribePacket)
    assert [(one.pattern, one.max_qos, one.retain_as_published) for one in packet.topic_filters] == [
        ("a/+", mqtt5.QoS.AT_LEAST_ONCE, False),
        ("b/#", mqtt5.QoS.AT_LEAST_ONCE, False),
    ]
    assert Mqtt311().subscribe(["a/+", "b/#"]) == b"\x82\x0e\x00\x01\x00\x03a/+\x01\x00\x03b/#\x01"


def refusal(code: mqtt5.ConnAckReasonCode) -> bytes:
    """Return a CONNACK of version 5."""
    return mqtt5.ConnAckPacket(reason_code=code).write()


@pytest.mark.parametrize(
    ("dialect", "packet", "answer"),
    [
        (Mqtt5(), mqtt5.ConnAckPacket(server_keep_alive=4).write(), Answer(keep_alive_s=4)),
        (Mqtt5(), refusal(mqtt5.ConnAckReasonCode.NOT_AUTHORIZED), Answer(problem="refused the user name or password")),
        (Mqtt5(), refusal(mqtt5.ConnAckReasonCode.QUOTA_EXCEEDED), Answer(problem="refused the gateway: reason 0x97")),
        (
            Mqtt5(),
            refusal(mqtt5.ConnAckReasonCode.UNSUPPORTED_PROTOCOL_VERSION),
            Answer(problem="refused the gateway: reason 0x84", other_version=True),
        ),
        (Mqtt5(), b"\x20\x02\x00\x01", Answer(problem="does not speak MQTT 5", other_version=True)),
        (Mqtt311(), b"\x20\x02\x01\x00", Answer()),
        (Mqtt311(), b"\x20\x02\x00\x04", Answer(problem="refused the user name or password")),
        (Mqtt311(), b"\x20\x02\x00\x09", Answer(problem="refused the gateway with code 9")),
    ],
)
def test_answer_when_the_broker_accepts_or_refuses_then_it_is_told_plainly(
    dialect: Dialect, packet: bytes, answer: Answer
) -> None:
    """Rule: only a wrong version is tried again with the other one."""
    assert dialect.answer(packet) == answer


def test_refused_when_the_broker_grants_some_then_the_others_are_named() -> None:
    """Rule: a filter that is not granted is no silent loss."""
    codes = [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE, mqtt5.SubAckReasonCode.NOT_AUTHORIZED]
    assert Mqtt5().refused(mqtt5.SubAckPacket(1, codes).write()) == [None, "not authorized"]
    assert Mqtt311().refused(b"\x90\x04\x00\x01\x01\x80") == [None, "refused"]


def test_farewell_when_the_session_is_taken_over_then_it_says_so() -> None:
    """Rule: two gateways with one id are a mistake that must be seen."""
    packet = mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER).write()
    assert Mqtt5().farewell(packet) == "gave the session to another client with the same id"
    other = mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode.QUOTA_EXCEEDED, reason_str="too much")
    assert Mqtt5().farewell(other.write()) == "ended the connection: too much"


@pytest.mark.parametrize("packet", [b"\x20\x00", b"\x90\x00", b"\xe0\x05\x00", b"\x20\x03\x00\x02\x00"])
def test_dialects_when_a_packet_is_malformed_then_one_clear_error(packet: bytes) -> None:
    """Rule: no other error leaves them."""
    with pytest.raises(SourceError, match="malformed"):
        Mqtt5().answer(packet)
    with pytest.raises(SourceError, match="malformed"):
        Mqtt311().answer(packet[:3])
