"""What the demo measured, as JSON: nothing here is assumed, and what was not measured is null."""

from __future__ import annotations

import json
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path
from typing import Any

from demo_watch import Arrivals

NS_PER_MS = 1e6


def percentiles(values: list[float]) -> dict[str, float | int | None]:
    """Return the median, the 99th percentile and how many values they stand on."""
    ordered = sorted(values)
    if not ordered:
        return {"p50": None, "p99": None, "n": 0}
    pick = [ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))] for share in (0.5, 0.99)]
    return {"p50": round(pick[0], 2), "p99": round(pick[1], 2), "n": len(ordered)}


def sensor_to_tablet(truth: Path, roster: Path, arrivals: Arrivals) -> dict[str, Any]:
    """Compare the simulator's stamp at emission with the arrival at the headless tablet, in milliseconds.

    Positions are matched by the tag's own count. A strap does not count: its n-th notification is the gateway's n-th,
    and the pair is used only if the heart rate agrees too.
    """
    wearer = {a["sensor"]: a["athlete"] for a in json.loads(roster.read_text())["assignments"]}
    positions: list[float] = []
    heart_rates: list[float] = []
    for line in truth.read_text().splitlines():
        sent = json.loads(line)
        key = (wearer[sent["sensor"]], sent["n"])
        if sent["kind"] == "position" and (found := arrivals.positions.get(key)):
            positions.append((found[0] - sent["t_ns"]) / NS_PER_MS)
        elif sent["kind"] == "heart_rate" and (heard := arrivals.heart_rates.get(key)) and heard[1] == sent["bpm"]:
            heart_rates.append((heard[0] - sent["t_ns"]) / NS_PER_MS)
    return {
        **percentiles(positions + heart_rates),
        "positions": percentiles(positions),
        "heart_rates": percentiles(heart_rates),
    }


def versions(broker: str) -> dict[str, str]:
    """Return the versions of what took part."""
    names = ("sideline", "aiomqtt", "bleak", "bumble", "onnxruntime", "apache-beam", "deltalake", "scikit-learn", "tuf")
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "broker": broker,
        **{name: version(name) for name in names},
    }
