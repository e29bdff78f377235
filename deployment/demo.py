"""The whole loop on one machine: broker, cloud, simulated squad and gateway as separate processes.

make demo                                                   until Ctrl-C
make demo ARGS="--seconds 120 --report report.json"         ends by itself and writes what it measured
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from demo_options import arguments, check, claim
from demo_processes import Children, DemoError, failure, python
from demo_report import FAULTS, make_report
from demo_start import ROOT, Demo, console, health, start
from rich.markup import escape

# The effort model's inputs need a minute of movement; a third of a minute of a squad on top is enough to train on.
RETRAIN_AT_S = 80.0
RETRAIN_EVERY_S = 600.0
DRAIN_S = 60.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TABLET_STOP_S = 1.0


def main() -> int:
    """Run the demo and return the exit status."""
    options = arguments(__doc__, ROOT / ".demo")
    on_stop_signals()
    folder = Path(options.data_dir).resolve()
    demo = Demo(options=options, folder=folder, children=Children(folder / "logs"))
    try:
        check(options)
        with claim(folder):
            return run(demo)
    except KeyboardInterrupt:  # before anything was started
        return 1
    except DemoError as exc:
        return failed(exc)


def run(demo: Demo) -> int:
    """Start everything, stay, and stop everything; return the exit status."""
    try:
        start(demo)
        stay(demo)
        if demo.options.seconds:
            return finish(demo)
    except KeyboardInterrupt:
        console.print("\nstopping")
        # A run that was to be measured is not.
        return 1 if demo.options.seconds else 0
    except DemoError as exc:
        return failed(exc)
    finally:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        demo.children.stop_all()
        if demo.tablet:
            demo.tablet.stop(wait_s=TABLET_STOP_S)
    return 0


def failed(exc: DemoError) -> int:
    """Say what went wrong and what to do, and return the exit status."""
    console.print(f"[bold red]error:[/bold red] {escape(exc.problem)}\n  → {escape(exc.way_out)}", soft_wrap=True)
    return 1


def on_stop_signals() -> None:
    """Let the first signal to stop end the program in order; a second must not leave anything running."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        for each in STOP_SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in STOP_SIGNALS:
        # nohup and the shell's `&` ask a program to live through one of them.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


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
        output = demo.children.run(
            python("cloud", "retrain", "effort", "--cloud-dir", str(demo.folder / "cloud"), "--json")
        )
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
    found = compare(demo)
    if demo.tablet is not None:
        demo.tablet.stop()
    demo.report = make_report(demo, state, found)
    console.print_json(data=demo.report)
    if demo.options.report:
        try:
            demo.options.report.write_text(json.dumps(demo.report, indent=2) + "\n")
        except OSError as exc:
            raise DemoError(f"{demo.options.report} cannot be written: {exc.strerror}", "it stands above") from exc
    return 0 if all(demo.report[fault] == 0 for fault in FAULTS) else 1


def compare(demo: Demo) -> dict[str, Any]:
    """Build the tables and compare them with what the simulator says it sent.

    Raises: DemoError when they cannot be compared; a difference is a result.
    """
    cloud, truth = str(demo.folder / "cloud"), str(demo.folder / "truth.jsonl")
    demo.children.run(python("cloud", "pipeline", "--cloud-dir", cloud, "--json"))
    verified = demo.children.finish(python("cloud", "verify", "--cloud-dir", cloud, "--truth", truth, "--json"))
    try:
        found: dict[str, Any] = json.loads(verified.stdout)
    except json.JSONDecodeError:
        raise failure(verified) from None
    return found


if __name__ == "__main__":
    sys.exit(main())
