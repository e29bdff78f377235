"""A TCP proxy that understands as much of HTTP/1.1 as it takes to put a fault into one chosen request or answer."""

import asyncio
import contextlib
import random
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_PIECE = 2048
_HELD_S = 0.4
"""Longer than the client waits for an answer."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request that came by, as `time.monotonic` saw it."""

    path: str
    asked_s: float
    answered_s: float
    status: int
    retry_after_s: float


class HttpFaults:
    """Passes requests on to a port; every so often one meets a fault, drawn from `rng`.

    cut request, cut answer, reset, black hole, slow, late, lost answer, flipped bit (of the body), busy (503), twice.
    """

    FAULTS = (
        "cut request",
        "cut answer",
        "reset",
        "black hole",
        "slow",
        "late",
        "lost answer",
        "flipped bit",
        "busy",
        "twice",
    )

    def __init__(self, port: int, rng: random.Random, *, share: float) -> None:
        """`share` of the requests meet a fault; with 0 the proxy only looks on."""
        self._upstream = port
        self._rng = rng
        self._share = share
        self._server: asyncio.Server | None = None
        self.port = 0
        self.faults: Counter[str] = Counter()
        self.exchanges: list[Exchange] = []
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for serving in self._open:
            serving.cancel()
        if self._open:
            await asyncio.wait(self._open)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(_Link(client=reader, back=writer)))
        self._open.add(serving)
        serving.add_done_callback(self._open.discard)

    async def _serve(self, link: "_Link") -> None:
        try:
            with contextlib.suppress(OSError, EOFError):
                while await self._exchange(link):
                    pass
        finally:
            link.close()

    async def _exchange(self, link: "_Link") -> bool:
        """Pass one request and its answer; return whether the connection goes on."""
        head, body = await _message(link.client)
        asked_s = time.monotonic()
        fault = self._rng.choice(self.FAULTS) if self._rng.random() < self._share else "none"
        self.faults[fault] += 1
        if fault in ("cut request", "reset", "black hole", "busy"):
            return await self._before(link, fault, head, body)
        if fault == "flipped bit" and body:
            damaged = bytearray(body)
            damaged[self._rng.randrange(len(damaged))] ^= 1 << self._rng.randrange(8)
            body = bytes(damaged)
        pause_s = 0.02 if fault == "slow" else 0.0
        for _ in range(2 if fault == "twice" else 1):
            await self._pass(link, head, body, pause_s=pause_s)
            answer, content = await _message(await link.answers(self._upstream))
        if fault == "late":
            await asyncio.sleep(_HELD_S)
        if fault == "lost answer":
            return False
        if fault == "cut answer":
            whole = answer + content
            link.back.write(whole[: self._rng.randrange(1, len(whole))])
            return False
        link.back.write(answer + content)
        await link.back.drain()
        self._note(head, answer, asked_s)
        return b"connection: close" not in answer.lower()

    async def _before(self, link: "_Link", fault: str, head: bytes, body: bytes) -> bool:
        """Put a fault that keeps the request, or its end, from the server."""
        if fault == "busy":
            link.back.write(b"HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n")
            return True
        if fault == "cut request":
            whole = head + body
            upstream = await link.up(self._upstream)
            upstream.write(whole[: self._rng.randrange(1, len(whole))])
            await upstream.drain()
        elif fault == "reset":
            raw: socket.socket = link.back.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            await asyncio.sleep(_HELD_S)
        return False

    async def _pass(self, link: "_Link", head: bytes, body: bytes, *, pause_s: float) -> None:
        upstream = await link.up(self._upstream)
        whole = head + body
        for start in range(0, len(whole), _PIECE if pause_s else len(whole)):
            upstream.write(whole[start : start + (_PIECE if pause_s else len(whole))])
            await upstream.drain()
            if pause_s:
                await asyncio.sleep(pause_s)

    def _note(self, head: bytes, answer: bytes, asked_s: float) -> None:
        fields = dict(
            line.lower().split(b":", 1) for line in answer.split(b"\r\n")[1:] if b":" in line
        )  # one field a line, RFC 9112 §5
        self.exchanges.append(
            Exchange(
                path=head.split(b" ", 2)[1].decode("ascii"),
                asked_s=asked_s,
                answered_s=time.monotonic(),
                status=int(answer.split(b" ", 2)[1]),
                retry_after_s=float(fields.get(b"retry-after", b"0")),
            )
        )


@dataclass
class _Link:
    """A client's connection, and the one to the server, which is made when it is needed."""

    client: asyncio.StreamReader
    back: asyncio.StreamWriter
    _up: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(default=None)

    async def up(self, port: int) -> asyncio.StreamWriter:
        """Return where requests go."""
        if self._up is None:
            self._up = await asyncio.open_connection("127.0.0.1", port)
        return self._up[1]

    async def answers(self, port: int) -> asyncio.StreamReader:
        """Return where answers come from."""
        await self.up(port)
        assert self._up is not None
        return self._up[0]

    def close(self) -> None:
        """Close both sides."""
        self.back.close()
        if self._up is not None:
            self._up[1].close()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return the head and the body of one request or answer with a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    return head, await reader.readexactly(length)
