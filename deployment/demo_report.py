"""What the demo measured, as JSON: nothing here is assumed, and what was not measured is null."""

from __future__ import annotations

import json
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path
from typing import Any

from demo_start import Demo
from demo_watch import Arrivals

NS_PER_MS = 1e6
NS_PER_S = 1e9
FAULTS = ("lost", "duplicates", "mismatched", "unexpected")


def make_report(demo: Demo, state: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Put together what was measured: `state` is the gateway's health, `found` what `verify` says."""
    sent = json.loads((demo.folder / "truth.summary.json").read_text())
    arrivals = demo.tablet.arrivals if demo.tablet else None
    return {
        "frames_sent": sent["frames_sent"],
        "frames_acked": sent["frames_acked"],
        "readings_stored": state["store"]["readings"],
        "readings_in_cloud": found["arrival"]["readings"],
        **{fault: found[fault] for fault in FAULTS},
        "quarantined": sum(entry["count"] for entry in state["quarantine"]),
        "inferences": sum(model["inferences"] for model in state["models"]),
        "sensor_to_tablet_ms": sensor_to_tablet(demo.folder / "truth.jsonl", demo.folder / "roster.json", arrivals)
        if arrivals
        else None,
        "sensor_to_cloud_s": {"p50": found["arrival"]["p50_s"], "p99": found["arrival"]["p99_s"]},
        **retraining(demo.retrained, demo.retrained_ns, state["models"]),
        "models": [
            {"name": m["name"], "version": m["version"], "active_since": m["active_since_ns"]} for m in state["models"]
        ],
        "gateway": {"cpu_s": state["cpu_s"], "rss_mb": state["rss_mb"]},
        "versions": versions(demo.broker),
    }


def retraining(done: dict[str, Any] | None, done_ns: int | None, models: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what was retrained and how long its parts took; a part that did not take place took no time but null."""
    if done is None or done_ns is None:
        return {"retrained": None, "released_s": None, "activated_s": None}
    new = done["version"] is not None
    active = next((m for m in models if new and m["name"] == "effort" and m["version"] == done["version"]), None)
    return {
        "retrained": {
            "data_set_version": done["data_set_version"],
            "data_digest": done["data_digest"],
            "trained_s": done["trained_s"] if new else None,
            "version": done["version"],
        },
        "released_s": done["released_s"] if new else None,
        "activated_s": (active["active_since_ns"] - done_ns) / NS_PER_S
        if active and active["active_since_ns"]
        else None,
    }


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
    names = ("sideline", "mqtt5", "bleak", "bumble", "onnxruntime", "apache-beam", "deltalake", "scikit-learn", "tuf")
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "broker": broker,
        **{name: version(name) for name in names},
    }
