"""A TCP relay whose line can be slow, long and cut: every byte waits for the rate and then for the delay."""

import asyncio
import contextlib
import time
from types import TracebackType
from typing import Self

_PIECE = 4096


class Relay:
    """Passes connections on to a port; `cut` ends those that are open, `down` takes no new ones either."""

    def __init__(self, port: int, *, bytes_per_s: float = 0.0, delay_s: float = 0.0) -> None:
        """`bytes_per_s` holds for each direction over all connections (0 is no bound), `delay_s` is one way."""
        self._upstream = port
        self._bytes_per_s = bytes_per_s
        self._delay_s = delay_s
        self._free_at_s = {"up": 0.0, "down": 0.0}
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._is_down = False
        self.port = 0
        self.passed_bytes = 0
        self.connections = 0
        self._passing = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """End every open connection."""
        cut = set(self._open)
        for serving in cut:
            serving.cancel()
        if cut:
            await asyncio.wait(cut)

    async def down(self) -> None:
        """End every open connection and every one that is tried, until `up`."""
        self._is_down = True
        await self.cut()

    def up(self) -> None:
        """Take connections again."""
        self._is_down = False

    async def next_piece(self) -> None:
        """Wait until something comes by."""
        self._passing.clear()
        await self._passing.wait()

    @property
    def open(self) -> int:
        """Connections that stand now."""
        return len(self._open)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_down:
            writer.close()
            return
        self.connections += 1
        serving = asyncio.create_task(self._serve(reader, writer))
        self._open.add(serving)
        serving.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back: asyncio.StreamWriter | None = None
        try:
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", self._upstream)
                both = {
                    asyncio.create_task(self._pass("up", reader, back)),
                    asyncio.create_task(self._pass("down", there, writer)),
                }
                try:
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in both:
                        task.cancel()
                    await asyncio.wait(both)
        finally:
            for end in (writer, back):
                if end is not None:
                    end.transport.abort()

    async def _pass(self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one direction on; the line is occupied by one piece at a time, the delay by many."""
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=4096)

        async def arrive() -> None:
            while True:
                due_s, piece = await on_the_way.get()
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                writer.write(piece)
                await writer.drain()
                self.passed_bytes += len(piece)
                on_the_way.task_done()

        arriving = asyncio.create_task(arrive())
        try:
            with contextlib.suppress(OSError):
                while piece := await reader.read(_PIECE):
                    await on_the_way.put((await self._occupy(way, len(piece)) + self._delay_s, piece))
                await on_the_way.join()
        finally:
            arriving.cancel()
            await asyncio.wait({arriving})

    async def _occupy(self, way: str, size: int) -> float:
        """Wait until the line has taken this many bytes and return when that was."""
        self._passing.set()
        now_s = time.monotonic()
        if not self._bytes_per_s:
            return now_s
        self._free_at_s[way] = max(now_s, self._free_at_s[way]) + size / self._bytes_per_s
        await asyncio.sleep(self._free_at_s[way] - now_s)
        return self._free_at_s[way]
