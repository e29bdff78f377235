"""Child processes of the demo: started in groups of their own, watched, and all stopped at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

STOP_S = 3.0
RESTARTS = 10
MAX_PORT = 65_535


class DemoError(Exception):
    """Something that the user can mend: `problem` and `way_out`, a line each."""

    def __init__(self, problem: str, way_out: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.way_out = way_out


@dataclass
class Child:
    """One running program and where its output goes."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes]
    log: Path
    restarts: int = 0


@dataclass
class Children:
    """Everything that the demo has started."""

    folder: Path
    running: list[Child] = field(default_factory=list)
    errands: set[subprocess.Popen[str]] = field(default_factory=set)
    """Commands that run to their end; other threads wait for some of them."""
    stopping: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, name: str, command: list[str]) -> Child:
        """Start a program in a process group of its own; its output goes to `<name>.log`."""
        log = self.folder / f"{name}.log"
        child = Child(name, command, _spawn(command, log), log)
        self.running.append(child)
        return child

    def check(self) -> None:
        """Raise DemoError if one of them has ended."""
        for child in self.running:
            status = child.process.poll()
            if status is not None:
                raise DemoError(f"{child.name} ended with status {status}: {last_line(child.log)}", f"see {child.log}")

    def revive(self) -> list[str]:
        """Start again what has ended, as an init system would, and return what was; too often is a DemoError."""
        ended = [child for child in self.running if child.process.poll() is not None]
        if any(child.restarts >= RESTARTS for child in ended):
            self.check()
        for child in ended:
            child.restarts += 1
            child.process = _spawn(child.command, child.log)
        return [child.name for child in ended]

    def stop(self, child: Child, *, wait_s: float = STOP_S) -> int:
        """Ask one to stop, wait, and end it if it does not; return its exit status."""
        self.running.remove(child)
        signal_group(child.process, signal.SIGTERM)
        try:
            return child.process.wait(wait_s)
        except subprocess.TimeoutExpired:
            signal_group(child.process, signal.SIGKILL)
            return child.process.wait()

    def run(self, command: list[str], *, timeout_s: float = 120.0) -> str:
        """Run a command to its end and return its standard output.

        Raises: DemoError with its last line when it fails.
        """
        done = self.finish(command, timeout_s=timeout_s)
        if done.returncode:
            raise failure(done)
        return done.stdout

    def finish(self, command: list[str], *, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever its status.

        Raises: DemoError when it takes too long.
        """
        with self.lock:
            if self.stopping:
                raise DemoError("the demo is stopping", "start it again")
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
            self.errands.add(process)
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            words = " ".join(command[1:5])
            raise DemoError(f"{words} took over {timeout_s:.0f} s", f"run it by hand: {' '.join(command)}") from None
        finally:
            if process.poll() is None:
                signal_group(process, signal.SIGKILL)
                process.wait()
            self.errands.discard(process)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def end_errands(self) -> None:
        """End every command that `run` waits for, in whichever thread, and begin no other."""
        with self.lock:
            self.stopping = True
            for process in [errand for errand in self.errands if errand.poll() is None]:
                signal_group(process, signal.SIGKILL)

    def stop_all(self) -> None:
        """Stop everything, within STOP_S and a little."""
        self.end_errands()
        children, self.running = self.running, []
        for child in children:
            signal_group(child.process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.05, deadline - time.monotonic()))
            # The group, not only its leader: nothing that it started may stay.
            signal_group(child.process, signal.SIGKILL)
            child.process.wait()


def _spawn(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )


def failure(done: subprocess.CompletedProcess[str]) -> DemoError:
    """Return what a command that failed means, with its last line."""
    lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
    words = " ".join(done.args[1:5])
    return DemoError(f"{words} failed: {lines[-1]}", f"run it by hand: {' '.join(done.args)}")


def python(*words: str) -> list[str]:
    """Return the command for a module of ours."""
    return [sys.executable, "-m", *words]


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_port(port: int) -> None:
    """Raise DemoError when nobody can listen on the port; 0 is any."""
    another = 'choose another: make demo ARGS="--port 8090"'
    if not 0 <= port <= MAX_PORT:
        raise DemoError(f"there is no port {port}", another)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            raise DemoError(f"port {port} is not for everybody", another) from None
        except OSError:
            raise DemoError(f"port {port} is in use", another) from None


def answers(port: int) -> bool:
    """Return whether something listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def last_line(log: Path) -> str:
    """Return the last line of a log, for an error message."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "no output"


def signal_group(process: subprocess.Popen[bytes] | subprocess.Popen[str], number: int) -> None:
    """Signal a child's whole process group, if it is still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
