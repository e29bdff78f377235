"""What a test may ask of its surroundings, and how it waits for them."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT.parent / "shared" / "golden"
OPEN_DATA = ROOT.parent / "shared" / "data" / "open"
BOUND_S = 10.0
_SERVER_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/homebrew/sbin")


def missing(what: str) -> NoReturn:
    """End a test that lacks something: a failure where CI promises it, a skip that names it elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(f"CI without {what}")
    pytest.skip(f"needs {what}")


def require_tool(name: str) -> str:
    """Return a program's path; servers may lie where only the administrator's PATH looks."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *_SERVER_PATHS))
    return shutil.which(name, path=path) or missing(name)


async def until(state: Callable[[], bool], *, bound_s: float = BOUND_S) -> None:
    """Wait for a state that has no event of its own, and fail at the bound."""
    async with asyncio.timeout(bound_s):
        while not state():  # the other side of a process or a thread
            await asyncio.sleep(0.01)


async def settled(turns: int = 20) -> None:
    """Let everything that is ready on the loop run."""
    for _ in range(turns):
        await asyncio.sleep(0)
