"""A tablet without a screen: connects to the gateway like one and notes when each reading arrives."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import dataclass, field

import websockets
from websockets.asyncio.client import connect

_RETRY_S = 0.2


@dataclass
class Arrivals:
    """Arrival time (ns UTC) of each reading, by (athlete, sequence number); the first arrival counts."""

    positions: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    heart_rates: dict[tuple[str, int], tuple[int, float]] = field(default_factory=dict)
    model_versions: dict[tuple[str, str], int] = field(default_factory=dict)

    def take(self, message: dict[str, object], now_ns: int) -> None:
        """Note what a message from the gateway brings."""
        for tile in message.get("tiles", ()):  # type: ignore[attr-defined]
            if tile["position_seq"] is not None:
                self.positions.setdefault((tile["athlete"], tile["position_seq"]), (now_ns, tile["position_ns"]))
            if tile["hr_seq"] is not None:
                self.heart_rates.setdefault((tile["athlete"], tile["hr_seq"]), (now_ns, tile["hr_bpm"]))
        if message["type"] in ("health", "snapshot"):
            for model in message["health"]["models"]:  # type: ignore[index]
                if model["version"] is not None:
                    self.model_versions.setdefault((model["name"], model["version"]), now_ns)


class HeadlessTablet:
    """Runs in a thread of its own, so that nothing the demo does delays its clock."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("http", "ws", 1) + "/ws/live"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), daemon=True)
        self.arrivals = Arrivals()

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self, *, wait_s: float = 5.0) -> None:
        """End; returns when the thread has, or after `wait_s`."""
        self._stop.set()
        self._thread.join(wait_s)

    async def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                async with connect(self._url, max_size=None) as socket:
                    first = True
                    while not self._stop.is_set():
                        try:
                            text = await asyncio.wait_for(socket.recv(), 0.5)
                        except TimeoutError:
                            continue
                        now_ns = time.time_ns()
                        message = json.loads(text)
                        # What a snapshot shows came earlier than the connection: not an arrival.
                        if not first:
                            self.arrivals.take(message, now_ns)
                        first = False
            except (OSError, websockets.WebSocketException):
                await asyncio.sleep(_RETRY_S)
