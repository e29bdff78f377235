"""One connection to a broker on asyncio: log in, subscribe, ping, hand over what comes, acknowledge, leave."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence
from typing import cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.sources.mqtt_inbox import Arrived, Inbox, KnownTopics
from edge.sources.mqtt_packets import (
    CONNACK,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    SUBACK,
    Answer,
    Dialect,
    Login,
    acknowledgements,
    malformed,
)
from shared.clock import Clock, stamp
from shared.errors import SourceError

KEEP_ALIVE_S = 10
"""A broker bears 1.5 times this without a word (§3.1.2.10)."""

_PING_S = 5.0
# Pings in a row without a byte from the broker; one may be the fault of a loop that was held up.
_UNANSWERED = 2
_REACH_S = 10.0
_LEAVE_S = 1.0


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is, and how to be let in."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    login: Login


class MqttConnection(asyncio.Protocol):
    """`number` tells this connection from earlier ones: a packet id means nothing on another (§2.2.1)."""

    def __init__(
        self, number: int, dialect: Dialect, topics: KnownTopics, on_arrived: Callable[[Arrived], None], clock: Clock
    ) -> None:
        self.number = number
        self._dialect = dialect
        self._inbox = Inbox(topics, number, properties=dialect.has_properties)
        self._on_arrived = on_arrived
        self._clock = clock
        self._transport: asyncio.Transport | None = None
        loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Answer] = loop.create_future()
        self._subscribed: asyncio.Future[list[str | None]] = loop.create_future()
        self._ended: asyncio.Future[str] = loop.create_future()
        """Why it is over."""
        self._closed: asyncio.Future[None] = loop.create_future()
        self._pinging: asyncio.Task[None] | None = None
        self._ping_s = _PING_S
        self._unanswered = 0
        self._paused = False

    async def open(self, place: Place) -> Answer:
        """Reach the broker and log in; the answer may be a refusal.

        Raises: OSError and SourceError where nobody answers.
        """
        async with asyncio.timeout(_REACH_S):
            await asyncio.get_running_loop().create_connection(lambda: self, place.host, place.port, ssl=place.tls)
        self._write(self._dialect.connect(place.login))
        try:
            async with asyncio.timeout(self._dialect.patience_s):
                answer = await self._answer
        except TimeoutError:
            return Answer(problem="does not answer", other_version=True)
        if answer.keep_alive_s:  # §3.2.2.3.14: it must be kept to
            self._ping_s = min(_PING_S, answer.keep_alive_s / 2)
        self._pinging = asyncio.create_task(self._ping(), name="mqtt ping")
        return answer

    async def subscribe(self, filters: Sequence[str]) -> None:
        """Ask for topics. Raises: SourceError when the broker does not grant one."""
        self._write(self._dialect.subscribe(filters))
        refused = await self._subscribed  # without a bound of its own: it may stand behind a day's backlog
        for topic_filter, problem in zip(filters, refused, strict=False):
            if problem is not None:
                raise SourceError("broker", f"does not let the gateway subscribe to {topic_filter}: {problem}")

    async def stay(self) -> str:
        """Wait until the connection ends, and return why it did."""
        return await asyncio.shield(self._ended)

    async def leave(self) -> None:
        """End it with a DISCONNECT where the other end still listens, and at once where it does not."""
        if self._pinging is not None:
            self._pinging.cancel()
            await asyncio.wait({self._pinging})
        if self._transport is None:
            return
        if not self._ended.done():
            self._write(self._dialect.disconnect)
            self._transport.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                await asyncio.shield(self._closed)
        self._transport.abort()

    def acknowledge(self, packet_ids: NDArray[np.int64]) -> None:
        """Send a PUBACK for each, all in one write."""
        self._write(acknowledgements(packet_ids))

    def pause(self) -> None:
        """Let the broker keep what it has, until `resume`."""
        if not self._paused and self._is_open():
            self._paused = True
            self._transport.pause_reading()  # type: ignore[union-attr]

    def resume(self) -> None:
        """Read on."""
        if self._paused and self._is_open():
            self._paused = False
            self._unanswered = 0
            self._transport.resume_reading()  # type: ignore[union-attr]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._ended.done():
            return
        self._unanswered = 0
        try:
            arrived = self._inbox.take(data, stamp(self._clock))
            for packet in arrived.controls:
                self._control(packet)
        except SourceError as exc:
            self._end(exc.problem)
            return
        if arrived.deliveries or arrived.passed_over:
            self._on_arrived(arrived)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._end(f"connection lost: {exc}" if exc else "closed the connection")
        if not self._closed.done():
            self._closed.set_result(None)

    def _control(self, packet: bytes) -> None:
        kind = packet[0] & 0xF0
        if kind == CONNACK and not self._answer.done():
            self._answer.set_result(self._dialect.answer(packet))
        elif kind == SUBACK and not self._subscribed.done():
            self._subscribed.set_result(self._dialect.refused(packet))
        elif kind == DISCONNECT:
            self._end(self._dialect.farewell(packet))
        elif kind != PINGRESP:
            raise malformed(f"packet of kind {kind >> 4}")

    async def _ping(self) -> None:
        while True:
            await self._clock.sleep(self._ping_s)
            if self._unanswered >= _UNANSWERED and not self._paused:
                self._end("stopped answering")
            self._unanswered += 1
            self._write(PINGREQ)

    def _end(self, why: str) -> None:
        """Remember why it is over, tell whoever waits, and drop what is left of it."""
        if not self._ended.done():
            self._ended.set_result(why)
        if not self._answer.done():
            self._answer.set_result(Answer(problem=f"{why} before it answered", other_version=True))
        if not self._subscribed.done():
            self._subscribed.set_exception(SourceError("broker", why))
            self._subscribed.exception()  # retrieved, whether anybody waits or not
        if self._transport is not None:
            self._transport.abort()

    def _is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _write(self, data: bytes) -> None:
        if self._is_open():
            self._transport.write(data)  # type: ignore[union-attr]
