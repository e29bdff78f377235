"""uvicorn inside the gateway's own event loop; the gateway, not uvicorn, listens to signals."""

import asyncio
import contextlib
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from shared.errors import ConfigError

_STOP_S = 1


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """Serves an application until cancelled; `port` is known once `started` is set."""

    def __init__(self, app: FastAPI, *, host: str, port: int) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,  # its errors are lines of our log
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=_STOP_S,
            ws_ping_interval=5,
            ws_ping_timeout=10,
        )
        self._server = _Server(config)
        self._host = host
        self._wanted_port = port
        self.port = port
        self.started = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled.

        Raises: ConfigError when the port is in use.
        """
        serving = asyncio.create_task(self._serve(), name="web server")
        try:
            while not self._server.started:
                if serving.done():
                    await serving
                    raise ConfigError("port", f"{self._host}:{self._wanted_port} cannot be listened on")
                await asyncio.sleep(0.01)
            self.port = self._server.servers[0].sockets[0].getsockname()[1]
            self.started.set()
            await asyncio.shield(serving)
        finally:
            self._server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await serving

    async def _serve(self) -> None:
        try:
            await self._server.serve()
        except SystemExit as exc:  # uvicorn's way of saying that the port is taken
            raise ConfigError(
                "port", f"{self._host}:{self._wanted_port} is in use; choose another with --port"
            ) from exc
