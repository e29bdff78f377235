"""The real ingest as a process, and what stands in its ledger afterwards."""

import json
import time
from pathlib import Path

from cloud.settings import Layout
from cloud.setup import enrol, make_layout
from shared.ids import parse_gateway_id
from tests.faults.forkserver import Child, ForkServer
from tests.integration.gateway_process import free_port

_BOUND_S = 30.0


class Ingest:
    """One cloud folder and the server on it, always at the same port."""

    def __init__(self, server: ForkServer, folder: Path, *, settings: str = "") -> None:
        """`settings` is TOML."""
        self._server = server
        self.layout = Layout((folder / "cloud").resolve())
        make_layout(self.layout)
        self.port = free_port()
        self.child: Child | None = None
        self._folder = folder
        self._settings = folder / "cloud.toml"
        self._settings.write_text(settings)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def enrol(self, gateway: str) -> str:
        """Return a gateway's token."""
        out = self._folder / "enrolment" / gateway
        enrol(self.layout, parse_gateway_id(gateway), out)
        return (out / "token").read_text().strip()

    def start(self) -> None:
        """Start `python -m cloud api` and wait until it answers."""
        ready = self._folder / "cloud-ready.json"
        ready.unlink(missing_ok=True)
        words = ["api", "--cloud-dir", str(self.layout.root), "--port", str(self.port), "--ready-file", str(ready)]
        words += ["--settings", str(self._settings)]
        self.child = self._server.start("cloud", words, self._folder / "cloud.log")
        begun = time.monotonic()
        while not ready.exists():
            if self.child.poll() is not None or time.monotonic() - begun > _BOUND_S:
                raise RuntimeError(f"the ingest does not start: {(self._folder / 'cloud.log').read_text()[-500:]}")
            time.sleep(0.005)
        assert json.loads(ready.read_text())["port"] == self.port

    def start_fused(self, point: str, batches: int) -> None:
        """Start the ingest that ends itself at a point of its n-th batch."""
        words = [str(self.layout.root), str(self.port), point, str(batches)]
        self.child = self._server.start("fused cloud", words, self._folder / "cloud.log")

    def kill(self) -> None:
        """End it with kill -9, if it runs."""
        if self.child is not None:
            self.child.kill()
