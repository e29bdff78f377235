"""The demo's command line and its folder: everything that can be refused is refused before anything starts."""

from __future__ import annotations

import argparse
import fcntl
import math
import os
import shutil
from io import TextIOWrapper
from pathlib import Path

from demo_processes import DemoError, check_port

MARKER = ".sideline-demo"
MAX_ATHLETES = 100


def arguments(description: str | None, data_dir: Path) -> argparse.Namespace:
    """Read the command line; `data_dir` is the folder that is used when it names none."""
    parser = argparse.ArgumentParser(
        prog="make demo", description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=0, help="end after this long; 0 (default) is until Ctrl-C")
    parser.add_argument("--report", type=Path, help="write what was measured to this JSON file (with --seconds)")
    parser.add_argument("--athletes", type=int, default=22, help="size of the simulated squad, 1 to 100 (default 22)")
    parser.add_argument("--recording", action="append", default=[], help="play this recording instead; may be repeated")
    parser.add_argument("--port", type=int, default=8080, help="port of the tablet page (default 8080; 0 is any)")
    parser.add_argument("--data-dir", default=str(data_dir), help="where everything is kept; made anew each time")
    parser.add_argument("--seed", type=int, default=7, help="another seed, another squad (default 7)")
    return parser.parse_args()


def check(options: argparse.Namespace) -> None:
    """Raise DemoError for the first option that cannot be; touches nothing."""
    if not (math.isfinite(options.seconds) and options.seconds >= 0):
        raise DemoError(f"--seconds {options.seconds:g} is no length of time", "0 runs until Ctrl-C")
    if not 1 <= options.athletes <= MAX_ATHLETES:
        raise DemoError(f"--athletes {options.athletes} is no squad", f"choose 1 to {MAX_ATHLETES}")
    if options.seed < 0:
        raise DemoError(f"--seed {options.seed} is below 0", "choose a whole number from 0 on")
    if options.report:
        check_report(options.report, options.seconds)
    for path in options.recording:
        if not Path(path).exists():
            raise DemoError(f"no recording at {path}", "see: .venv/bin/sideline-sim run --help")
    check_port(options.port)


def check_report(report: Path, seconds: float) -> None:
    """Raise DemoError when the report could not be written at the end."""
    if not seconds:
        raise DemoError("--report needs an end", 'say when: make demo ARGS="--seconds 120 --report report.json"')
    if not report.parent.is_dir():
        raise DemoError(f"no folder {report.parent} for the report", f"make it: mkdir -p {report.parent}")
    if report.is_dir():
        raise DemoError(f"{report} is a folder", "name a file with --report")
    if not os.access(report if report.exists() else report.parent, os.W_OK):
        raise DemoError(f"{report} cannot be written", "choose another file with --report")


def claim(folder: Path) -> TextIOWrapper:
    """Make the data folder anew and return the lock on it, held while the file is open.

    Never clears a folder that is not the demo's, nor one that another demo is using.
    """
    elsewhere = "choose another folder with --data-dir"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not (folder / MARKER).exists():
            raise DemoError(f"{folder} holds something else", elsewhere)
        # The marker itself stays: a lock is on a file, not on its name.
        lock = (folder / MARKER).open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise DemoError(f"another demo is running in {folder}", f"stop it, or {elsewhere}") from None
        for path in folder.iterdir():
            if path.name == MARKER:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        (folder / "logs").mkdir()
    except OSError as exc:
        raise DemoError(f"{folder} cannot be used: {exc.strerror or exc}", elsewhere) from exc
    return lock
