"""Run the fault matrix and write tests/faults/RESULTS.md: hours.

What was counted stands in tests/faults/records, and belongs into the repository with the page. A run does what is
missing of each row there, portion by portion, so that a stopped one goes on; `--again` counts anew.

PYTHONPATH=. .venv/bin/python tests/faults/run.py [--arm NAME ...] [--share 1.0] [--seed 1] [--again] [--list]
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.faults.arm import Arm, Outcome
from tests.faults.matrix import ARMS

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).parent / "records"
RESULTS = Path(__file__).parent / "RESULTS.md"
_WORDS_KEPT = 20
_VERSION = version("sideline")


def run_arm(arm: Arm, *, share: float, seed: int, again: bool) -> dict[str, Any]:
    """Run what is missing of an arm, portion by portion, and return its record."""
    file = KEPT / f"{arm.name}.json"
    wanted = max(1, round(arm.count * share))
    record = _begun(file, seed, again=again)
    if "control" not in record and arm.control is not None:
        outcome, _ = _try(arm.control, arm.control_count, seed)
        record["control"] = {"tried": outcome.tried, "failed": len(outcome.failures), "notes": outcome.notes}
        _keep(file, record)
        print(f"{arm.name}: control failed {len(outcome.failures)} of {outcome.tried}", flush=True)
    while record["tried"] < wanted:
        count = min(arm.portion, wanted - record["tried"])
        outcome, seconds = _try(arm.run, count, seed + 1000 * record["portions"])
        _add(record, outcome, seconds)
        _keep(file, record)
        print(
            f"{arm.name}: {record['tried']:,} of {wanted:,}, {record['failed']} failed, {record['seconds']:.0f} s",
            flush=True,
        )
        for words in outcome.failures[:3]:
            print(f"  {words}", flush=True)
    return record


def _begun(file: Path, seed: int, *, again: bool) -> dict[str, Any]:
    """Return what was counted before with this seed, or an empty record."""
    if file.is_file() and not again:
        known: dict[str, Any] = json.loads(file.read_text())
        if known["seed"] == seed:
            return known
    return {
        "tried": 0, "versions": {}, "failed": 0, "failures": [], "notes": {}, "seconds": 0.0, "portions": 0,
        "seed": seed,
    }  # fmt: skip


def _add(record: dict[str, Any], outcome: Outcome, seconds: float) -> None:
    """Add a portion to a record, under the version of Sideline that is installed."""
    record["tried"] += outcome.tried
    record["versions"][_VERSION] = record["versions"].get(_VERSION, 0) + outcome.tried
    record["failed"] += len(outcome.failures)
    record["failures"] = (record["failures"] + outcome.failures)[:_WORDS_KEPT]
    record["notes"] = {
        key: record["notes"].get(key, 0) + outcome.notes.get(key, 0) for key in {**record["notes"], **outcome.notes}
    }
    record["seconds"] = round(record["seconds"] + seconds, 1)
    record["portions"] += 1
    record["ended"] = f"{datetime.now(tz=UTC):%Y-%m-%d %H:%M}"


def page() -> str:
    """Return the table of everything that was kept."""
    rows = []
    for arm in sorted(ARMS, key=lambda arm: arm.row):
        file = KEPT / f"{arm.name}.json"
        if not file.is_file():
            rows.append(f"| {arm.row} | {arm.fault} | – | – | {arm.checked} | not run | – |")
            continue
        record = json.loads(file.read_text())
        notes = ", ".join(f"{value:,.10g} {key}" for key, value in sorted(record["notes"].items()))
        result = "0 failures" if not record["failed"] else f"**{record['failed']} failures**"
        control = record.get("control")
        shown = (
            f"{arm.control_fault}: {control['failed']:,} of {control['tried']:,} failed"
            if control
            else arm.why_no_control
        )
        rows.append(
            f"| {arm.row} | {arm.fault} | {_counted(record)} | {record['seed']} | {arm.checked} | {result}"
            f"{f' ({notes})' if notes else ''} | {shown} |"
        )
    table = "\n".join(rows)
    return f"""# Faults

Sideline {_VERSION}, {datetime.now(tz=UTC):%Y-%m-%d %H:%M} UTC, {platform.system()} {platform.release()}
{platform.machine()}, Python {platform.python_version()}. Each row:
`PYTHONPATH=. .venv/bin/python tests/faults/run.py --arm NAME`; what is missing of all: `make faults`. Counts are of
this version; those of another are named. No failure in n tries means less than 3/n at 95 % confidence. A control does
the same to a variant that is known to lose: it must fail, or the row could not see a loss.

| row | fault | count | seed | checked | result | control |
|---|---|---|---|---|---|---|
{table}

Names of the rows: {", ".join(f"{arm.row} `{arm.name}`" for arm in sorted(ARMS, key=lambda arm: arm.row))}.

{soak_section()}"""


def _counted(record: dict[str, Any]) -> str:
    """Return how often a fault was put, and how much of it to another version than this one."""
    others = [f"{tried:,} to {name}" for name, tried in sorted(record["versions"].items()) if name != _VERSION]
    return f"{record['tried']:,}" + (f" ({', '.join(others)})" if others else "")


def soak_section() -> str:
    """Return what the last soak found, of what was kept."""
    title = "## 15 Soak\n\n`PYTHONPATH=. .venv/bin/python tests/faults/soak.py --minutes 60`"
    file = KEPT / "soak.json"
    record = json.loads(file.read_text()) if file.is_file() else {}
    if "ended" not in record:
        return f"{title}: not run.\n"
    found = record["result"]
    first, last = record["samples"][0], record["samples"][-1]
    rows = {
        "load": f"60 athletes, {found['messages_per_s']:,.0f} msg/s, {found['messages_acknowledged']:,} acknowledged",
        "readings sent, stored, **lost**": f"{found['readings_sent']:,}, {found['readings_stored']:,}, "
        f"**{found['readings_lost']:,}**",
        "left for the cloud at the end": f"{found['waiting_for_the_cloud']} batches",
        "memory, slope after the first ten minutes": f"{found['rss_mb_per_h']:+.1f} MB/h",
        "memory (RSS), least, most, last": ", ".join(f"{value:.0f} MB" for value in found["rss_mb"]),
        "open files, least and most": "{} and {}".format(*found["files"]),
        "threads, least and most": "{} and {}".format(*found["threads"]),
        "sensor to tablet, p50 and p99 of 10 s": f"{found['tablet_ms_p50']} ms and {found['tablet_ms_p99']} ms "
        f"(medians), worst p99 {found['tablet_ms_p99_worst']} ms",
        "bytes on disk a reading": f"{found['bytes_per_reading']}",
        "CPU": f"{(last['cpu_s'] - first['cpu_s']) / (last['s'] - first['s']):.2f} of a core",
        "models": ", ".join(f"{name} {version}: {runs:,} runs" for name, (version, runs) in found["models"].items()),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""{title}: {record["minutes"]:g} minutes of Sideline {record["version"]}, ended {record["ended"]} UTC.

| | |
|---|---|
{table}
"""


def _try(run: Any, count: int, seed: int) -> tuple[Outcome, float]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        outcome: Outcome = run(count, seed, Path(folder))
    return outcome, time.monotonic() - began


def _keep(file: Path, record: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(record, indent=1) + "\n")
    fresh.replace(file)


def main() -> int:
    """Run, write the page, and fail when anything was lost or a control saw nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--arm", action="append", choices=[arm.name for arm in ARMS], help="only this row; repeatable")
    parser.add_argument("--share", type=float, default=1.0, help="share of each row's count, 0.01 for a quick look")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="count these rows anew; else what is missing is done")
    parser.add_argument("--page", action="store_true", help="only write the page of what was kept")
    parser.add_argument("--list", action="store_true", help="name the rows and end")
    chosen = parser.parse_args()
    if chosen.list:
        for arm in ARMS:
            print(f"{arm.row:>3} {arm.name}: {arm.fault}, {arm.count:,}")
        return 0
    bad = False
    for arm in ARMS:
        if chosen.page or (chosen.arm and arm.name not in chosen.arm):
            continue
        record = run_arm(arm, share=chosen.share, seed=chosen.seed, again=chosen.again)
        bad |= bool(record["failed"]) or ("control" in record and not record["control"]["failed"])
    RESULTS.write_text(page())
    print(f"wrote {RESULTS.relative_to(ROOT)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
