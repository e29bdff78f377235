"""The bytes of one MQTT connection: whatever their pieces, the same frames; bounded; no device stops it."""

import contextlib

import mqtt5
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.settings import MqttTopic
from edge.sources.base import Delivery
from edge.sources.mqtt_inbox import MAX_PACKET_BYTES, Arrived, Inbox, KnownTopics
from edge.sources.mqtt_packets import acknowledgements, read_length, write_length
from edge.sources.mqtt_topics import Topics
from shared.clock import Stamp
from shared.errors import SourceError

AT = Stamp(utc_ns=1, mono_ns=2, boot_id="boot-0")
TOPIC = "sideline/tags/tag-01/position"
PINGRESP = b"\xd0\x00"


def known() -> KnownTopics:
    """Return topics of one format that counts its readings and one that does not."""
    return KnownTopics(Topics(["position", MqttTopic(topic="owntracks/+/{sensor}", format="owntracks")]))


def inbox(*, connection: int = 3, properties: bool = True) -> Inbox:
    """Return an empty one."""
    return Inbox(known(), connection, properties=properties)


def published(
    body: bytes, *, topic: bytes = TOPIC.encode(), packet_id: int = 0, head: int = 0, properties: bytes | None = b""
) -> bytes:
    """Return a PUBLISH by the specification's tables; without an id it is of QoS 0, without properties of 3.1.1."""
    rest = len(topic).to_bytes(2, "big") + topic
    if packet_id:
        head |= 2
        rest += packet_id.to_bytes(2, "big")
    if properties is not None:
        rest += write_length(len(properties)) + properties
    rest += body
    return bytes([0x30 | head]) + write_length(len(rest)) + rest


def seen(deliveries: list[Delivery]) -> list[tuple[str, str, bytes, object]]:
    """Return what a test compares."""
    return [(one.frame.sensor, one.frame.channel, one.frame.body, one.ticket) for one in deliveries]


def taken(box: Inbox, *pieces: bytes) -> Arrived:
    """Feed pieces and return all that came of them."""
    every = Arrived()
    for piece in pieces:
        arrived = box.take(piece, AT)
        every.deliveries += arrived.deliveries
        every.passed_over += arrived.passed_over
        every.controls += arrived.controls
    return every


versions = st.sampled_from((5, 3))
bodies_sent = st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 65_535)), max_size=12)


@given(bodies_sent, versions, st.lists(st.integers(1, 200), min_size=1, max_size=20))
def test_inbox_when_bytes_come_in_any_pieces_then_the_frames_are_the_same(
    sent: list[tuple[bytes, int]], version: int, sizes: list[int]
) -> None:
    """Rule: TCP cuts where it likes: half a packet, several packets, or one byte a read."""
    packets = [published(body, packet_id=one, properties=b"" if version == 5 else None) for body, one in sent]
    stream = PINGRESP.join([b"", *packets, b""])
    pieces, at = [], 0
    while at < len(stream):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream[at : at + size])
        at += size
    arrived = taken(inbox(properties=version == 5), *pieces)
    wanted = [("tag-01", "position", body, 3 << 16 | one if one else 0) for body, one in sent]
    assert seen(arrived.deliveries) == wanted
    assert arrived.controls == [PINGRESP] * (len(sent) + 1)


@given(st.binary(max_size=400), st.integers(1, 65_535), st.sampled_from(("", "x" * 200)))
def test_inbox_when_another_implementation_writes_the_packet_then_it_reads_the_same(
    body: bytes, packet_id: int, kind: str
) -> None:
    """Rule: mqtt5 is the second opinion; properties of a publisher are passed over, short or long."""
    packet = mqtt5.PublishPacket(
        TOPIC,
        body,
        qos=mqtt5.QoS.AT_LEAST_ONCE,
        packet_id=packet_id,
        duplicate=bool(kind),
        content_type=kind or None,
        user_properties=[("a", "b")] if kind else None,
    ).write()
    assert seen(taken(inbox(), packet).deliveries) == [("tag-01", "position", body, 3 << 16 | packet_id)]


def test_inbox_when_a_retained_message_is_of_an_uncounted_format_then_it_is_passed_over() -> None:
    """Rule: it can be acknowledged, and no frame comes of it; where readings are numbered it is a frame."""
    arrived = taken(
        inbox(),
        published(b"{}", topic=b"owntracks/a/b", packet_id=7, head=1)
        + published(b"1", packet_id=8, head=1)
        + published(b"{}", topic=b"owntracks/a/b", packet_id=9),
    )
    assert arrived.passed_over == [3 << 16 | 7]
    assert [one.ticket for one in arrived.deliveries] == [3 << 16 | 8, 3 << 16 | 9]


@pytest.mark.parametrize("topic", [b"\xff\xfe", b"sideline/tags/\xc3/position", b"no/pattern", b""])
def test_inbox_when_a_topic_is_bad_then_its_frame_has_no_name_and_the_next_comes(topic: bytes) -> None:
    """Rule: not every broker looks at topics; such a message goes to quarantine under a channel that nobody reads."""
    arrived = taken(inbox(), published(b"1", topic=topic, packet_id=5) + published(b"2"))
    assert [one.frame.body for one in arrived.deliveries] == [b"1", b"2"]
    assert arrived.deliveries[0].frame.sensor == "unnamed"
    assert arrived.deliveries[0].frame.channel.startswith("topic:")


@pytest.mark.parametrize("piece", [4096, 1 << 18, 3 << 20])
@pytest.mark.parametrize("version", [5, 3])
def test_inbox_when_a_message_is_too_long_then_its_front_is_kept_and_the_next_comes(piece: int, version: int) -> None:
    """Rule: bounded memory; the message is acknowledged like any other, under a channel that nobody reads."""
    none = b"" if version == 5 else None
    long = published(b"A" * (MAX_PACKET_BYTES + 5), packet_id=9, properties=none)
    stream = published(b"1", properties=none) + long + published(b"2", properties=none)
    box, deliveries = inbox(properties=version == 5), []
    for at in range(0, len(stream), piece):
        deliveries += box.take(stream[at : at + piece], AT).deliveries
        assert len(box._kept) <= 2 * MAX_PACKET_BYTES
    assert seen(deliveries) == [
        ("tag-01", "position", b"1", 0),
        ("tag-01", f"oversize:{TOPIC}", b"A" * 4096, 3 << 16 | 9),
        ("tag-01", "position", b"2", 0),
    ]


def test_inbox_when_the_longest_message_comes_then_it_is_whole() -> None:
    """Rule: the bound is what it says."""
    spare = MAX_PACKET_BYTES - len(published(b"A" * 1_000_000)) + 1_000_000
    packet = published(b"A" * spare)
    assert len(packet) == MAX_PACKET_BYTES
    assert [len(one.frame.body) for one in taken(inbox(), packet[:70_000], packet[70_000:]).deliveries] == [spare]


@pytest.mark.parametrize(
    "stream",
    [
        b"\x32\xff\xff\xff\xff\x01",  # a length that never ends (§1.5.5)
        b"\x30\x00",  # no topic
        b"\x30\x03\x00\x09a",  # a topic that is longer than its packet
        b"\x32\x04\x00\x01a\x00" + b"\x00" * 9,  # no packet id
        b"\x34\x06\x00\x01a\x00\x01\x00",  # QoS 2, which nobody asked for
        b"\x30\x04\x00\x01a\x09",  # properties that are longer than the packet
        b"\x90\xff\xff\xff\x7f\x00",  # a control packet of 256 MB
    ],
)
def test_inbox_when_the_broker_breaks_the_protocol_then_one_clear_error(stream: bytes) -> None:
    """Rule: bytes that cannot be in step again end the connection."""
    with pytest.raises(SourceError, match="malformed"):
        inbox().take(stream + b"\x00" * 20, AT)


@given(st.binary(max_size=200), versions)
def test_inbox_when_given_any_bytes_then_frames_or_source_error(data: bytes, version: int) -> None:
    """Rule: no other error, whatever comes."""
    with contextlib.suppress(SourceError):
        arrived = inbox(properties=version == 5).take(data, AT)
        assert len(arrived.deliveries) + len(arrived.controls) <= len(data) / 2


def test_known_topics_when_strangers_publish_on_endless_topics_then_memory_stays_bounded() -> None:
    """Rule: the memory of topics is emptied when it is full, long topics never enter, and answers stay right."""
    topics = known()
    for i in range(40_000):
        assert topics[f"owntracks/x/{i}".encode()].sensor == str(i)
    assert len(topics) <= 16_384
    assert topics[b"owntracks/x/7"].sensor == "7"
    assert topics[b"x" * 300].sensor == "unnamed"
    assert b"x" * 300 not in topics


@given(st.integers(0, 268_435_455))
def test_length_when_written_then_it_is_read_again(length: int) -> None:
    """Rule: §1.5.5, one to four bytes; part of one says that more must come."""
    raw = write_length(length)
    assert read_length(raw + b"\x00", 0) == (length, len(raw))
    assert read_length(raw[:-1], 0) == (0, 0)


@given(st.lists(st.integers(1, 65_535), min_size=1, max_size=50))
def test_acknowledgements_when_written_then_mqtt5_reads_each(ids: list[int]) -> None:
    """Rule: one PUBACK a message, in order, all in one write."""
    view, read = memoryview(acknowledgements(np.array(ids, np.int64))), []
    while view:
        packet, size = mqtt5.read(view)
        assert isinstance(packet, mqtt5.PubAckPacket)
        read.append(packet.packet_id)
        view = view[size:]
    assert read == ids
