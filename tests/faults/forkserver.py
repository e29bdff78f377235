"""Programs of ours as processes that start in milliseconds: forked from a parent that has imported everything.

The parent runs one thread of Python and no event loop, so that a fork copies nothing half done; a thread that a
library keeps for itself (onnxruntime has one) is not in the child, which runs no model. A child is the program's own
command line, in a session of its own, with its output in a file; only the interpreter's start is saved.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_PROMPT_S = 30.0
_ROOT = Path(__file__).resolve().parents[2]


class ForkServer:
    """The parent, and every child that was started through it; none outlives the `with`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        # No threads of libraries that would be lost in the fork.
        known = os.environ | {
            "OPENBLAS_NUM_THREADS": "1",
            "JE_ARROW_MALLOC_CONF": "background_thread:false",
            "PYTHONPATH": str(_ROOT),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forkserver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=known,
            cwd=_ROOT,
        )
        assert self._answer() == {"threads": 1}, "the parent is to have one thread"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(_PROMPT_S)
        self._process.stdout.close()

    def start(self, program: str, words: list[str], log: Path) -> "Child":
        """Start `edge`, `cloud` or one of `tests.faults.programs` with these words of its command line."""
        with self._lock:
            self._ask({"program": program, "words": words, "log": str(log)})
            return Child(self, int(self._answer()["pid"]))

    def reap(self, pid: int) -> int:
        """Wait until a child has ended and return its exit status, -9 for a kill -9."""
        begun = time.monotonic()
        while time.monotonic() - begun < _PROMPT_S:
            with self._lock:
                self._ask({"reap": pid})
                status = self._answer()["status"]
            if status is not None:
                return int(status)
            time.sleep(0.002)
        raise TimeoutError(f"process {pid} does not end")

    def poll(self, pid: int) -> int | None:
        """Return a child's exit status, None while it runs."""
        with self._lock:
            self._ask({"reap": pid})
            status: int | None = self._answer()["status"]
        return status

    def _ask(self, question: dict[str, object]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, int]:
        assert self._process is not None
        assert self._process.stdout is not None
        answer: dict[str, int] = json.loads(self._process.stdout.readline())
        return answer


class Child:
    """One forked program."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self._server = server
        self.pid = pid
        self._status: int | None = None

    def kill(self) -> None:
        """End it with kill -9 and wait until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to stop and return its exit status."""
        return self._end(signal.SIGTERM)

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        if self._status is None:
            self._status = self._server.poll(self.pid)
        return self._status

    def _end(self, number: int) -> int:
        if self._status is None:
            os.kill(self.pid, number)  # not reaped yet, so the number is still its own
            self._status = self._server.reap(self.pid)
        return self._status


def _serve() -> None:
    from tests.faults.programs import PROGRAMS  # the imports that are to be paid once

    gc.collect()
    gc.freeze()
    print(json.dumps({"threads": threading.active_count()}), flush=True)
    alive: dict[int, int | None] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if "reap" in asked:
            pid = asked["reap"]
            if alive[pid] is None:
                ended, status = os.waitpid(pid, os.WNOHANG)
                alive[pid] = os.waitstatus_to_exitcode(status) if ended else None
            print(json.dumps({"status": alive[pid]}), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            _become(PROGRAMS[asked["program"]], asked["words"], asked["log"])
        alive[pid] = None
        print(json.dumps({"pid": pid}), flush=True)
    for pid in [pid for pid, status in alive.items() if status is None]:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _become(program: Callable[[Sequence[str]], None], words: list[str], log: str) -> None:
    os.setsid()
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number, file in enumerate((nothing, output, output)):
        os.dup2(file, number)
    status = 1
    try:
        program(words)
        status = 0
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else 1
    finally:
        if status:
            traceback.print_exc()
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve()
