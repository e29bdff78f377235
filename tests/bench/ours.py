"""Sideline's gateway under test, its models and its cloud, as the real processes."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import psutil

from edge.release.slots import Slot
from shared.clock import SystemClock
from shared.model_card import ModelCard
from shared.roster import Assignment, Roster, write_roster
from tests.bench.page import ROOT
from tests.bench.tablet_probe import summary
from tests.integration.gateway_process import Program, free_port, gateway_health, until_link

GATEWAY = "gw-bench"
TAGS = 60
MODELS = ROOT / "deployment" / "models"
_POLL_S = 0.05


def tags() -> list[str]:
    """Return the names of the load generator's tags."""
    return [f"tag-{number:02d}" for number in range(1, TAGS + 1)]


def settings(
    folder: Path, *, broker_port: int, topics: tuple[str, ...] = (), cloud_port: int | None = None, poll_s: float = 60.0
) -> Path:
    """Write a gateway's settings: defaults but for addresses, and a short trial of new models."""
    lines = [f'gateway = "{GATEWAY}"', "port = 0", "[mqtt]", f"port = {broker_port}"]
    if topics:
        lines.append(f"topics = {json.dumps(topics)}")
    if cloud_port is not None:
        lines += [
            "[sync]", f'url = "http://127.0.0.1:{cloud_port}"', 'token_file = "enrolment/token"', "retry_cap_s = 5",
            "[release]", 'root_file = "enrolment/root.json"', f"poll_s = {poll_s:g}", "shadow_s = 3",
            "activate_in_session = true",
        ]  # fmt: skip
    path = folder / "gateway.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def made(folder: Path) -> Path:
    """Return a folder that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def folder_bytes(folder: Path) -> int:
    """Return the size of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def write_nobody(folder: Path) -> None:
    """Write a roster of tags that nobody wears: what they send is decoded and stored, and no metric is made of it."""
    taken_off = [Assignment(sensor=tag, athlete=None) for tag in tags()]
    write_roster(Roster(athletes=[], assignments=taken_off), folder / "roster.json")


def install_models(folder: Path) -> None:
    """Put the shipped models where a gateway that has run them keeps them."""
    slots = []
    for shipped in sorted(path for path in MODELS.iterdir() if path.is_dir()):
        card = msgspec.json.decode((shipped / "card.json").read_bytes(), type=ModelCard)
        shutil.copytree(shipped, folder / "data" / "models" / card.name / card.version)
        slots.append(Slot(name=card.name, state="active", active=card.version, active_since_ns=SystemClock().utc_ns()))
    (folder / "data" / "models" / "slots.json").write_bytes(msgspec.json.encode(slots))


def newer_model(folder: Path, name: str, version: str) -> Path:
    """Return a copy of a shipped model with another version on its card."""
    copy = folder / f"{name}-{version}"
    shutil.copytree(MODELS / name, copy)
    card = json.loads((copy / "card.json").read_text())
    (copy / "card.json").write_text(json.dumps(card | {"version": version}))
    return copy


class Cloud:
    """Ingest and release channel, and the gateway's enrolment beside its settings."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.data = folder / "cloud"
        self.port = free_port()
        self.program = Program(
            folder, "cloud", "cloud", "api", "--cloud-dir", str(self.data), "--port", str(self.port)
        )  # fmt: skip

    def command(self, *words: str) -> None:
        """Run a command on the cloud's folder; blocks."""
        subprocess.run(
            [sys.executable, "-m", "cloud", *words, "--cloud-dir", str(self.data)], check=True, capture_output=True
        )

    def set_up(self) -> None:
        """Make the folder with its keys and enrol the gateway; blocks."""
        self.command("setup")
        self.command("enroll", GATEWAY, "--out", str(self._folder / "enrolment"))


class Sideline:
    """The gateway as a process on a folder with settings and roster; what it stores stays between starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.url = ""
        self._program = Program(folder, "gateway", "edge", "run", "--settings", str(folder / "gateway.toml"))

    async def start(self, *, broker: bool = True) -> None:
        """Start, and wait for the broker where there is one."""
        self.url = (await self._program.start())["url"]
        if broker:
            await until_link(self.url, "broker", up=True)

    @property
    def process(self) -> psutil.Process:
        """The running process."""
        assert self._program.process is not None
        return psutil.Process(self._program.process.pid)

    async def stored(self) -> int:
        """Return how many readings are stored."""
        count: int = (await gateway_health(self.url))["store"]["readings"]
        return count

    async def live_dropped(self) -> int:
        """Return how many batches the live state never saw, because newer ones came first; they are stored."""
        count: int = (await gateway_health(self.url))["live_dropped"]
        return count

    async def until_stored(self, count: int, *, quiet_s: float = 10.0) -> int:
        """Wait until so many readings are stored, or no more have come for a while; return how many are."""
        loop = asyncio.get_running_loop()
        found, changed_s = await self.stored(), loop.time()
        while found < count and loop.time() - changed_s < quiet_s:
            await asyncio.sleep(_POLL_S)
            before, found = found, await self.stored()
            if found != before:
                changed_s = loop.time()
        return found

    async def until_uploaded(self, *, bound_s: float) -> dict[str, Any]:
        """Wait until the cloud has everything; return the health page."""
        async with asyncio.timeout(bound_s):
            while (health := await gateway_health(self.url))["sync_lag_s"] is not None:
                await asyncio.sleep(_POLL_S)
        return health

    async def kill(self) -> None:
        """End it with kill -9."""
        await self._program.kill()

    async def stop(self) -> None:
        """Ask it to end."""
        if self._program.process is not None:
            await self._program.stop()


class Tablet:
    """A `tests.bench.tablet_probe` on a gateway's page; `file` is what it writes at its end."""

    def __init__(self, url: str, file: Path) -> None:
        self._url = url
        self._file = file
        self._process: asyncio.subprocess.Process | None = None
        self._found: dict[str, list[tuple[int, float]]] = {}

    async def start(self) -> None:
        """Connect."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.tablet_probe", "--url", self._url, "--ages", str(self._file)
        )

    async def stop(self) -> None:
        """End it and read what it saw; a second time does nothing."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        await self._process.wait()
        self._found = json.loads(self._file.read_text())

    def ages(self, from_ns: int, to_ns: int) -> dict[str, dict[str, float | int] | None]:
        """Return how old positions and heart rates were that arrived in a stretch of time."""
        return {name: summary(found, from_ns, to_ns) for name, found in self._found.items()}
