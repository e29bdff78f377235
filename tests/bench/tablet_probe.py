"""A tablet without a screen, in a process of its own: how old the newest reading of a tile is when it arrives.

python -m tests.bench.tablet_probe --url http://127.0.0.1:PORT --ages FILE      until SIGTERM, which writes the ages

Simulated sensors share this machine's clock, so the event time of a reading is the time of its sending.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import time
from pathlib import Path

import msgspec
import numpy as np
import websockets
from websockets.asyncio.client import connect

_RETRY_S = 0.05


class Tile(msgspec.Struct):
    """What a tile says of its newest readings; everything else is skipped."""

    athlete: str
    hr_ns: int | None = None
    position_ns: int | None = None


class Message(msgspec.Struct):
    """A message with tiles, or any other."""

    type: str
    tiles: list[Tile] = []


class Ages:
    """(arrival ns, age ms) of each reading that was shown, by quantity."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(Message)
        self._newest: dict[tuple[str, str], int] = {}
        self.found: dict[str, list[tuple[int, float]]] = {"position": [], "heart_rate": []}

    def take(self, text: bytes, now_ns: int) -> None:
        """Note what a message shows for the first time."""
        for tile in self._decoder.decode(text).tiles:
            for name, event_ns in (("position", tile.position_ns), ("heart_rate", tile.hr_ns)):
                key = (tile.athlete, name)
                if event_ns is not None and event_ns > self._newest.get(key, 0):
                    self._newest[key] = event_ns
                    self.found[name].append((now_ns, (now_ns - event_ns) / 1e6))


async def watch(url: str, ages: Ages) -> None:
    """Take messages, connecting again when the gateway lets go, until cancelled."""
    while True:
        try:
            async with connect(url.replace("http", "ws", 1) + "/ws/live", max_size=None) as socket:
                await socket.recv(decode=False)  # what the snapshot shows came before
                while True:
                    text = await socket.recv(decode=False)
                    ages.take(text, time.time_ns())
        except (OSError, websockets.WebSocketException):
            await asyncio.sleep(_RETRY_S)


def summary(ages: list[tuple[int, float]], from_ns: int, to_ns: int) -> dict[str, float | int] | None:
    """Return count, p50, p99 and the largest age of what arrived in a stretch of time."""
    chosen = [age for at_ns, age in ages if from_ns <= at_ns < to_ns]
    if not chosen:
        return None
    p50, p99 = np.percentile(chosen, (50, 99)).round(2).tolist()
    return {"n": len(chosen), "p50_ms": p50, "p99_ms": p99, "max_ms": round(max(chosen), 2)}


async def run(url: str, file: Path) -> None:
    """Watch until SIGTERM, then write."""
    ages = Ages()
    watching = asyncio.create_task(watch(url, ages), name="tablet")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, watching.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    file.write_text(json.dumps(ages.found))  # noqa: ASYNC240  nothing else runs any more


def main() -> None:
    """Watch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--ages", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(run(options.url, options.ages))


if __name__ == "__main__":
    main()
