"""Run the whole gateway under the load of sixty athletes for an hour or a day, and watch whether it stays as it is.

PYTHONPATH=. .venv/bin/python tests/faults/soak.py [--minutes 60]

Real processes: mosquitto, the cloud's ingest, the gateway with every model that the project releases, one tablet and
the load of 60 athletes: positions at 25 Hz, heart rate at 1 Hz, motion at 100 Hz in 10 frames, 2,160 messages a second.
It is looked at every ten seconds; one line a minute goes into tests/faults/records/soak.json.
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from firmware_sim.load_messages import mix_roster
from firmware_sim.squad import squad_profiles
from shared.roster import write_roster
from tests.fakes.broker import Broker
from tests.integration.gateway_process import free_port, gateway_health

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).parent / "records" / "soak.json"
ATHLETES = 60
EVERY_S = 10.0
_WARM_UP_S = 600.0
_READY_S = 120.0
_DRAIN_S = 300.0
_QUIET_S = 10.0
_SETTINGS = """gateway = "gw-soak"
port = 0
[mqtt]
port = {broker}
topics = ["sideline/tags/+/position", "sideline_json", "sideline_binary"]
[sync]
url = "http://127.0.0.1:{cloud}"
token_file = "enrolment/token"
[release]
root_file = "enrolment/root.json"
poll_s = 10
shadow_s = 3
activate_in_session = true
"""


class Site:
    """Every process of the run, in one folder; `stop` ends all of them."""

    def __init__(self, folder: Path, *, all_models: bool) -> None:
        self._folder = folder
        self._all_models = all_models
        self._processes: list[subprocess.Popen[bytes]] = []
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        assert program, "needs mosquitto"
        self.broker = Broker(program, folder / "broker")
        self.gateway: subprocess.Popen[bytes] | None = None
        self.load: subprocess.Popen[bytes] | None = None

    async def start(self) -> str:
        """Start everything but the load and return the gateway's address, once every model runs."""
        self.broker.start()
        cloud, port = str(self._folder / "cloud"), free_port()
        self._command("cloud", "setup", "--cloud-dir", cloud)
        enrolment = str(self._folder / "enrolment")
        self._command("cloud", "enroll", "gw-soak", "--cloud-dir", cloud, "--out", enrolment)
        models = sorted(one for one in (ROOT / "deployment" / "models").iterdir() if one.is_dir())
        for model in models:
            self._command("cloud", "release", model.name, "--from", str(model), "--cloud-dir", cloud)
        self._program("cloud", "cloud", "api", "--cloud-dir", cloud, "--port", str(port))
        write_roster(mix_roster(squad_profiles(ATHLETES, 7)), self._folder / "roster.json")
        settings = self._folder / "gateway.toml"
        settings.write_text(_SETTINGS.format(broker=self.broker.port, cloud=port))
        ready = self._folder / "ready.json"
        words = ["run", "--settings", str(settings), "--ready-file", str(ready), "--log-level", "warning"]
        self.gateway = self._program("gateway", "edge", *words)
        async with asyncio.timeout(_READY_S):
            while not ready.exists():
                self.check()
                await asyncio.sleep(0.1)
        url = str(json.loads(ready.read_text())["url"])
        async with asyncio.timeout(_READY_S):
            while not self._runs(await gateway_health(url), len(models)):
                self.check()
                await asyncio.sleep(0.5)
        return url

    def start_load(self, seconds: float) -> None:
        """Let the athletes train for so long."""
        words = ["load", "--mix", "--tags", str(ATHLETES), "--seconds", str(seconds), "--json"]
        self.load = self._program(
            "load", "firmware_sim", *words, "--mqtt", f"127.0.0.1:{self.broker.port}", output="load.json"
        )

    def _runs(self, health: dict[str, Any], models: int) -> bool:
        """Return whether links are up and models run. Raises: RuntimeError for a refused one, if all are to run."""
        refused = [f"{one['name']}: {one['reason']}" for one in health["models"] if one["state"] == "refused"]
        if refused and self._all_models:
            raise RuntimeError(f"a model was refused, the machine may be too busy: {refused}")
        up = {link["link"] for link in health["links"] if link["up"]}
        known = sum(one["version"] is not None for one in health["models"]) + len(refused)
        return {"broker", "cloud"} <= up and known >= models

    def check(self) -> None:
        """Raise RuntimeError when the gateway or the cloud has ended."""
        for process in self._processes:
            if process is not self.load and process.poll() is not None:
                logs = "".join(log.read_text()[-500:] for log in sorted(self._folder.glob("*.log")))
                raise RuntimeError(f"a process ended with {process.returncode}: {logs}")

    def load_report(self) -> dict[str, Any]:
        """Return what the load sent, once it has ended."""
        found: dict[str, Any] = json.loads((self._folder / "load.json").read_text().strip().splitlines()[-1])
        return found

    def stored_bytes(self) -> int:
        """Return the size of everything in the gateway's folder."""
        sizes = 0
        for file in (self._folder / "data").rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                sizes += file.stat().st_size
        return sizes

    def stop(self) -> None:
        """End everything."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.broker.stop()

    def _command(self, *words: str) -> None:
        subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True, cwd=ROOT)

    def _program(self, name: str, *words: str, output: str | None = None) -> subprocess.Popen[bytes]:
        with (
            (self._folder / f"{name}.log").open("ab") as log,
            (self._folder / (output or f"{name}.out")).open("wb") as out,
        ):
            process = subprocess.Popen([sys.executable, "-m", *words], stdout=out, stderr=log, cwd=ROOT)
        self._processes.append(process)
        return process


class Tablet:
    """A tablet that notes how old each position is when it comes."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("http", "ws", 1) + "/ws/live"
        self._newest: dict[str, int] = {}
        self._ages_ms: list[float] = []
        self.connections = 0

    async def watch(self) -> None:
        """Stay connected until cancelled."""
        while True:
            with contextlib.suppress(OSError, ConnectionClosed):
                async with connect(self._url, max_size=None) as socket:
                    self.connections += 1
                    await socket.recv()  # the picture as it was before
                    async for text in socket:
                        self._take(json.loads(text), time.time_ns())
            await asyncio.sleep(0.5)

    def take_ages_ms(self) -> list[float]:
        """Return the ages since the last call, from the device's measurement to here."""
        ages, self._ages_ms = self._ages_ms, []
        return ages

    def _take(self, message: dict[str, Any], now_ns: int) -> None:
        for tile in message.get("tiles", ()):
            number = tile["position_seq"]
            if number is not None and number > self._newest.get(tile["athlete"], -1):
                self._newest[tile["athlete"]] = number
                self._ages_ms.append((now_ns - tile["position_ns"]) / 1e6)


async def soak(minutes: float, folder: Path, kept: Path, *, all_models: bool) -> dict[str, Any]:
    """Run for so long and return the record, which is kept in `kept` as it grows."""
    started = f"{datetime.now(tz=UTC):%Y-%m-%d %H:%M}"
    record: dict[str, Any] = {"started": started, "version": version("sideline"), "minutes": minutes, "samples": []}
    site = Site(folder, all_models=all_models)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watching: asyncio.Task[None] | None = None
    try:
        url = await site.start()
        tablet = Tablet(url)
        watching = asyncio.create_task(tablet.watch())
        site.start_load(minutes * 60)
        begun_s = time.monotonic()
        while site.load is not None and site.load.poll() is None and not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), EVERY_S)
            site.check()
            try:
                record["samples"].append(await _sample(site, tablet, url, time.monotonic() - begun_s))
            except httpx.TimeoutException:  # a machine too busy to answer in ten seconds ends no run of a day
                record["unanswered"] = record.get("unanswered", 0) + 1
            record["result"] = _judge(record["samples"])
            _keep(record, kept)
        if not stop.is_set():
            record["result"] |= await _finish(site, url, tablet)
            record["ended"] = f"{datetime.now(tz=UTC):%Y-%m-%d %H:%M}"
            _keep(record, kept)
    finally:
        if watching is not None:
            watching.cancel()
            await asyncio.wait({watching})
        site.stop()
    return record


async def _sample(site: Site, tablet: Tablet, url: str, seconds: float) -> dict[str, float | None]:
    assert site.gateway is not None
    process = psutil.Process(site.gateway.pid)
    health = await gateway_health(url)
    ages = tablet.take_ages_ms()
    cpu = process.cpu_times()
    return {
        "s": round(seconds),
        "rss_mb": round(process.memory_info().rss / 1024**2, 1),
        "files": process.num_fds(),
        "threads": process.num_threads(),
        "cpu_s": round(cpu.user + cpu.system, 1),
        "store_mb": round(site.stored_bytes() / 1e6, 1),
        "readings": health["store"]["readings"],
        "backlog_batches": health["store"]["backlog_batches"],
        "live_dropped": health["live_dropped"],
        "tablet_ms_p50": round(float(np.percentile(ages, 50)), 1) if ages else None,
        "tablet_ms_p99": round(float(np.percentile(ages, 99)), 1) if ages else None,
        "load_average": round(psutil.getloadavg()[0], 1),
    }


def _judge(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the slope of memory by least squares after the warm-up, and what files and threads did in that time."""
    warm_s = min(_WARM_UP_S, samples[-1]["s"] / 3)
    steady = [one for one in samples if one["s"] >= warm_s]
    hours = np.array([one["s"] for one in steady]) / 3600
    rss = np.array([one["rss_mb"] for one in steady])
    p50 = [one["tablet_ms_p50"] for one in steady if one["tablet_ms_p50"] is not None]
    p99 = [one["tablet_ms_p99"] for one in steady if one["tablet_ms_p99"] is not None]
    return {
        "rss_mb_per_h": round(float(np.polyfit(hours, rss, 1)[0]), 2) if len(steady) > 2 else None,
        "rss_mb": [float(rss.min()), float(rss.max()), float(rss[-1])],
        "files": [min(one["files"] for one in steady), max(one["files"] for one in steady)],
        "threads": [min(one["threads"] for one in steady), max(one["threads"] for one in steady)],
        "tablet_ms_p50": round(float(np.median(p50)), 1) if p50 else None,
        "tablet_ms_p99": round(float(np.median(p99)), 1) if p99 else None,
        "tablet_ms_p99_worst": max(p99, default=None),
        "backlog_batches_most": max(one["backlog_batches"] for one in steady),
        "bytes_per_reading": round(1e6 * steady[-1]["store_mb"] / max(1, steady[-1]["readings"]), 1),
    }


async def _finish(site: Site, url: str, tablet: Tablet) -> dict[str, Any]:
    """Let what is on its way arrive, and count what was acknowledged to the load and does not stand in the store."""
    sent = site.load_report()
    wanted = sum(kind["readings"] for kind in sent["kinds"].values())
    begun_s = newest_s = time.monotonic()
    newest = -1
    health = await gateway_health(url)
    while time.monotonic() - begun_s < _DRAIN_S:
        health = await gateway_health(url)
        if health["store"]["readings"] != newest:
            newest, newest_s = health["store"]["readings"], time.monotonic()
        if health["sync_lag_s"] is None and (newest >= wanted or time.monotonic() - newest_s > _QUIET_S):
            break
        await asyncio.sleep(0.5)
    return {
        "messages_acknowledged": sent["acked"],
        "messages_sent": sent["sent"],
        "messages_per_s": sent["sent_per_s"],
        "readings_sent": wanted,
        "readings_stored": health["store"]["readings"],
        "readings_lost": max(0, wanted - health["store"]["readings"]),
        "waiting_for_the_cloud": health["store"]["backlog_batches"],
        "gaps": health["gaps"],
        "tablet_connections": tablet.connections,
        "models": {one["name"]: [one["version"], one["inferences"]] for one in health["models"]},
    }


def _one_a_minute(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first sample of each minute, and the last of all."""
    firsts = {sample["s"] // 60: sample for sample in reversed(samples)}
    return [*reversed(firsts.values()), *(sample for sample in samples[-1:] if sample not in firsts.values())]


def _keep(record: dict[str, Any], kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    fresh = kept.with_suffix(".new")
    lines = ",\n".join(json.dumps(sample) for sample in _one_a_minute(record["samples"]))
    rest = json.dumps({name: value for name, value in record.items() if name != "samples"})
    fresh.write_text(f'{rest[:-1]}, "samples": [\n{lines}\n]}}\n')
    fresh.replace(kept)


def main() -> int:
    """Run, print the result, and fail when readings were lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=KEPT)
    parser.add_argument("--any-models", action="store_true", help="go on when a model is too slow for a busy machine")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        record = asyncio.run(soak(chosen.minutes, Path(folder), chosen.out, all_models=not chosen.any_models))
    print(json.dumps(record.get("result"), indent=1))
    return 0 if record.get("result", {}).get("readings_lost") == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
