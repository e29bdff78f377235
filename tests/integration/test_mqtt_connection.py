"""The MQTT source's connection against a real mosquitto that is restarted, frozen, locked or behind TLS."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge.settings import MqttSettings
from edge.sources.base import Delivery
from edge.sources.mqtt import MqttSource
from edge.sources.mqtt_packets import Dialect
from edge.sources.mqtt_v5 import Mqtt5
from edge.sources.mqtt_v311 import Mqtt311
from firmware_sim.devices.position_tag import position_topic
from firmware_sim.transports.mqtt import MqttPublisher
from shared.clock import Clock, ManualClock, SystemClock
from tests.fakes.broker import Broker
from tests.tools import BOUND_S, require_tool, settled, until

TOPIC = position_topic("tag-01")
BOTH = pytest.mark.parametrize("dialect", [Mqtt5(), Mqtt311()], ids=lambda one: one.name)


@contextlib.asynccontextmanager
async def running(
    broker: Broker, *dialects: Dialect, clock: Clock | None = None, client_id: str = "gw-1", **settings: str
) -> AsyncIterator[MqttSource]:
    """Run a gateway's source."""
    wanted = MqttSettings(host=broker.host, port=broker.port, topics=("position",), **settings)  # type: ignore[arg-type]
    source = MqttSource(wanted, client_id, clock or SystemClock(), dialects=dialects or (Mqtt5(), Mqtt311()))
    task = asyncio.create_task(source.run())
    try:
        yield source
    finally:
        task.cancel()
        await asyncio.wait({task})


@contextlib.asynccontextmanager
async def publishing(broker: Broker) -> AsyncIterator[MqttPublisher]:
    """Run a device's network that sends again what the broker did not acknowledge."""
    publisher = MqttPublisher(
        host=broker.host,
        port=broker.port,
        identifier="device",
        clock=SystemClock(),
        on_acked=lambda _: None,
        on_given_up=lambda _: pytest.fail("given up"),
    )
    task = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        task.cancel()
        await asyncio.wait({task})


async def publish(broker: Broker, *bodies: bytes) -> None:
    """Publish and wait for the broker's word."""
    async with publishing(broker) as publisher, asyncio.timeout(BOUND_S):
        for ticket, body in enumerate(bodies):
            publisher.publish(TOPIC, body, ticket)
        await publisher.settled()


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


async def until_up(source: MqttSource) -> None:
    """Wait until it is connected and subscribed."""
    await until(lambda: source.status.up, bound_s=20)


async def until_problem(source: MqttSource, words: str) -> None:
    """Wait until the source says this."""
    await until(lambda: words in (source.status.problem or ""), bound_s=20)


@BOTH
async def test_source_when_the_broker_restarts_then_the_session_goes_on(own_broker: Broker, dialect: Dialect) -> None:
    """Rule: over a restart nothing is lost: what was held, what was sent meanwhile; what was acknowledged stays so."""
    own_broker.start()
    async with running(own_broker, dialect) as source:
        await until_up(source)
        await publish(own_broker, b"stored", b"not stored")
        first = await received(source, 2)
        source.acknowledge(first[:1])
        await publish(own_broker, b"a round trip that proves the acknowledgement")
        first += await received(source, 1)
        own_broker.stop()
        await until(lambda: not source.status.up)
    own_broker.start()
    await publish(own_broker, b"while away")
    async with running(own_broker, dialect) as source:
        again = await received(source, 3)
        assert bodies(again) == [b"not stored", b"a round trip that proves the acknowledgement", b"while away"]


@BOTH
async def test_source_when_acknowledgements_are_of_an_earlier_connection_then_they_are_not_sent(
    own_broker: Broker, dialect: Dialect
) -> None:
    """Rule: the new connection's message has the old one's packet id; an old acknowledgement must not give it away."""
    own_broker.start()
    async with running(own_broker, dialect) as source:
        await until_up(source)
        await publish(own_broker, b"one")
        old = await received(source, 1)
        own_broker.stop()
        await until(lambda: not source.status.up)
        own_broker.start()
        new = await received(source, 1)
        assert [int(one.ticket) & 0xFFFF for one in old] == [int(one.ticket) & 0xFFFF for one in new]  # type: ignore[call-overload]
        source.acknowledge(old)
        await publish(own_broker, b"a round trip")
        await received(source, 1)
    async with running(own_broker, dialect) as source:
        assert bodies(await received(source, 2)) == [b"one", b"a round trip"]


@BOTH
async def test_source_when_the_broker_falls_silent_then_it_is_noticed_and_left(
    own_broker: Broker, dialect: Dialect
) -> None:
    """Rule: an open connection proves nothing; two pings without an answer end it, and it is tried again."""
    own_broker.start()
    clock = ManualClock()
    async with running(own_broker, dialect, clock=clock) as source:
        await until_up(source)
        own_broker.freeze()
        for _ in range(3):
            clock.advance(5)
            await settled()
        await until_problem(source, "stopped answering")
        own_broker.thaw()
        clock.advance(5)
        await until_up(source)
        await publish(own_broker, b"x")
        assert bodies(await received(source, 1)) == [b"x"]


@BOTH
async def test_source_when_the_broker_answers_pings_then_it_stays(own_broker: Broker, dialect: Dialect) -> None:
    """Rule: silence of the devices is no silence of the broker; the broker hears the gateway too."""
    own_broker.start()
    clock = ManualClock()
    async with running(own_broker, dialect, clock=clock) as source:
        await until_up(source)
        since_ns = source.status.since_ns
        for body in (b"%d" % i for i in range(8)):
            clock.advance(5)
            await publish(own_broker, body)  # a round trip: the answer to the ping is here before it
            assert bodies(await received(source, 1)) == [body]
        assert (source.status.up, source.status.since_ns) == (True, since_ns)


@BOTH
async def test_source_when_the_password_is_wrong_then_it_says_so_and_connects_once_it_is_right(
    tmp_path: Path, dialect: Dialect
) -> None:
    """Rule: a refusal is told in plain words with the broker's address, never the password."""
    words = tmp_path / "passwords"
    program = require_tool("mosquitto_passwd")
    made = await asyncio.create_subprocess_exec(program, "-b", "-c", str(words), "gateway", "right")
    assert await made.wait() == 0
    password = tmp_path / "password"
    broker = Broker(
        require_tool("mosquitto"), tmp_path / "b", settings=f"allow_anonymous false\npassword_file {words}\n"
    )
    broker.start()
    try:
        password.write_text("wrong\n")
        password.chmod(0o600)
        async with running(broker, dialect, username="gateway", password_file=str(password)) as source:
            await until_problem(source, f"{broker.port} refused the user name or password")
        password.write_text("right\n")
        async with running(broker, dialect, username="gateway", password_file=str(password)) as source:
            await until_up(source)
    finally:
        broker.stop()


async def test_source_when_the_broker_shows_a_certificate_then_only_its_own_authority_is_trusted(
    tmp_path: Path,
) -> None:
    """Rule: with ca_file the connection is TLS; a stranger's certificate is refused in plain words."""
    lines = write_authority(tmp_path / "ours")
    write_authority(tmp_path / "theirs")
    broker = Broker(require_tool("mosquitto"), tmp_path / "b", settings=f"allow_anonymous true\n{lines}")
    broker.start()
    try:
        async with running(broker, ca_file=str(tmp_path / "theirs" / "ca.pem")) as source:
            await until_problem(source, "certificate that is not trusted")
        async with running(broker, client_id="plain") as source:
            await until_problem(source, "before it answered")
        async with running(broker, ca_file=str(tmp_path / "ours" / "ca.pem")) as source:
            await until_up(source)
    finally:
        broker.stop()


async def test_source_when_intake_does_not_read_then_what_is_held_stays_bounded(own_broker: Broker) -> None:
    """Rule: beyond 32 MB of bodies the socket is not read; once they are stored the rest comes, and nothing is lost."""
    own_broker.start()
    body = bytes(1_000_000)
    async with running(own_broker, Mqtt311()) as source, publishing(own_broker) as publisher:
        await until_up(source)
        for ticket in range(60):
            publisher.publish(TOPIC, body, ticket)
        async with asyncio.timeout(BOUND_S):
            await publisher.settled()
        first = await received(source, 33)
        await settled(200)
        assert 33 <= len(first) + len(source._arrived) < 36
        source.acknowledge(first)
        rest: list[Delivery] = []
        while len(first) + len(rest) < 60:
            rest += (more := await received(source, 1))
            source.acknowledge(more)


async def test_source_when_a_backlog_stands_before_the_answer_to_its_subscription_then_it_waits(
    own_broker: Broker,
) -> None:
    """Rule: a connection that is held back, or busy with what it missed, is not given up for a late answer."""
    own_broker.start()
    async with running(own_broker, Mqtt311()) as source:
        await until_up(source)
    sent = [i.to_bytes(2, "big") + bytes(1_000_000) for i in range(60)]
    await publish(own_broker, *sent)
    clock = ManualClock()
    async with running(own_broker, Mqtt311(), clock=clock) as source:
        arrived = await received(source, 34)  # over 32 MiB: from here on it does not read
        for _ in range(6):
            clock.advance(5)
            await settled()
        assert not source.status.up
        source.acknowledge(arrived)
        while len(arrived) < len(sent):
            arrived += (more := await received(source, 1))
            source.acknowledge(more)
        assert bodies(arrived) == sent
        await until_up(source)


async def test_source_when_a_message_is_too_long_then_it_is_named_and_the_session_goes_on(own_broker: Broker) -> None:
    """Rule: its front is kept under a channel that goes to quarantine; acknowledged, it never comes again."""
    own_broker.start()
    async with running(own_broker) as source:
        await until_up(source)
        await publish(own_broker, b"1", b"A" * 3_000_000, b"2")
        deliveries = await received(source, 3)
        assert [one.frame.channel for one in deliveries] == ["position", f"oversize:{TOPIC}", "position"]
        source.acknowledge(deliveries)
        await publish(own_broker, b"3")
        source.acknowledge(await received(source, 1))
        await publish(own_broker, b"4")
        await received(source, 1)
    async with running(own_broker) as source:
        assert bodies(await received(source, 1)) == [b"4"]


async def test_source_when_mosquitto_has_its_own_defaults_then_thousands_may_be_unacknowledged(
    tmp_path: Path,
) -> None:
    """Rule: MQTT 5 lets the gateway say how much it takes at once; mosquitto's default would be 20."""
    broker = Broker(require_tool("mosquitto"), tmp_path / "b", window=20)
    broker.start()
    try:
        async with running(broker) as source:
            await until_up(source)
            await publish(broker, *[b"%d" % i for i in range(5000)])
            assert bodies(await received(source, 5000)) == [b"%d" % i for i in range(5000)]
    finally:
        broker.stop()


def write_authority(folder: Path) -> str:
    """Write a certificate authority and a server certificate of 127.0.0.1; return mosquitto's lines for it."""
    folder.mkdir()
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, folder.name)])
    ca = _certificate(ca_name, ca_name, ca_key.public_key(), ca_key, authority=True)
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    server = _certificate(server_name, ca_name, key.public_key(), ca_key, authority=False)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "server.pem").write_bytes(server.public_bytes(pem))
    (folder / "server.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return f"cafile {folder}/ca.pem\ncertfile {folder}/server.pem\nkeyfile {folder}/server.key\n"


def _certificate(
    name: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
) -> x509.Certificate:
    begin = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=36_500))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(signer, hashes.SHA256())
    )
