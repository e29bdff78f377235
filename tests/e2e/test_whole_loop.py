import asyncio
import contextlib
import json
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.async_api import async_playwright

from tests.integration.gateway_process import free_port
from tests.tools import ROOT, require_tool

SECONDS = 115
STOP_S = 5.0


class DemoRun:
    """`make demo` without make: the demo's program with its own folder and port."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.folder = folder
        self._words = ["--port", str(port), "--data-dir", str(folder / "demo"), *words]
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *, until: str = "ready in") -> None:
        """Start it and wait until it says so."""
        with (self.folder / "demo.log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, str(ROOT / "deployment" / "demo.py"), *self._words, stdout=log, stderr=log
            )
        async with asyncio.timeout(90):
            while until not in self.text():
                assert self.process.returncode is None, self.text()
                await asyncio.sleep(0.1)

    def text(self) -> str:
        """Return what it printed so far."""
        return (self.folder / "demo.log").read_text(encoding="utf-8")

    def children(self) -> list[psutil.Process]:
        """Return the programs that it has started."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def health(self) -> dict[str, Any]:
        """Ask its gateway for the health page."""
        with urllib.request.urlopen(f"{self.url}/api/health", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


@pytest.fixture
async def run(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[DemoRun]:
    """A started demo with the test's own words, ended in any case."""
    require_tool("mosquitto")
    (ROOT / "artifacts").mkdir(exist_ok=True)
    demo = DemoRun(tmp_path, *request.param)
    await demo.start()
    yield demo
    if demo.process is not None and demo.process.returncode is None:
        demo.process.send_signal(signal.SIGINT)
        await demo.process.wait()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("run", [("--seconds", str(SECONDS), "--report", "artifacts/report.json")], indirect=True)
async def test_demo_when_it_runs_two_minutes_then_the_loop_closes_and_nothing_is_lost(run: DemoRun) -> None:
    """Sensors, gateway, tablet, cloud, pipeline, training, release and swap work together, and the counts agree."""
    chromium = require_tool("chromium")
    screens = ROOT / "artifacts" / "screens"
    screens.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await page.goto(run.url)
        await page.locator(".tile").nth(21).wait_for()
        await asyncio.sleep(60)
        await page.screenshot(path=screens / "demo-live.png")
        await page.goto(f"{run.url}/#/map")
        await asyncio.sleep(12)
        await page.screenshot(path=screens / "demo-map.png")
        await page.goto(f"{run.url}/#/health")
        await asyncio.sleep(2)
        await page.screenshot(path=screens / "demo-health.png")
        await browser.close()
    assert run.process is not None
    assert await run.process.wait() == 0, run.text()
    report = json.loads((ROOT / "artifacts" / "report.json").read_text())
    assert report["frames_acked"] > 20_000
    faults = ("lost", "duplicates", "mismatched", "unexpected", "quarantined")
    assert {fault: report[fault] for fault in faults} == dict.fromkeys(faults, 0)
    assert report["readings_in_cloud"] == report["readings_stored"]
    assert report["sensor_to_tablet_ms"]["n"] > 10_000
    assert report["sensor_to_cloud_s"]["p99"] > 0
    assert report["inferences"] > 500
    models = {model["name"]: model["version"] for model in report["models"]}
    assert models["effort"] == report["retrained"]["version"] != "1.0.0"
    assert models["trajectory"] == "1.0.0"
    assert report["activated_s"] > 0


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("run", [("--athletes", "4")], indirect=True)
async def test_demo_when_the_gateway_is_killed_then_it_comes_back_and_goes_on(run: DemoRun) -> None:
    """Whatever ends is started again, and the session's readings are still there."""
    await stored_more_than(run, 100)
    before = run.health()["store"]["readings"]
    gateway = next(child for child in run.children() if "edge" in child.cmdline())
    gateway.kill()
    await stored_more_than(run, before + 100)
    assert "gateway had ended and was started again" in run.text()


async def stored_more_than(run: DemoRun, readings: int) -> None:
    """Wait until the gateway has stored more than so many readings; it may be down meanwhile."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError):
                if (await asyncio.to_thread(run.health))["store"]["readings"] > readings:
                    return
            await asyncio.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("run", [("--athletes", "4")], indirect=True)
async def test_demo_when_interrupted_then_everything_stops_within_five_seconds(run: DemoRun) -> None:
    """Ctrl-C stops every process that the demo has started, and leaves none behind."""
    children = run.children()
    assert len(children) >= 4
    assert run.process is not None
    began = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    assert await run.process.wait() == 0, run.text()
    assert time.monotonic() - began < STOP_S
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


async def test_demo_when_the_port_is_in_use_then_it_says_so_and_how_to_go_on(tmp_path: Path) -> None:
    """A taken port gives one line with the way out before anything is started."""
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(ROOT / "deployment" / "demo.py"), "--port", str(port), "--data-dir",
            str(tmp_path / "demo"), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await process.communicate()
    assert process.returncode == 1
    assert f"port {port} is in use" in output.decode()
    assert "--port" in output.decode().split("→")[1]
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_demo_when_stopped_while_it_starts_then_everything_stops_within_five_seconds(
    tmp_path: Path, number: signal.Signals
) -> None:
    """A command that a start waits for is ended too, in whichever thread it is waited for."""
    demo = DemoRun(tmp_path, "--athletes", "4")
    async with asyncio.timeout(30):
        await demo.start(until="broker ")
        while not any("cloud" in child.cmdline() for child in demo.children()):
            await asyncio.sleep(0.01)
    children = demo.children()
    assert demo.process is not None
    began = time.monotonic()
    demo.process.send_signal(number)
    assert await demo.process.wait() == 0, demo.text()
    assert time.monotonic() - began < STOP_S
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
