"""ThingsBoard gateway and Sideline side by side on this machine, and Sideline against its bars; part by part.

Results go to artifacts/bench/gateway.json and to their section of tests/bench/RESULTS.md.

.venv/bin/python -m tests.bench.gateway [--only PART ...] [--seconds 20] [--hours 1] [--json FILE]      about an hour
"""

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench import rival
from tests.bench.backlog import measure_drain
from tests.bench.broker_pair import mosquitto_version
from tests.bench.coldstart import measure_cold_start
from tests.bench.faulty import measure_faults
from tests.bench.gateway_page import section
from tests.bench.latency import measure_acknowledged, measure_calm, measure_pressed
from tests.bench.page import ROOT, keep, kept, write_section
from tests.bench.speed import measure_rates
from tests.bench.stored_bytes import measure_bytes

COMMAND = "gateway"
_SOAK = ROOT / "tests" / "faults" / "records" / "soak.json"


def surroundings() -> dict[str, Any]:
    """Return what the figures hang on."""
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "mosquitto": mosquitto_version(),
        "sideline": version("sideline"),
        "thingsboard": rival.VERSION,
    }


async def soak(_: Path) -> dict[str, Any] | None:
    """Return what the long run of the fault matrix has found; None before there was one."""
    if not _SOAK.exists():
        return None
    found: dict[str, Any] = json.loads(_SOAK.read_text())
    return found


def parts(options: argparse.Namespace, python: Path | None) -> dict[str, Callable[[Path], Awaitable[Any]]]:
    """Return every part by name; each gets a folder of its own."""
    seconds = options.seconds
    return {
        "rates": lambda folder: measure_rates(folder, python, seconds=seconds, rounds=options.rounds),
        "calm": lambda folder: measure_calm(folder, seconds=3 * seconds),
        "acknowledged": lambda folder: measure_acknowledged(folder, seconds=seconds),
        "pressed": lambda folder: measure_pressed(folder, seconds=3 * seconds, hours=options.backlog_hours),
        "faults": lambda folder: measure_faults(folder, python),
        "bytes": lambda folder: measure_bytes(folder, python),
        "drain": lambda folder: measure_drain(folder, hours=options.hours),
        "cold": measure_cold_start,
        "soak": soak,
    }


def measure(name: str, part: Callable[[Path], Awaitable[Any]]) -> dict[str, Any]:
    """Run one part in a folder that goes with it; say when, and how busy the machine was before and after."""
    began, load_before = datetime.now(tz=UTC), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
        found = asyncio.run(part(Path(folder)))
    loads = [round(load_before, 2), round(os.getloadavg()[0], 2)]
    return {"began": f"{began:%Y-%m-%d %H:%M} UTC", "load_average": loads, "found": found}


def main() -> None:
    """Measure the parts that were asked for and rewrite the section from all that is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    known = list(parts(argparse.Namespace(seconds=0, rounds=0, hours=0, backlog_hours=0), None))
    parser.add_argument("--only", nargs="+", choices=known, default=known, metavar="PART", help=", ".join(known))
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to send at each rate")
    parser.add_argument("--rounds", type=int, default=2, help="how often both gateways take turns")
    parser.add_argument("--hours", type=float, default=1.0, help="how long the cloud was away before the drain")
    parser.add_argument("--backlog-hours", type=float, default=2.0, help="what drains beside live load")
    parser.add_argument("--json", type=Path, help="also write all that is known to this file")
    options = parser.parse_args()
    python = rival.installed() if {"rates", "faults", "bytes"} & set(options.only) else None
    keep(COMMAND, "surroundings", surroundings())
    for name in options.only:
        print(name, flush=True)
        keep(COMMAND, name, measure(name, parts(options, python)[name]))
        print(json.dumps(kept(COMMAND)[name]), flush=True)
        write_section(COMMAND, section(kept(COMMAND)))
    if options.json:
        options.json.write_text(json.dumps(kept(COMMAND), indent=1) + "\n")


if __name__ == "__main__":
    main()
