"""All benchmarks of the parts, one after another, into their section of tests/bench/RESULTS.md.

.venv/bin/python -m tests.bench.run [--seconds 10]        about eight minutes
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench.page import RESULTS, ROOT, keep, write_section

COMMAND = "parts"
BARS = {"ingest": 4_500, "latency": 100, "graphs": 500, "core_percent": 25, "replay_s": 60, "decoders": 200_000}
SIG = (
    "2A37 with two intervals",
    "2A53 with every field",
    "2A5B with wheel and crank",
    "2A63 with balance and crank",
    "2AD2 with five fields",
)


def last_json(*command: str) -> dict[str, Any]:
    """Run a program and return the JSON object on its last line."""
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def written_json(file: Path, *command: str) -> dict[str, Any]:
    """Run a program that writes a JSON file and return what it holds."""
    subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, check=True)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def environment() -> dict[str, str]:
    """Return the environment in which the tests' own modules can be imported."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def measure(folder: Path, seconds: float) -> dict[str, Any]:
    """Run every benchmark."""
    python, bench = sys.executable, "tests/bench"
    demo = [python, "deployment/demo.py", "--port", "0", "--seconds", "110", "--data-dir", str(folder / "demo")]
    results: dict[str, Any] = {}
    print("ingest", flush=True)
    report = folder / "ingest.json"
    results["ingest"] = written_json(
        report, python, f"{bench}/ingest.py", "--seconds", str(seconds), "--json", str(report)
    )
    print("decoders", flush=True)
    results["decoders"] = last_json(python, f"{bench}/decoders.py")["decoders"]
    print("metrics", flush=True)
    report = folder / "metrics.json"
    results["metrics"] = written_json(report, python, f"{bench}/metrics.py", "--json", str(report))
    print("radio", flush=True)
    report = folder / "radio.json"
    results["radio"] = written_json(report, python, "-m", "tests.bench.radio", "--json", str(report))["radio"]
    print("demo (latency)", flush=True)
    report = folder / "demo.json"
    results["demo"] = written_json(report, *demo, "--report", str(report))
    print("trajectory", flush=True)
    results["trajectory"] = last_json(python, f"{bench}/trajectory.py")
    print("effort", flush=True)
    results["effort"] = last_json(python, f"{bench}/effort.py")
    print("serving", flush=True)
    results["serving"] = last_json(python, "-m", "tests.bench.serving")
    return results


def page(results: dict[str, Any], started: datetime) -> str:
    """Return the results as a page for people; every figure names its command."""
    ingest, demo, graphs, rows = (results[name] for name in ("ingest", "demo", "trajectory", "effort"))
    tablet = demo["sensor_to_tablet_ms"]
    one, many = (
        {row["inputs"]: row for row in results["serving"]["served"] if row["model"] == "effort"}[n] for n in (1, 100)
    )
    rates = "\n".join(
        f"| {row['wanted_per_s']:,} | {row['sent_per_s']:,} | {'yes' if row['kept_up'] else 'no'} | {row['behind_s']} | "
        f"{row['cpu_s_per_100k']} | {row['rss_mb']} | {row['load_average']} |"
        for row in ingest["rates"]
    )
    replay, live = results["metrics"]["replay"], results["metrics"]["live"]
    slowest = min((row for row in results["decoders"] if row["frames"] in SIG), key=lambda row: row["per_s"])
    sums = {key: sum(row[key] for row in results["radio"]) for key in ("sent", "received", "twice", "rejected")}
    return f"""## Parts

{started:%Y-%m-%d %H:%M} UTC, {platform.system()} {platform.machine()}, {os.cpu_count()} cores shared with broker, load
generator and other work (load average {os.getloadavg()[0]:.1f} at the end), Python {platform.python_version()},
onnxruntime {version("onnxruntime")}, mqtt5 {version("mqtt5")}. Absolute figures of a shared machine vary by a factor
of two; ratios hold. `make bench` makes this page again.

| what | bar | measured | command |
|---|---|---|---|
| durable MQTT ingest, QoS 1, acknowledged after the commit | ≥ {BARS["ingest"]:,} msg/s | {ingest["kept_up_per_s"]:,} msg/s kept up | `tests/bench/ingest.py` |
| the same, draining a backlog of {ingest["drain"]["backlog"]:,} | – | {ingest["drain"]["stored_per_s"]:,} msg/s | `tests/bench/ingest.py` |
| decode, validate and metrics of 60 athletes: 1,500 positions, 60 heart rates, 600 ten-sample IMU frames a second | ≤ {BARS["core_percent"]} % of a core | {live["core_percent"]} % | `tests/bench/metrics.py` |
| 2 h of 22 players at 25 Hz with heart rate and RR replayed through all metrics, {replay["readings"]:,} readings | ≤ {BARS["replay_s"]} s | {replay["cpu_s"]} CPU-s | `tests/bench/metrics.py` |
| Bluetooth SIG frames decoded, one core | ≥ {BARS["decoders"]:,}/s | {slowest["per_s"]:,}/s for the slowest, {slowest["frames"]} | `tests/bench/decoders.py` |
| 100 straps at 1 Hz, 30 pods at 50 Hz, five adapters: lost, twice, refused | 0 | {sums["sent"] - sums["received"]}, {sums["twice"]}, {sums["rejected"]} of {sums["sent"]:,} | `python -m tests.bench.radio` |
| sensor → tablet p99, 22 athletes | ≤ {BARS["latency"]} ms | {tablet["p99"]} ms (p50 {tablet["p50"]}, n {tablet["n"]:,}) | `make demo ARGS="--seconds 110 --report r.json"` |
| sensor → cloud p50 / p99, batches of 3 s | – | {demo["sensor_to_cloud_s"]["p50"]} / {demo["sensor_to_cloud_s"]["p99"]} s | the same |
| lost / duplicated readings in that run | 0 / 0 | {demo["lost"]} / {demo["duplicates"]} of {demo["readings_stored"]:,} | the same |
| trajectory model, one thread, one graph of 23 | ≥ {BARS["graphs"]} graphs/s | {graphs["onnx_graphs_per_s"]:,} graphs/s, {graphs["ratio"]}× torch eager | `tests/bench/trajectory.py` |
| effort model, one row | – | {rows["onnx_us"]} µs, {rows["ratio"]}× scikit-learn | `tests/bench/effort.py` |
| `/predict` of that model, one row and 100 in a call, p50 / p99 | – | {one["served_p50_ms"]} / {one["served_p99_ms"]} and {many["served_p50_ms"]} / {many["served_p99_ms"]} ms; the model alone {one["onnx_p50_ms"]} and {many["onnx_p50_ms"]} ms | `python -m tests.bench.serving` |
| the demo's gateway over {110} s | – | {demo["gateway"]["cpu_s"]} CPU-s, {demo["gateway"]["rss_mb"]} MB | as the latency |

### Decoders

Frames per CPU-second on one core, and beside PyPI bluetooth-sig in the same run.

| frames | a second | × bluetooth-sig |
|---|---|---|
{decoders_table(results["decoders"])}

### Many Bluetooth sensors

Five adapters; HCI is GATT over a virtual air, BlueZ is bleak's own backend against a fake `org.bluez`. Latency is from
the sensor to its decoded reading; the sensors run beside the gateway on the same two cores.

| radio | straps, 1 Hz | pods, 50 Hz | sent | received | p50 ms | p99 ms | gateway CPU, one core |
|---|---|---|---|---|---|---|---|
{radio_table(results["radio"])}

### Ingest by rate

60 tags, our JSON profile, with decode, validation, live totals and journal; the live tablet is not connected.

| wanted msg/s | sent msg/s | kept up | behind s | CPU-s per 100k | RSS MB | load average |
|---|---|---|---|---|---|---|
{rates}
"""


def decoders_table(rows: list[dict[str, Any]]) -> str:
    """Return the decoders' rates as rows."""
    return "\n".join(f"| {row['frames']} | {row['per_s']:,} | {row['ratio'] or '–'} |" for row in rows)


def radio_table(rows: list[dict[str, Any]]) -> str:
    """Return the radio cases as rows."""
    return "\n".join(
        f"| {row['radio']} | {row['straps']} | {row['pods']} | {row['sent']:,} | {row['received']:,} | {row['p50_ms']} | "
        f"{row['p99_ms']} | {row['gateway_cpu_percent']} % |"
        for row in rows
    )


def main() -> None:
    """Measure everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the ingest bench sends at each rate")
    options = parser.parse_args()
    started = datetime.now(tz=UTC)
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), options.seconds)
    keep(COMMAND, "found", results)
    write_section(COMMAND, page(results, started))
    print(f"wrote {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
