"""The MQTT source against a real mosquitto: QoS 1, acknowledged when stored, redelivered when not."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable

import aiomqtt
import pytest

from edge.settings import MqttSettings
from edge.sources.base import Delivery
from edge.sources.mqtt import MqttSource
from shared.clock import SystemClock
from tests.fakes.broker import Broker
from tests.tools import BOUND_S, until


@pytest.fixture
def name() -> str:
    """A word of the test's own for client ids and topics."""
    return secrets.token_hex(4)


@contextlib.asynccontextmanager
async def running(broker: Broker, name: str) -> AsyncIterator[MqttSource]:
    """Run a gateway's source with a fixed client id."""
    topics = (f"{name}/tags/+/position",)
    source = MqttSource(MqttSettings(host=broker.host, port=broker.port, topics=topics), f"gw-{name}", SystemClock())
    task = asyncio.create_task(source.run())
    try:
        yield source
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def publish(broker: Broker, *messages: tuple[str, bytes]) -> None:
    """Publish at QoS 1 and wait for the broker's word."""
    async with aiomqtt.Client(broker.host, broker.port) as client:
        for topic, body in messages:
            await client.publish(topic, body, qos=1)


async def received(source: MqttSource, count: int) -> list[Delivery]:
    """Wait for this many messages."""
    arrived: list[Delivery] = []
    async with asyncio.timeout(BOUND_S):
        while len(arrived) < count:
            arrived += await source.receive()
    return arrived


def bodies(deliveries: list[Delivery]) -> list[bytes]:
    """Return what came."""
    return [delivery.frame.body for delivery in deliveries]


def is_up(source: MqttSource) -> Callable[[], bool]:
    """Return a question for `until`."""
    return lambda: source.status.up


async def test_source_when_tags_publish_then_frames_carry_sensor_channel_and_body(broker: Broker, name: str) -> None:
    """Rule: the topic names the sensor; the last word is the channel; order is kept."""
    async with running(broker, name) as source:
        await until(is_up(source))
        await publish(broker, *[(f"{name}/tags/tag-01/position", b"%d" % i) for i in range(50)])
        deliveries = await received(source, 50)
        assert bodies(deliveries) == [b"%d" % i for i in range(50)]
        assert {(d.frame.sensor, d.frame.channel) for d in deliveries} == {("tag-01", "position")}


async def test_source_when_a_message_is_not_acknowledged_then_it_comes_again_after_a_reconnect(
    broker: Broker, name: str
) -> None:
    """Rule: what was not stored is the broker's to deliver again, to the same client id; what was stored is not."""
    topic = f"{name}/tags/tag-01/position"
    async with running(broker, name) as source:
        await until(is_up(source))
        await publish(broker, (topic, b"stored"), (topic, b"lost in a crash"))
        deliveries = await received(source, 2)
        source.acknowledge(deliveries[:1])
        # The broker counts an acknowledgement when it has read it: a later round trip proves that it has.
        await publish(broker, (topic, b"lost too"))
        await received(source, 1)
    async with running(broker, name) as again:
        deliveries = await received(again, 2)
        assert bodies(deliveries) == [b"lost in a crash", b"lost too"]
        again.acknowledge(deliveries)
        await publish(broker, (topic, b"next"))
        again.acknowledge(await received(again, 1))
        await publish(broker, (topic, b"after"))
        assert bodies(await received(again, 1)) == [b"after"]
    async with running(broker, name) as third:
        assert bodies(await received(third, 1)) == [b"after"]


async def test_source_when_tags_publish_while_it_is_away_then_nothing_is_missing(broker: Broker, name: str) -> None:
    """Rule: the session is persistent; the broker keeps what comes while the gateway is down."""
    async with running(broker, name) as source:
        await until(is_up(source))
    await publish(broker, *[(f"{name}/tags/tag-01/position", b"%d" % i) for i in range(200)])
    async with running(broker, name) as again:
        deliveries = await received(again, 200)
        assert bodies(deliveries) == [b"%d" % i for i in range(200)]
        again.acknowledge(deliveries)


async def test_source_when_an_acknowledgement_is_for_an_earlier_connection_then_it_is_not_sent(
    own_broker: Broker, name: str
) -> None:
    """Rule: packet ids of one connection mean nothing on the next; the broker delivers again."""
    own_broker.start()
    topic = f"{name}/tags/tag-01/position"
    async with running(own_broker, name) as source:
        await until(is_up(source))
        await publish(own_broker, (topic, b"one"))
        old = await received(source, 1)
        own_broker.stop()
        await until(lambda: not source.status.up)
        source.acknowledge(old)
        own_broker.start()
        await until(is_up(source))
        again = await received(source, 1)
        assert bodies(again) == [b"one"]
        source.acknowledge(old)
        source.acknowledge(again)


async def test_source_when_the_broker_is_down_at_the_start_then_it_says_so_and_connects_later(
    own_broker: Broker, name: str
) -> None:
    """Rule: a missing broker is a status with plain words, not a failure."""
    async with running(own_broker, name) as source:
        await until(lambda: (source.status.problem or "").endswith("refused the connection"))
        assert not source.status.up
        own_broker.start()
        await until(is_up(source), bound_s=15)
        assert source.status.problem is None
        await publish(own_broker, (f"{name}/tags/tag-01/position", b"x"))
        assert bodies(await received(source, 1)) == [b"x"]


async def test_source_when_a_topic_is_malformed_then_the_frame_comes_without_a_name(broker: Broker, name: str) -> None:
    """Rule: a bad topic loses no message and stops nothing: it is quarantined like any unknown device."""
    async with running(broker, name) as source:
        await until(is_up(source))
        await publish(
            broker,
            (f"{name}/tags/no good!/position", b"1"),
            (f"{name}/tags//position", b"2"),
            (f"{name}/tags/{'x' * 200}/position", b"3"),
            (f"{name}/tags/tag-01/position", b"4"),
        )
        deliveries = await received(source, 4)
        assert [d.frame.sensor for d in deliveries] == ["unnamed", "unnamed", "unnamed", "tag-01"]
        assert bodies(deliveries) == [b"1", b"2", b"3", b"4"]
