"""Frames from an MQTT broker at QoS 1, acknowledged only after they are stored. The one file that knows MQTT.

aiomqtt keeps the connection; paho, inside it, hands over messages and takes acknowledgements. The session is
persistent: what was not acknowledged before a crash or a lost link, the broker delivers again. How much may be
unacknowledged at once is the broker's in-flight window (mosquitto `max_inflight_messages`), which bounds our memory.

A retained message (MQTT 3.1.1 §3.3.1.3) is the last of its topic, sent again on every subscription, at a time that
nobody knows: it is left out and counted, unless the device numbers its readings, so that a second one is known.
"""

import asyncio
import contextlib
import random
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt

from edge.links import Link, LinkStatus
from edge.settings import MqttSettings
from edge.sources.base import Delivery
from edge.sources.mqtt_topics import Topics
from edge.supervise import stop_if_cancelled
from shared.clock import Clock, stamp
from shared.errors import ConfigError
from shared.log import get_logger
from shared.readings import Frame
from shared.retry import Backoff
from shared.settings import read_secret

_log = get_logger("mqtt")
_KEEPALIVE_S = 10
_BACKOFF = Backoff(base_s=0.25, cap_s=5.0)


@dataclass(frozen=True, slots=True)
class _Ticket:
    connection: int
    mid: int
    qos: int


class MqttSource:
    """Everything that publishes through a broker; `retained` counts the retained messages that were left out."""

    name = "mqtt"

    def __init__(self, settings: MqttSettings, client_id: str, clock: Clock) -> None:
        """Raises: ConfigError for topics, files or secrets that cannot be used."""
        self._settings = settings
        self._topics = Topics(settings.topics)
        self._client_id = client_id
        self._clock = clock
        self._tls = _tls_context(settings)
        self._password = read_secret(Path(settings.password_file)) if settings.password_file else None
        self._arrived: list[Delivery] = []
        self._filled = asyncio.Event()
        self._client: aiomqtt.Client | None = None
        self._connection = 0
        self.retained = 0
        self._link = Link("broker", "broker is not reachable", _log, clock)

    @property
    def status(self) -> LinkStatus:
        """The broker's state."""
        return self._link.status

    async def run(self) -> None:
        """Stay connected and subscribed until cancelled."""
        rng = random.Random()
        attempt = 0
        while True:
            try:
                async with self._connect() as client:
                    self._client = client
                    for topic_filter in self._topics.filters:
                        await client.subscribe(topic_filter, qos=1)
                    stop_if_cancelled()  # wait_for drops one that meets its result, before Python 3.12 (bpo-42130)
                    attempt = 0
                    self._link.answered()
                    await _until_disconnected(client)
            except (aiomqtt.MqttError, OSError) as exc:
                self._link.failed(f"{self._settings.host}:{self._settings.port} {_words(exc)}")
            finally:
                self._client = None
            stop_if_cancelled()  # leaving a connection that no longer answers raises MqttError in its place
            await self._clock.sleep(_BACKOFF.delay_s(attempt, rng))
            attempt += 1

    async def receive(self) -> list[Delivery]:
        """Wait for messages and return all that have come."""
        await self._filled.wait()
        arrived, self._arrived = self._arrived, []
        self._filled.clear()
        return arrived

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Send the PUBACKs; those of an earlier connection are left to the broker, which delivers again."""
        if self._client is None:
            return
        paho = self._client._client  # noqa: SLF001  aiomqtt has no manual acknowledgement of its own
        for delivery in deliveries:
            ticket = delivery.ticket
            if isinstance(ticket, _Ticket) and ticket.connection == self._connection:
                paho.ack(ticket.mid, ticket.qos)

    def _connect(self) -> aiomqtt.Client:
        client = aiomqtt.Client(
            self._settings.host,
            self._settings.port,
            username=self._settings.username,
            password=self._password,
            identifier=self._client_id,
            clean_session=False,
            keepalive=_KEEPALIVE_S,
            tls_context=self._tls,
        )
        self._connection += 1
        connection = self._connection
        paho = client._client  # noqa: SLF001  see acknowledge
        paho.manual_ack_set(True)

        def on_message(_client: Any, _userdata: Any, message: Any) -> None:
            self._take(_Ticket(connection, message.mid, message.qos), message)

        # Straight from paho: aiomqtt's own iterator costs a task per message.
        paho.on_message = on_message
        return client

    def _take(self, ticket: _Ticket, message: Any) -> None:
        try:
            topic: str = message.topic
        except UnicodeDecodeError:  # §1.5.3 forbids it; not every broker looks
            topic = ""
        sensor, route = self._topics.find(topic)
        if message.retain and route is not None and not route.counts_itself:
            self.retained += 1
            _log.debug("retained message left out", count=self.retained)
            if self._client is not None:
                self._client._client.ack(ticket.mid, ticket.qos)  # noqa: SLF001  see acknowledge
            return
        channel = f"topic:{topic[:128]}" if route is None else route.channel
        frame = Frame(sensor=sensor, channel=channel, body=message.payload, received=stamp(self._clock))
        self._arrived.append(Delivery(frame=frame, ticket=ticket))
        self._filled.set()


async def _until_disconnected(client: aiomqtt.Client) -> None:
    """Return (or raise MqttError) when the connection ends; messages take the other way, so this queue stays empty."""
    with contextlib.suppress(StopAsyncIteration):
        await anext(client.messages)


def _tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    if settings.ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError("mqtt.ca_file", f"{settings.ca_file}: {exc}") from exc


def _words(exc: Exception) -> str:
    text = str(exc)
    return "refused the connection" if "refused" in text.lower() else text or type(exc).__name__
