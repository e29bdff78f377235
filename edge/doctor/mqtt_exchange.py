"""As much of MQTT 3.1.1 (OASIS, 2014) as the doctor speaks: enough to see what a broker grants and keeps."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

from shared.errors import SourceError

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, DISCONNECT = 1, 2, 3, 4, 8, 9, 14
REFUSALS = {
    1: "it does not speak MQTT 3.1.1",
    2: "it does not take this client's name",
    3: "it is not ready",
    4: "user or password is wrong",
    5: "this user may not connect",
}
"""Return codes of CONNACK, §3.2.2.3."""
_SUBSCRIBE_REFUSED = 0x80
_QOS_1 = 0x02
# The largest remaining length is 256 MB (§2.2.3); nothing that answers the doctor is longer than this.
_MAX_BYTES = 1024**2
_ANSWER_S = 2.0


class Exchange:
    """One session over an open connection. Raises: SourceError where the broker ends it or answers otherwise."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def connect(self, client: str, user: str | None, password: str | None, *, clean: bool) -> bool:
        """Log in (§3.1) and return whether the broker kept a session of this name."""
        flags = 0x02 * clean | 0x80 * (user is not None) | 0x40 * (password is not None)
        fields = [client, *(word for word in (user, password) if word is not None)]
        body = _text("MQTT") + bytes((4, flags)) + struct.pack(">H", 30) + b"".join(map(_text, fields))
        kind, answer = await self._ask(CONNECT, 0, body)
        if kind != CONNACK or len(answer) != 2:
            raise SourceError("broker", "answers a login with something else")
        if answer[1]:
            raise SourceError("broker", REFUSALS.get(answer[1], f"refuses with code {answer[1]}"))
        return bool(answer[0] & 1)

    async def subscribe(self, topics: tuple[str, ...]) -> list[bool]:
        """Ask for topics at QoS 1 (§3.8) and return for each whether it was granted."""
        body = struct.pack(">H", 1) + b"".join(_text(topic) + b"\x01" for topic in topics)
        kind, answer = await self._ask(SUBSCRIBE, 0x02, body)
        while kind == PUBLISH:  # retained messages may come first; unacknowledged they stay with the broker
            kind, answer = await self._read()
        if kind != SUBACK:
            raise SourceError("broker", "answers a subscription with something else")
        return [code != _SUBSCRIBE_REFUSED for code in answer[2:]]

    async def publish(self, topic: str, count: int) -> int:
        """Publish `count` messages at QoS 1 (§3.3) and return how many the broker acknowledged."""
        for number in range(1, count + 1):
            self._write(PUBLISH, _QOS_1, _text(topic) + struct.pack(">H", number) + b"doctor")
        await self._writer.drain()
        return sum([kind == PUBACK async for kind, _ in self._until_quiet(count)])

    async def waiting(self, most: int) -> tuple[int, int]:
        """Take what the broker kept for this session: how many came before the first acknowledgement, and in all."""
        numbers = [_number(body) async for kind, body in self._until_quiet(most) if kind == PUBLISH]
        window = total = len(numbers)
        while numbers:
            for number in numbers:
                self._write(PUBACK, 0, struct.pack(">H", number))
            await self._writer.drain()
            self._hurry()
            expected = min(window, most - total)
            numbers = [_number(body) async for kind, body in self._until_quiet(expected) if kind == PUBLISH]
            total += len(numbers)
        return window, total

    async def disconnect(self) -> None:
        """Say good-bye (§3.14) and close."""
        with contextlib.suppress(OSError, TimeoutError):
            self._write(DISCONNECT, 0, b"")
            self._writer.close()
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()

    async def _until_quiet(self, most: int) -> AsyncIterator[tuple[int, bytes]]:
        """Yield what comes until `most` have come or nothing comes any more."""
        quiet_s = 1.0  # for the first; what a broker has, it sends at once
        for _ in range(most):
            try:
                async with asyncio.timeout(quiet_s):
                    yield await self._read()
            except TimeoutError:
                return
            quiet_s = 0.3

    def _hurry(self) -> None:
        """Have the system confirm at once what comes: with a small window, each round would wait 40 ms (Nagle)."""
        if hasattr(socket, "TCP_QUICKACK"):
            self._writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    async def _ask(self, kind: int, flags: int, body: bytes) -> tuple[int, bytes]:
        self._write(kind, flags, body)
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await self._read()
        except TimeoutError as exc:
            raise SourceError("broker", f"does not answer within {_ANSWER_S:g} s") from exc

    def _write(self, kind: int, flags: int, body: bytes) -> None:
        length, size = bytearray(), len(body)
        while size > 0x7F:  # §2.2.3
            length.append(0x80 | size & 0x7F)
            size >>= 7
        length.append(size)
        self._writer.write(bytes((kind << 4 | flags,)) + length + body)

    async def _read(self) -> tuple[int, bytes]:
        try:
            first = (await self._reader.readexactly(1))[0]
            length = shift = 0
            while True:
                byte = (await self._reader.readexactly(1))[0]
                length |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
                if shift > 21:
                    raise SourceError("broker", "sends what is no MQTT")
            if length > _MAX_BYTES:
                raise SourceError("broker", "sends a message too long to look at")
            return first >> 4, await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError) as exc:
            raise SourceError("broker", "ends the connection") from exc


def _text(word: str) -> bytes:
    body = word.encode("utf-8")
    return struct.pack(">H", len(body)) + body


def _number(publish: bytes) -> int:
    """Return the packet identifier of a message at QoS 1 (§3.3.2.2)."""
    topic_bytes = struct.unpack_from(">H", publish)[0]
    return int(struct.unpack_from(">H", publish, 2 + topic_bytes)[0])
