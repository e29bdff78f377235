"""A TCP tap between broker and gateway: how long after its sending each position was acknowledged by the gateway.

Reads MQTT's framing only (both versions have the same for what it looks at): topic and packet id of a PUBLISH, `t_ns`
of its body, packet id of a PUBACK.
"""

import asyncio
import contextlib
import re
import time
from array import array
from collections.abc import Callable, Iterator

_PUBLISH, _PUBACK = 0x30, 0x40
_TIME = re.compile(rb'"t_ns":(\d+)')
_CHUNK_BYTES = 65_536


class Packets:
    """Cuts a byte stream into MQTT packets: first byte, and what follows the remaining length."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, part: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the packets that are complete."""
        waiting = self._waiting
        waiting += part
        start = 0
        while (head := _length(waiting, start + 1)) is not None:
            size, used = head
            end = start + 1 + used + size
            if end > len(waiting):
                break
            yield waiting[start], bytes(waiting[start + 1 + used : end])
            start = end
        del waiting[:start]


def _length(data: bytearray, at: int) -> tuple[int, int] | None:
    """Return a variable byte integer and its length, None where it is not complete (MQTT 5 section 1.5.5)."""
    value = 0
    for used in range(4):
        if at + used >= len(data):
            return None
        value |= (data[at + used] & 0x7F) << 7 * used
        if not data[at + used] & 0x80:
            return value, used + 1
    raise ValueError("not MQTT")


class AckTap:
    """Listens on `port`, passes to the broker on `target`, and notes in `ages_ms` how old what is acknowledged is."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._sent_ns: dict[int, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.ages_ms = array("d")

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close every connection."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except ConnectionError:  # the broker is not there yet
            writer.transport.abort()
            return
        self._sent_ns.clear()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_pump(reader, far_writer, self._from_gateway))
                    tasks.create_task(_pump(far_reader, writer, self._from_broker))
            except* ConnectionError:
                pass
        for end in (writer, far_writer):
            end.transport.abort()

    def _from_broker(self, first: int, body: bytes) -> None:
        if first & 0xF0 == _PUBLISH and first & 0x06 and (found := _TIME.search(body)):
            topic = int.from_bytes(body[:2], "big")
            self._sent_ns[int.from_bytes(body[2 + topic : 4 + topic], "big")] = int(found[1])

    def _from_gateway(self, first: int, body: bytes) -> None:
        if first & 0xF0 == _PUBACK:
            sent_ns = self._sent_ns.pop(int.from_bytes(body[:2], "big"), None)
            if sent_ns is not None:
                self.ages_ms.append((time.time_ns() - sent_ns) / 1e6)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, look: Callable[[int, bytes], None]) -> None:
    packets = Packets()
    while part := await reader.read(_CHUNK_BYTES):
        for first, body in packets.feed(part):
            look(first, body)
        writer.write(part)
        await writer.drain()
    raise ConnectionResetError("closed by the other side")
