"""Runs an application in uvicorn and says when, and where, it answers."""

import signal
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvicorn
from fastapi import FastAPI

from shared.errors import ConfigError
from shared.log import get_logger

# An open request gets this long to finish after SIGTERM; whoever sent it sends it again otherwise.
_GRACE_S = 1
_BACKLOG = 2048


class Ready(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the ready file says."""

    url: str
    host: str
    port: int


class _Server(uvicorn.Server):
    """A uvicorn server that writes its ready file once it answers."""

    def __init__(self, config: uvicorn.Config, part: str, ready: Ready, ready_file: Path | None) -> None:
        super().__init__(config)
        self._part = part
        self._ready = ready
        self._ready_file = ready_file

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then tell."""
        await super().startup(sockets)
        get_logger(self._part).info("listening", url=self._ready.url)
        if self._ready_file is not None:
            write_ready(self._ready, self._ready_file)


def listen(build: Callable[[], FastAPI], *, part: str, host: str, port: int, ready_file: Path | None) -> None:
    """Serve what `build` makes until SIGTERM or SIGINT; returns within two seconds of it. Port 0 takes a free one.

    Raises: ConfigError when the address cannot be bound; what `build` raises.
    """
    listener = _bind(host, port)
    bound = int(listener.getsockname()[1])
    shown = f"[{host}]" if ":" in host else host
    ready = Ready(url=f"http://{shown}:{bound}", host=host, port=bound)
    # uvicorn raises the signal again after its clean stop; the process then ends with 0 instead of by the signal.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        config = uvicorn.Config(
            build(),
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=_GRACE_S,
        )
        _Server(config, part, ready, ready_file).run(sockets=[listener])
    finally:
        listener.close()
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


def write_ready(ready: Ready, path: Path) -> None:
    """Write the ready file in one step, so that a reader never sees half of it."""
    fresh = path.with_name(f".{path.name}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh.write_bytes(msgspec.json.encode(ready) + b"\n")
    fresh.replace(path)


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise ConfigError(f"{host}:{port}", exc.strerror or str(exc)) from exc
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as exc:
        listener.close()
        raise ConfigError(f"{host}:{port}", exc.strerror or str(exc)) from exc
    return listener
