"""The simulator's own MQTT 3.1.1 publisher at the level of bytes: many PUBLISH in one write, PUBACKs counted by slices.

Sections are those of MQTT 3.1.1.
"""

import asyncio
import struct
from collections.abc import Sequence
from typing import Protocol, cast

from shared.clock import Clock
from shared.errors import SourceError
from shared.log import FailureLog, get_logger

RETRY_S = 1.0
KEEP_ALIVE_S = 30
MOST_IDS = 0xFFFF
"""§2.3.1: an id is 1 to 65,535."""
IDS = tuple(number.to_bytes(2, "big") for number in range(MOST_IDS + 1))
"""Each packet id as it stands in a packet."""

_ANSWER_S = 5.0
_PUBLISH_QOS_1 = b"\x32"
_CONNACK, _PUBACK = 0x20, 0x40
_PINGREQ, _DISCONNECT = b"\xc0\x00", b"\xe0\x00"


class Client(Protocol):
    """Who uses the wire."""

    def on_up(self) -> None:
        """The broker is there: `MqttWire.write` works."""

    def on_down(self) -> None:
        """What was not acknowledged must be sent again."""

    def on_acks(self, ids: Sequence[int]) -> None:
        """The broker has these packets."""


def publish_front(topic: str, body_bytes: int) -> bytes:
    """Return what stands before the packet id of a PUBLISH at QoS 1 (§3.3); the id and the body follow."""
    name = topic.encode()
    return _PUBLISH_QOS_1 + _length(len(name) + 4 + body_bytes) + len(name).to_bytes(2, "big") + name


def connect_packet(identifier: str) -> bytes:
    """Return a CONNECT (§3.1) with a session that ends with the connection."""
    name = identifier.encode()
    rest = b"\x00\x04MQTT\x04\x02" + KEEP_ALIVE_S.to_bytes(2, "big") + len(name).to_bytes(2, "big") + name
    return b"\x10" + _length(len(rest)) + rest


class MqttWire:
    """Keeps one connection for a client."""

    def __init__(self, client: Client, *, host: str, port: int, identifier: str, clock: Clock) -> None:
        self._client = client
        self._host, self._port, self._identifier = host, port, identifier
        self._clock = clock
        self._link: _Link | None = None
        self._failures = FailureLog(get_logger("mqtt"), f"broker {host}:{port}")

    def write(self, data: bytes) -> None:
        """Send whole packets; nothing happens while the broker is away."""
        if self._link is not None:
            self._link.write(data)

    async def run(self) -> None:
        """Keep a connection to the broker until cancelled."""
        while True:
            try:
                await self._serve()
            except (OSError, SourceError) as exc:
                self._failures.failed(str(exc) or "no answer")
            await self._clock.sleep(RETRY_S)

    async def _serve(self) -> None:
        link = _Link(self._client)
        try:
            async with asyncio.timeout(_ANSWER_S):
                await asyncio.get_running_loop().create_connection(lambda: link, self._host, self._port)
                link.write(connect_packet(self._identifier))
                await link.accepted
            self._failures.recovered()
            self._link = link
            self._client.on_up()
            pinging = asyncio.create_task(self._ping(link), name="mqtt ping")
            try:
                await asyncio.shield(link.ended)
            finally:
                pinging.cancel()
                await asyncio.wait({pinging})
        finally:
            if self._link is not None:
                self._link = None
                self._client.on_down()
            link.leave()

    async def _ping(self, link: "_Link") -> None:
        while True:
            await self._clock.sleep(KEEP_ALIVE_S / 2)
            link.write(_PINGREQ)


class _Link(asyncio.Protocol):
    def __init__(self, client: Client) -> None:
        loop = asyncio.get_running_loop()
        self.accepted: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._rest = b""

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def leave(self) -> None:
        if self._transport is not None:
            self.write(_DISCONNECT)
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        acks, self._rest = (data, b"") if _all_acks(data) else self._sorted(data)
        if acks:
            self._client.on_acks(struct.unpack(f">{len(acks) // 2}H", acks)[1::2])

    def connection_lost(self, exc: Exception | None) -> None:
        problem = SourceError("broker", str(exc) if exc else "closed the connection")
        for future in (self.accepted, self.ended):
            if not future.done():
                future.set_exception(problem)
                future.exception()  # retrieved, whether anybody waits or not

    def _sorted(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the PUBACKs alone, and the bytes of a packet that is not whole; all that comes has a short length."""
        acks, at = [], 0
        while len(data) - at >= 2 and len(data) >= at + 2 + data[at + 1]:
            packet = data[at : at + 2 + data[at + 1]]
            at += len(packet)
            if packet[0] == _PUBACK:
                acks.append(packet)
            elif packet[0] == _CONNACK and not self.accepted.done():
                if packet[3:] == b"\x00":
                    self.accepted.set_result(None)
                else:
                    self.accepted.set_exception(SourceError("broker", f"refused with code {packet[3]}"))
        return b"".join(acks), data[at:]


def _all_acks(data: bytes) -> bool:
    count, odd = divmod(len(data), 4)
    return not odd and data[::4] == b"\x40" * count and data[1::4] == b"\x02" * count


def _length(length: int) -> bytes:
    """Encode a remaining length (§2.2.3)."""
    out = bytearray()
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out)
