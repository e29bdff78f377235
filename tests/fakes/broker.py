"""A real mosquitto on a free port; nothing here imitates it."""

import getpass
import signal
import socket
import subprocess
import time
from pathlib import Path

_BOUND_S = 10.0


class Broker:
    """One broker: `port` is known from construction on, so that a client can be there before it."""

    def __init__(
        self, program: str, folder: Path, *, settings: str = "allow_anonymous true\n", window: int = 0
    ) -> None:
        """`settings` are lines of mosquitto.conf about the listener, `window` is its `max_inflight_messages`."""
        self._program = program
        folder.mkdir(parents=True, exist_ok=True)
        self.host = "127.0.0.1"
        self.port = _free_port()
        self._settings = folder / "mosquitto.conf"
        # Sessions are kept over a restart, as at the pitch.
        self._settings.write_text(
            f"listener {self.port} 127.0.0.1\n{settings}max_inflight_messages {window}\nmax_queued_messages 0\n"
            f"persistence true\npersistence_location {folder}/\nuser {getpass.getuser()}\n",
            encoding="utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        bound = time.monotonic() + _BOUND_S
        while time.monotonic() < bound:
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
            except OSError:
                assert self._process.poll() is None, "mosquitto ended at its start"
                time.sleep(0.02)
            else:
                return
        raise TimeoutError("mosquitto does not answer")

    def freeze(self) -> None:
        """Let it fall silent with every connection open, as a broker that hangs does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop, if it runs."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_BOUND_S)
            self._process = None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
