"""What all tests share: clocks, a real broker, published reference values, and a watch on processes left behind."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog
from hypothesis import settings

from shared.clock import ManualClock, SystemClock
from tests.factories import write_gateway_files
from tests.fakes.broker import Broker
from tests.tools import GOLDEN, OPEN_DATA, missing, require_tool

# The seed of a failure is printed; there is no deadline because other work shares the machine.
settings.register_profile("sideline", deadline=None, print_blob=True, max_examples=60)
settings.load_profile("sideline")

_LEFT_BEHIND_BOUND_S = 3.0
# Started by the standard library for a whole process, not by a test.
_HELPERS = ("resource_tracker", "forkserver")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def quiet_bumble() -> Iterator[None]:
    """Bumble warns of packets for links that a test cuts on purpose."""
    logger = logging.getLogger("bumble")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


@pytest.fixture
def system_clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
def gateway_file(tmp_path: Path) -> Path:
    """A settings file with its roster, of a gateway without cloud, broker or radio."""
    return write_gateway_files(tmp_path)


@pytest.fixture
def golden() -> Callable[[str], dict[str, Any]]:
    """Reads a file of published reference values."""

    def read(name: str) -> dict[str, Any]:
        return dict(_reference(GOLDEN / name))

    return read


@pytest.fixture
def open_vectors() -> list[dict[str, Any]]:
    """Frames of real devices as their owners published them."""
    return list(_reference(OPEN_DATA / "ble_vectors" / "ble_vectors.json"))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real mosquitto for the whole run; tests keep apart by client id and topic."""
    server = Broker(require_tool("mosquitto"), tmp_path_factory.mktemp("broker"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A mosquitto of the test's own, not started yet."""
    server = Broker(require_tool("mosquitto"), tmp_path / "broker")
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def no_process_left_behind() -> Iterator[None]:
    """A test that leaves a child process running fails."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    _, alive = psutil.wait_procs([child for child in left if not _is_lasting(child)], timeout=_LEFT_BEHIND_BOUND_S)
    assert not alive, f"left running: {alive}"


@pytest.fixture(autouse=True)
def logs_as_by_default() -> Iterator[None]:
    """A command line that a test ran in this process leaves no log level behind."""
    yield
    structlog.reset_defaults()


def _is_lasting(child: psutil.Process) -> bool:
    try:
        words = " ".join(child.cmdline())
    except psutil.NoSuchProcess:
        return False
    return "mosquitto" in words or any(helper in words for helper in _HELPERS)


def _reference(path: Path) -> Any:
    if not path.is_file():
        missing(f"reference values {path.name}")
    return json.loads(path.read_text(encoding="utf-8"))
