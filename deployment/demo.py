"""The whole loop on one machine: broker, cloud, simulated squad and gateway as separate processes.

make demo                                                   until Ctrl-C
make demo ARGS="--seconds 120 --report report.json"         ends by itself and writes what it measured
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from demo_processes import Children, DemoError, python, run
from demo_report import sensor_to_tablet, versions
from demo_start import ROOT, Demo, console, health, start

MARKER = ".sideline-demo"
# The effort model's inputs need a minute of movement; a third of a minute of a squad on top is enough to train on.
RETRAIN_AT_S = 80.0
RETRAIN_EVERY_S = 600.0
DRAIN_S = 60.0


def main() -> int:
    """Run the demo and return the exit status."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    folder = Path(options.data_dir).resolve()
    demo = Demo(options=options, folder=folder, children=Children(folder / "logs"))
    try:
        prepare(folder)
        start(demo)
        stay(demo)
        if options.seconds:
            return finish(demo)
    except KeyboardInterrupt:
        console.print("\nstopping")
    except DemoError as exc:
        console.print(f"[bold red]error:[/bold red] {exc.problem}\n  → {exc.way_out}")
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave anything running
        if demo.tablet:
            demo.tablet.stop()
        demo.children.stop_all()
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="make demo", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=0, help="end after this long; 0 (default) is until Ctrl-C")
    parser.add_argument("--report", type=Path, help="write what was measured to this JSON file (with --seconds)")
    parser.add_argument("--athletes", type=int, default=22, help="size of the simulated squad, 1 to 100 (default 22)")
    parser.add_argument("--recording", action="append", default=[], help="play this recording instead; may be repeated")
    parser.add_argument("--port", type=int, default=8080, help="port of the tablet page (default 8080)")
    parser.add_argument("--data-dir", default=str(ROOT / ".demo"), help="where everything is kept; made anew each time")
    parser.add_argument("--seed", type=int, default=7, help="another seed, another squad (default 7)")
    options = parser.parse_args()
    if options.report and not options.seconds:
        parser.error("--report needs --seconds")
    return options


def prepare(folder: Path) -> None:
    """Make the data folder anew, but never clear a folder that is not the demo's."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).exists():
            raise DemoError(f"{folder} holds something else", "choose another folder with --data-dir")
        shutil.rmtree(folder)
    (folder / "logs").mkdir(parents=True)
    (folder / MARKER).touch()


def stay(demo: Demo) -> None:
    """Stay until the time is up (or Ctrl-C); retrain the effort model from what was collected meanwhile."""
    begun = time.monotonic()
    seconds = demo.options.seconds or float("inf")
    retrain_at = RETRAIN_AT_S
    while (elapsed := time.monotonic() - begun) < seconds:
        tend(demo)
        if elapsed >= retrain_at:
            retrain(demo)
            retrain_at = time.monotonic() - begun + RETRAIN_EVERY_S
        time.sleep(0.2)


def tend(demo: Demo) -> None:
    """Start again what has ended; in a run that is measured, each part must live through it."""
    if demo.options.seconds:
        demo.children.check()
    for name in demo.children.revive():
        console.print(f"· {name} had ended and was started again")


def effort_slot(demo: Demo) -> dict[str, Any] | None:
    """Return the gateway's slot of the effort model, None while the gateway does not answer."""
    try:
        models: list[dict[str, Any]] = health(demo)["models"]
    except DemoError:
        return None
    return next((model for model in models if model["name"] == "effort"), None)


def retrain(demo: Demo) -> None:
    """Run the retraining job, and wait until the gateway runs the new model."""
    console.print("· retraining effort from what was just collected")
    try:
        output = run(python("cloud", "retrain", "effort", "--data-dir", str(demo.folder / "cloud"), "--json"))
    except DemoError as exc:
        console.print(f"  not retrained: {exc.problem}")
        return
    demo.retrained, demo.retrained_ns = json.loads(output), time.time_ns()
    wanted = demo.retrained["version"]
    if wanted is None:
        console.print("  nothing new to learn from")
        return
    begun = time.monotonic()
    while time.monotonic() - begun < DRAIN_S:
        tend(demo)
        slot = effort_slot(demo)
        if slot and slot["version"] == wanted:
            console.print(
                f"  effort {wanted} is active on the gateway ({time.monotonic() - begun:.1f} s after its release)"
            )
            return
        if slot and slot["candidate_version"] == wanted and slot["state"] == "refused":
            console.print(f"  the gateway refused effort {wanted}: {slot['reason']}")
            return
        time.sleep(0.2)


def finish(demo: Demo) -> int:
    """Stop the sensors, let everything reach the cloud, compare it with what was sent, and write the report."""
    console.print("· stopping the sensors and draining")
    if demo.simulator is not None:
        demo.children.stop(demo.simulator, wait_s=10.0)
    begun = time.monotonic()
    while (state := health(demo))["sync_lag_s"] is not None:
        demo.children.check()
        if time.monotonic() - begun > DRAIN_S:
            raise DemoError("the backlog does not drain", f"see {demo.url}/api/health")
        time.sleep(0.2)
    cloud, truth = str(demo.folder / "cloud"), demo.folder / "truth.jsonl"
    run(python("cloud", "pipeline", "--data-dir", cloud, "--json"))
    verified = subprocess.run(
        python("cloud", "verify", "--data-dir", cloud, "--truth", str(truth), "--json"),
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(verified.stdout)
    if demo.tablet is not None:
        demo.tablet.stop()
    demo.report = make_report(demo, state, found)
    if demo.options.report:
        demo.options.report.write_text(json.dumps(demo.report, indent=2) + "\n")
    console.print_json(data=demo.report)
    return 0 if demo.report["lost"] == 0 and demo.report["duplicates"] == 0 else 1


def make_report(demo: Demo, state: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Put together what was measured."""
    sent = json.loads((demo.folder / "truth.summary.json").read_text())
    active = {m["name"]: m["active_since_ns"] for m in state["models"]}
    retrained = demo.retrained
    arrivals = demo.tablet.arrivals if demo.tablet else None
    return {
        "frames_sent": sent["frames_sent"],
        "frames_acked": sent["frames_acked"],
        "readings_stored": state["store"]["readings"],
        "readings_in_cloud": found["arrival"]["readings"],
        "lost": found["lost"],
        "duplicates": found["duplicates"],
        "quarantined": sum(entry["count"] for entry in state["quarantine"]),
        "inferences": sum(model["inferences"] for model in state["models"]),
        "sensor_to_tablet_ms": sensor_to_tablet(demo.folder / "truth.jsonl", demo.folder / "roster.json", arrivals)
        if arrivals
        else None,
        "sensor_to_cloud_s": {"p50": found["arrival"]["p50_s"], "p99": found["arrival"]["p99_s"]},
        "retrained": retrained
        and {k: retrained[k] for k in ("data_set_version", "data_digest", "trained_s", "version")},
        "released_s": retrained and retrained["released_s"],
        "activated_s": (active["effort"] - demo.retrained_ns) / 1e9
        if retrained and demo.retrained_ns and active.get("effort")
        else None,
        "models": [
            {"name": m["name"], "version": m["version"], "active_since": m["active_since_ns"]} for m in state["models"]
        ],
        "gateway": {"cpu_s": state["cpu_s"], "rss_mb": state["rss_mb"]},
        "versions": versions(demo.broker),
    }


if __name__ == "__main__":
    sys.exit(main())
