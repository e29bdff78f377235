"""What the doctor finds: one check, its result, and what is to be done in words."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeVar

import msgspec

T = TypeVar("T")
State = Literal["ok", "warn", "fail"]
BOUND_S = 5.0
"""No check takes longer; what does not answer by then is not well."""
SEVERITY: dict[State, int] = {"ok": 0, "warn": 1, "fail": 2}


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One result: `found` says in words and figures what is so, `advice` what to do, empty where all is well."""

    group: str
    name: str
    state: State
    found: str
    advice: str = ""


class Findings:
    """The results of one group, in the order in which they came."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.checks: list[Check] = []

    def ok(self, name: str, found: str) -> None:
        """All is well."""
        self.checks.append(Check(group=self.group, name=name, state="ok", found=found))

    def warn(self, name: str, found: str, advice: str) -> None:
        """It works, and something should be done."""
        self.checks.append(Check(group=self.group, name=name, state="warn", found=found, advice=advice))

    def fail(self, name: str, found: str, advice: str) -> None:
        """It does not work."""
        self.checks.append(Check(group=self.group, name=name, state="fail", found=found, advice=advice))


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One group of checks; `run` adds to the findings what it finds as it goes, so that a bound leaves what came."""

    group: str
    run: Callable[[Findings], Awaitable[None]]
    bound_s: float = BOUND_S


async def examine(
    probes: Sequence[Probe], *, on_start: Callable[[str], None], on_done: Callable[[Sequence[Check]], None]
) -> list[Check]:
    """Run the probes one after another, so that none slows what another measures; return all that they found.

    A probe that fails or does not end is a finding of its own and harms no other.
    """
    checks: list[Check] = []
    for probe in probes:
        on_start(probe.group)
        found = await _bounded(probe)
        on_done(found)
        checks += found
    return checks


async def _bounded(probe: Probe) -> list[Check]:
    findings = Findings(probe.group)
    task = asyncio.ensure_future(probe.run(findings))
    _, late = await asyncio.wait({task}, timeout=probe.bound_s)
    if late:
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)
        findings.fail("time", f"did not end within {probe.bound_s:g} s", "what it waits for does not answer")
    elif (problem := task.exception()) is not None:
        words = f"{type(problem).__name__}: {problem}"
        findings.fail("this check", f"ended with {words}", "report this with the output of `doctor --json`")
    return findings.checks


async def in_thread(work: Callable[..., T], *args: object) -> T:
    """Run blocking work on a thread of its own; one that hangs (a dead disk) is left behind and holds up no exit.

    Raises: whatever `work` does.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[asyncio.Task[T]] = loop.create_future()

    async def working() -> T:
        return work(*args)

    def tell(task: "asyncio.Task[T]") -> None:
        if not ended.done():  # given up at its bound
            ended.set_result(task)

    def run() -> None:
        with contextlib.closing(asyncio.new_event_loop()) as own:  # a task keeps its error, whatever it is
            task = own.create_task(working())
            own.run_until_complete(asyncio.wait({task}))
        with contextlib.suppress(RuntimeError):  # the command has ended meanwhile
            loop.call_soon_threadsafe(tell, task)

    threading.Thread(target=run, name="doctor", daemon=True).start()
    return (await ended).result()
