"""What the gateways under test stand between: mosquitto for the sensors, and a TCP link upstream that can fail."""

import asyncio
import contextlib
import re
import subprocess
from pathlib import Path

from tests.fakes.broker import Broker
from tests.integration.gateway_process import free_port
from tests.tools import require_tool

_CHUNK_BYTES = 65_536


class BenchBroker(Broker):
    """mosquitto without Nagle's delay; both gateways are measured with these settings. `lines` are more of them."""

    def __init__(self, folder: Path, *lines: str) -> None:
        super().__init__(require_tool("mosquitto"), folder)
        with (folder / "mosquitto.conf").open("a") as settings:
            settings.write("\n".join(("set_tcp_nodelay true", *lines, "")))


def mosquitto_version() -> str:
    """Return what the broker calls itself."""
    said = subprocess.run([require_tool("mosquitto"), "-h"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\S+)", said)
    return found.group(1) if found else "of unknown version"


class UpstreamLink:
    """A TCP link to `target` on `port` that can be up, refuse connections, or swallow all bytes without a word."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._silent = False
        self._connections: set[asyncio.Task[None]] = set()
        self.port = free_port()

    async def up(self) -> None:
        """Forward; what was open while the link was silent is reset."""
        self._silent = False
        self._reset()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def silent(self) -> None:
        """Swallow everything from now on; connections stay open."""
        self._silent = True

    async def refuse(self) -> None:
        """Reset what is open and refuse what comes."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._reset()

    def _reset(self) -> None:
        for connection in self._connections:
            connection.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            if self._silent:
                await asyncio.Event().wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._pump(reader, far_writer))
                    tasks.create_task(self._pump(far_reader, writer))
            except* ConnectionError:
                pass
            finally:
                far_writer.transport.abort()
        writer.transport.abort()
        self._connections.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(_CHUNK_BYTES):
            if self._silent:  # what was read is lost, as in the radio's buffer
                await asyncio.Event().wait()
            writer.write(part)
            await writer.drain()
        raise ConnectionResetError("closed by the other side")
