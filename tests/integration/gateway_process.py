"""A gateway, a cloud and a simulator as real processes, for tests that kill and restart them."""

import asyncio
import json
import signal
import socket
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Self

import httpx

from edge.store.reader import JournalReader
from shared.roster import Assignment, Roster, RosterAthlete, write_roster

READY_S = 30.0


class Program:
    """One of our programs in a process of its own."""

    def __init__(self, folder: Path, name: str, *words: str) -> None:
        self._folder = folder
        self._name = name
        self._words = words
        self._ready = folder / f"{name}-ready.json"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> dict[str, Any]:
        """Start it and return its ready file once it has written one."""
        self._ready.unlink(missing_ok=True)
        with (self._folder / f"{self._name}.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *self._words, "--ready-file", str(self._ready), stdout=log, stderr=log
            )
        async with asyncio.timeout(READY_S):
            while not self._ready.exists():
                assert self.process.returncode is None, f"{self._name} ended: see {self._name}.log"
                await asyncio.sleep(0.02)
        found: dict[str, Any] = json.loads(self._ready.read_text())
        return found

    async def kill(self) -> None:
        """End it with kill -9."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> int:
        """Ask it to stop and return its exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(15):
            return await self.process.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self.process is not None:
            await self.kill()


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_settings(folder: Path, *, broker_port: int, cloud_url: str | None = None) -> Path:
    """Write a gateway's settings without radio, and return the file."""
    sync = (
        f'[sync]\nurl = "{cloud_url}"\ntoken_file = "enrolment/token"\nbatch_s = 0.5\nsummary_s = 1\nretry_cap_s = 1\n'
    )
    text = f'gateway = "gw-test"\nport = 0\n[mqtt]\nport = {broker_port}\n[store]\ncommit_interval_ms = 20\n' + (
        sync if cloud_url else ""
    )
    path = folder / "gateway.toml"
    path.write_text(text)
    return path


async def write_simulated_squad(folder: Path, *, athletes: int, seed: int) -> None:
    """Write the roster of the squad that a simulator with the same size and seed plays."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "firmware_sim", "roster", "--athletes", str(athletes), "--seed", str(seed),
        "--roster-out", str(folder / "roster.json"), stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await process.wait() == 0


async def until_link(url: str, link: str, *, up: bool) -> None:
    """Wait until a gateway's link is up, or down."""
    async with asyncio.timeout(READY_S):
        while not any(x["link"] == link and x["up"] is up for x in (await gateway_health(url))["links"]):
            await asyncio.sleep(0.05)


def write_squad(folder: Path, tags: list[str]) -> Roster:
    """Write a roster with one athlete for each tag."""
    athletes = [
        RosterAthlete(
            athlete=f"a{i:02d}", number=i + 1, name=f"Name{i}", team=i % 2, sex="m", hr_rest_bpm=55, hr_max_bpm=190
        )
        for i in range(len(tags))
    ]
    worn = [Assignment(sensor=tag, athlete=a.athlete) for tag, a in zip(tags, athletes, strict=True)]
    roster = Roster(athletes=athletes, assignments=worn)
    write_roster(roster, folder / "roster.json")
    return roster


def truth(path: Path) -> list[dict[str, Any]]:
    """Return the simulator's record of what it sent."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def stored_positions(database: Path) -> Counter[tuple[str, str, int, int, int]]:
    """Return how often each (sensor, origin, sequence, x_mm, y_mm) stands in a gateway's journal."""
    found: Counter[tuple[str, str, int, int, int]] = Counter()
    with JournalReader(database) as reader:
        positions = (b for _, blocks in reader.blocks(imported=False) for b in blocks if b.stream == "position")
        for block in positions:
            for sequence, values in zip(block.sequence.tolist(), block.values, strict=True):
                found[block.sensor, block.origin, sequence, round(values[0] * 1000), round(values[1] * 1000)] += 1
    return found


async def gateway_health(url: str) -> dict[str, Any]:
    """Ask a gateway for its health page."""
    async with httpx.AsyncClient() as client:
        found: dict[str, Any] = (await client.get(f"{url}/api/health", timeout=10)).json()
    return found
