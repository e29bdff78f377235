"""Durable MQTT ingest of one gateway: messages a second that it keeps up with, and CPU-seconds per 100,000.

Decode, time, validation, roster, live path and a FULL commit before each acknowledgement, on a real mosquitto at
QoS 1; broker, load generator and gateway share this machine.

.venv/bin/python tests/bench/ingest.py [--seconds 10] [--json FILE]
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.fakes.broker import Broker
from tests.integration.gateway_process import Program, gateway_health, until_link, write_settings, write_squad
from tests.tools import require_tool

TAGS = 60
RATES_PER_S = (2_160, 4_500, 6_000, 8_000, 10_000, 12_500, 15_000)
BACKLOG = 60_000
# Behind by more than this when the sending ends means that the rate is too high.
KEPT_UP_S = 1.0


async def load(broker: Broker, *, rate_per_s: int, seconds: float) -> dict[str, Any]:
    """Publish at a rate and return what the generator reports."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "firmware_sim", "load", "--rate", str(rate_per_s), "--seconds", str(seconds),
        "--tags", str(TAGS), "--mqtt", f"127.0.0.1:{broker.port}", "--json", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    found: dict[str, Any] = json.loads(output)
    return found


async def until_stored(url: str, count: int, *, bound_s: float = 120.0) -> float:
    """Wait until the gateway has stored `count` readings and return how long that took."""
    began = time.monotonic()
    while (await gateway_health(url))["store"]["readings"] < count:
        if time.monotonic() - began > bound_s:
            raise TimeoutError(f"fewer than {count} readings stored after {bound_s:.0f} s")
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def measure_rates(folder: Path, broker: Broker, seconds: float) -> list[dict[str, Any]]:
    """Raise the rate until the gateway falls behind."""
    write_squad(folder, [f"tag-{i:02d}" for i in range(1, TAGS + 1)])
    rows: list[dict[str, Any]] = []
    settings = write_settings(folder, broker_port=broker.port)
    async with Program(folder, "gateway", "edge", "run", "--settings", str(settings)) as gateway:
        url = (await gateway.start())["url"]
        await until_link(url, "broker", up=True)
        assert gateway.process is not None
        process = psutil.Process(gateway.process.pid)
        for rate in RATES_PER_S:
            before = (await gateway_health(url))["store"]["readings"]
            cpu = process.cpu_times()
            began = time.monotonic()
            report = await load(broker, rate_per_s=rate, seconds=seconds)
            behind_s = await until_stored(url, before + stored_readings(report["sent"]))
            spent = process.cpu_times()
            row = {
                "wanted_per_s": rate,
                "sent_per_s": report["sent_per_s"],
                "stored_per_s": round(report["sent"] / (time.monotonic() - began), 1),
                "behind_s": round(behind_s, 2),
                "kept_up": behind_s < KEPT_UP_S and report["sent_per_s"] > 0.97 * rate,
                "cpu_s_per_100k": round(
                    (spent.user + spent.system - cpu.user - cpu.system) / report["sent"] * 100_000, 2
                ),
                "rss_mb": round(process.memory_info().rss / 1024**2, 1),
                "load_average": round(os.getloadavg()[0], 2),
            }
            print(row, flush=True)
            rows.append(row)
            if not row["kept_up"]:
                break
    return rows


async def measure_drain(folder: Path, broker: Broker) -> dict[str, Any]:
    """Let the broker hold a backlog while the gateway is down, then measure how fast it is stored."""
    write_squad(folder, [f"tag-{i:02d}" for i in range(1, TAGS + 1)])
    settings = write_settings(folder, broker_port=broker.port)
    async with Program(folder, "gateway", "edge", "run", "--settings", str(settings)) as gateway:
        await until_link((await gateway.start())["url"], "broker", up=True)
        await gateway.stop()
        report = await load(broker, rate_per_s=12_000, seconds=BACKLOG / 12_000)
        url = (await gateway.start())["url"]
        began = time.monotonic()
        first = (await gateway_health(url))["store"]["readings"]
        await until_stored(url, stored_readings(report["sent"]))
        seconds = time.monotonic() - began
        assert gateway.process is not None
        cpu = psutil.Process(gateway.process.pid).cpu_times()
    drained = stored_readings(report["sent"]) - first
    row = {
        "backlog": report["sent"],
        "stored_per_s": round(drained / seconds, 1),
        "cpu_s_per_100k_with_start": round((cpu.user + cpu.system) / report["sent"] * 100_000, 2),
    }
    print(row, flush=True)
    return row


def stored_readings(messages: int) -> int:
    """Return the readings that so many messages of the load generator make: one position each."""
    return messages


async def measure(seconds: float) -> dict[str, Any]:
    """Run both measurements, each on a broker and a database of its own."""
    with tempfile.TemporaryDirectory() as name:
        results: dict[str, Any] = {}
        for what in ("rates", "drain"):
            folder = Path(name) / what
            folder.mkdir()
            broker = Broker(require_tool("mosquitto"), folder / "broker")
            broker.start()
            try:
                if what == "rates":
                    results[what] = await measure_rates(folder, broker, seconds)
                else:
                    results[what] = await measure_drain(folder, broker)
            finally:
                broker.stop()
    best = [row for row in results["rates"] if row["kept_up"]]
    results["kept_up_per_s"] = max((row["wanted_per_s"] for row in best), default=None)
    return results


def main() -> None:
    """Measure and print; with --json also write a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to send at each rate")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    results = asyncio.run(measure(options.seconds))
    print(json.dumps(results, indent=1))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
