"""Frames from an MQTT broker at QoS 1, acknowledged only after they are stored.

The session is persistent: what was not acknowledged before a crash or a lost link, the broker delivers again. It asks
for MQTT 5, where the gateway says how much may be unacknowledged, and takes 3.1.1 from a broker that knows nothing
newer; what is held for bodies is bounded in bytes too.

A retained message (MQTT 3.1.1 §3.3.1.3) is the last of its topic, sent again on every subscription, at a time that
nobody knows: it is left out and counted, unless the device numbers its readings, so that a second one is known.
"""

import asyncio
import errno
import random
import ssl
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.links import Link, LinkStatus
from edge.settings import MqttSettings
from edge.sources.base import Delivery
from edge.sources.mqtt_connection import KEEP_ALIVE_S, MqttConnection, Place
from edge.sources.mqtt_inbox import Arrived, KnownTopics
from edge.sources.mqtt_packets import Answer, Dialect, Login
from edge.sources.mqtt_topics import Topics
from edge.sources.mqtt_v5 import Mqtt5
from edge.sources.mqtt_v311 import Mqtt311
from edge.supervise import stop_if_cancelled
from shared.clock import NS_PER_S, Clock
from shared.errors import ConfigError, SourceError
from shared.log import get_logger
from shared.retry import Backoff
from shared.settings import read_secret

_log = get_logger("mqtt")
_BACKOFF = Backoff(base_s=0.25, cap_s=5.0)
# A connection that lasted so long begins the back-off anew; two gateways with one id would else take turns at once.
_LASTING_NS = 10 * NS_PER_S
_DIALECTS: tuple[Dialect, ...] = (Mqtt5(), Mqtt311())
# What may lie between the socket and a commit; beyond it the socket is not read, below half of it it is again.
_MOST_HELD_BYTES = 32 << 20
# What a frame costs beside its body.
_FRAME_BYTES = 400
_ID_BITS = 16
_ID_MASK = 0xFFFF


class MqttSource:
    """Everything that publishes through a broker; `retained` counts the retained messages that were left out."""

    name = "mqtt"

    def __init__(
        self, settings: MqttSettings, client_id: str, clock: Clock, *, dialects: Sequence[Dialect] = _DIALECTS
    ) -> None:
        """`dialects` are tried in order. Raises: ConfigError for topics, files or secrets that cannot be used."""
        topics = Topics(settings.topics)
        self._filters = topics.filters
        self._known = KnownTopics(topics)
        password = read_secret(Path(settings.password_file)) if settings.password_file else None
        self._place = Place(
            host=settings.host,
            port=settings.port,
            tls=_tls_context(settings),
            login=Login(client_id=client_id, username=settings.username, password=password, keep_alive_s=KEEP_ALIVE_S),
        )
        self._dialects = dialects
        self._clock = clock
        self._arrived: list[Delivery] = []
        self._filled = asyncio.Event()
        self._connection: MqttConnection | None = None
        self._connections = 0
        self._held_bytes = 0
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
                connection = await self._connect()
                await connection.subscribe(self._filters)
                self._link.answered()
                began_ns = self._clock.mono_ns()
                self._failed(await connection.stay())
                if self._clock.mono_ns() - began_ns > _LASTING_NS:
                    attempt = 0
            except (SourceError, OSError) as exc:
                self._failed(_words(exc))
            finally:
                await self._leave()
            stop_if_cancelled()
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
        self._held_bytes -= _size(deliveries)
        self._send_acknowledgements([delivery.ticket for delivery in deliveries])
        if self._connection is not None and self._held_bytes < _MOST_HELD_BYTES // 2:
            self._connection.resume()

    async def _connect(self) -> MqttConnection:
        """Log in with the first version that the broker speaks. Raises: SourceError or OSError when there is none."""
        answer = Answer(problem="speaks no version that the gateway does")
        for dialect in self._dialects:
            self._connections += 1
            connection = MqttConnection(self._connections, dialect, self._known, self._take, self._clock)
            # Before it is open: what the session holds comes right behind the broker's answer.
            self._connection = connection
            answer = await connection.open(self._place)
            if answer.problem is None:
                log = _log.debug if dialect is self._dialects[0] else _log.info
                log("logged in", version=dialect.name)
                return connection
            await self._leave()
            if not answer.other_version:
                break
        raise SourceError("broker", answer.problem or "")

    async def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.leave()

    def _take(self, arrived: Arrived) -> None:
        if arrived.passed_over:
            self.retained += len(arrived.passed_over)
            _log.debug("retained messages left out", count=self.retained)
            self._send_acknowledgements(arrived.passed_over)
        if not arrived.deliveries:
            return
        self._arrived += arrived.deliveries
        self._filled.set()
        self._held_bytes += _size(arrived.deliveries)
        if self._held_bytes > _MOST_HELD_BYTES and self._connection is not None:
            self._connection.pause()

    def _send_acknowledgements(self, tickets: Sequence[object]) -> None:
        """Send a PUBACK for each ticket of this connection; one of QoS 0 belongs to none."""
        if self._connection is None:
            return
        every = np.array(tickets, np.int64)
        ours = every[every >> _ID_BITS == self._connection.number]
        if len(ours):
            self._connection.acknowledge(ours & _ID_MASK)

    def _failed(self, problem: str) -> None:
        self._link.failed(f"{self._place.host}:{self._place.port} {problem}")


def _size(deliveries: Sequence[Delivery]) -> int:
    """Return about how many bytes these take."""
    return sum([len(delivery.frame.body) for delivery in deliveries]) + _FRAME_BYTES * len(deliveries)


def _tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    if settings.ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError("mqtt.ca_file", f"{settings.ca_file}: {exc}") from exc


def _words(exc: SourceError | OSError) -> str:
    if isinstance(exc, SourceError):
        return exc.problem
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"shows a certificate that is not trusted: {exc.verify_message}"
    if isinstance(exc, TimeoutError):
        return "does not answer"
    # With several addresses of one name asyncio has an error that only quotes the others.
    if isinstance(exc, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(exc):
        return "refused the connection"
    return str(exc) or type(exc).__name__
