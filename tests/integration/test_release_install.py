"""From a signed release to a running model and back: real TUF repository over HTTP, real subprocess gate, real ONNX."""

import asyncio
import contextlib
import functools
import http.server
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud.registry.repository import Repository
from edge.inference.gate import Verdict, check_in_subprocess
from edge.inference.runner import Runner
from edge.release.installer import Installer
from edge.release.slots import Slot
from edge.release.updater import ModelUpdater
from edge.settings import ReleaseSettings
from shared.clock import SystemClock
from shared.release import CHANNEL_TARGET, Channel, card_target, model_target
from tests.factories import effort_inputs, tamper, write_model
from tests.tools import until

# Each install starts a Python process; a busy machine needs some seconds for one.
_INSTALL_S = 40.0
Check = Callable[[Path], Awaitable[Verdict]]


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        """Say nothing."""


class Cloud:
    """A release repository with its web server."""

    def __init__(self, folder: Path) -> None:
        self._work = folder / "work"
        self._channel: dict[str, str] = {}
        self.targets = folder / "v1" / "releases" / "targets"
        self.repository = Repository(
            metadata=folder / "v1" / "releases" / "metadata",
            targets=self.targets,
            keys=folder / "keys",
            clock=SystemClock(),
        )
        self.repository.create({CHANNEL_TARGET: channel({})})
        handler = functools.partial(_Silent, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def release(self, version: str, *, target: str = "effort", says: str | None = None, **model: Any) -> None:
        """Sign a model and point the channel to it; `says` is the version on its card."""
        folder = write_model(self._work / target / version, version=says or version, **model)
        self._channel[target] = version
        self.repository.publish(
            {
                model_target(target, version): (folder / "model.onnx").read_bytes(),
                card_target(target, version): (folder / "card.json").read_bytes(),
                CHANNEL_TARGET: channel(self._channel),
            }
        )

    def close(self) -> None:
        """Stop the web server; a second time does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def channel(models: dict[str, str]) -> bytes:
    """Return the channel target."""
    return msgspec.json.encode(Channel(models=models))


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    running = Cloud(tmp_path / "cloud")
    yield running
    running.close()


class Gateway:
    """Installer and runner of one gateway."""

    def __init__(self, cloud: Cloud, folder: Path, *, in_session: bool, check: Check = check_in_subprocess) -> None:
        clock = SystemClock()
        self.runner = Runner(clock)
        self.in_session = in_session
        self.models = folder / "models"
        self.installer = Installer(
            ReleaseSettings(poll_s=0.1, shadow_s=0.1, activate_in_session=True),
            self.models,
            ModelUpdater(cloud.url, folder / "releases", cloud.repository.root_path),
            self.runner,
            clock,
            session_runs=lambda: self.in_session,
            check=check,
        )
        self.installer.start()

    @property
    def slot(self) -> Slot:
        """The effort model's slot."""
        return self.installer.slots.get("effort", Slot(name="effort"))

    async def ask(self, fill: float = 1.0) -> float | None:
        """Return one prediction."""
        outputs = await self.runner.infer("effort", {"features": effort_inputs(1, fill=fill)})
        return None if outputs is None else float(outputs["prediction"][0, 0])

    async def active(self, version: str) -> None:
        """Wait until a version answers."""
        await until(lambda: self.slot.active == version, bound_s=_INSTALL_S)

    async def refused(self, version: str) -> str:
        """Wait until a version is refused and return why."""
        await until(lambda: any(r.version == version for r in self.slot.refusals), bound_s=_INSTALL_S)
        return next(r.reason for r in self.slot.refusals if r.version == version)


@contextlib.asynccontextmanager
async def gateway(
    cloud: Cloud, folder: Path, *, in_session: bool = False, check: Check = check_in_subprocess
) -> AsyncIterator[Gateway]:
    """Run a gateway's release tasks; every start is a start of the same gateway."""
    running = Gateway(cloud, folder, in_session=in_session, check=check)
    tasks = [
        asyncio.create_task(running.installer.watch_channel()),
        asyncio.create_task(running.installer.watch_models()),
    ]
    try:
        yield running
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        running.runner.close()


async def test_installer_when_a_good_model_is_released_then_it_answers_also_after_a_restart(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Rule: fetched, verified, checked, active; a restart resumes it without the cloud's word."""
    cloud.release("1.0.0", slope=1.0)
    async with gateway(cloud, tmp_path) as first:
        await first.active("1.0.0")
        assert await first.ask() == pytest.approx(13.0)
        assert (first.slot.state, first.slot.previous, first.slot.reason) == ("active", None, None)
        assert first.installer.status.up
    cloud.close()
    restarted = Gateway(cloud, tmp_path, in_session=False)
    assert restarted.slot.active == "1.0.0"
    assert await restarted.ask() == pytest.approx(13.0)
    restarted.runner.close()


async def test_installer_when_bad_models_are_released_then_each_is_refused_and_the_old_one_runs_on(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Rule: refused with the reason, not tried again; what ran goes on."""
    bad: dict[str, tuple[dict[str, Any], str]] = {
        "2.0.0": ({"feature_hash": "0" * 64}, "has schema"),
        "3.0.0": ({"body": "always_nan"}, "not a finite number on a golden vector"),
        "4.0.0": ({"sha256": "0" * 64}, "does not match the digest"),
    }
    cloud.release("1.0.0")
    async with gateway(cloud, tmp_path) as running:
        await running.active("1.0.0")
        for version, (model, reason) in bad.items():
            cloud.release(version, **model)
            assert reason in await running.refused(version)
            assert (running.slot.state, running.slot.active) == ("refused", "1.0.0")
            assert not running.slot.wants(version)
            assert await running.ask() == pytest.approx(13.0)
            assert not (running.models / "effort" / version).exists()


async def test_installer_when_a_target_was_tampered_with_then_it_is_never_installed(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Rule: a file that is not the signed one is refused before anything looks into it; the next release installs."""
    cloud.release("1.0.0")
    async with gateway(cloud, tmp_path) as running:
        await running.active("1.0.0")
        cloud.release("2.0.0", slope=2.0)
        (served,) = (cloud.targets / "models" / "effort" / "2.0.0").glob("*.model.onnx")
        tamper(served)
        assert "does not verify" in await running.refused("2.0.0")
        assert await running.ask() == pytest.approx(13.0)
        cloud.release("3.0.0", slope=3.0)
        await running.active("3.0.0")
        assert await running.ask() == pytest.approx(39.0)


async def test_installer_when_the_active_model_fails_on_live_data_then_the_one_before_answers_again(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Rule: one output that is no number reverts; the version is not tried again; a restart does not bring it back."""
    cloud.release("1.0.0")
    async with gateway(cloud, tmp_path) as running:
        await running.active("1.0.0")
        cloud.release("2.0.0", body="nan_below_zero")
        await running.active("2.0.0")
        assert await running.ask(-1.0) is None
        await until(lambda: running.slot.state == "reverted")
        assert (running.slot.active, running.slot.candidate) == ("1.0.0", "2.0.0")
        assert running.slot.reason == "output is not a finite number on live data"
        assert await running.ask(-1.0) == pytest.approx(-13.0)
    async with gateway(cloud, tmp_path) as restarted:
        assert restarted.slot.active == "1.0.0"
        assert not restarted.slot.wants("2.0.0")


async def test_installer_when_the_one_before_does_not_load_either_then_the_slot_is_empty(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Rule: what fails does not run on for want of another; both are refused, also after a restart."""
    cloud.release("1.0.0")
    async with gateway(cloud, tmp_path) as running:
        await running.active("1.0.0")
        cloud.release("2.0.0", body="two_rows")
        await running.active("2.0.0")
        tamper(running.models / "effort" / "1.0.0" / "model.onnx")
        assert await running.ask() is None
        await until(lambda: running.slot.state == "reverted")
        assert [r.version for r in running.slot.refusals] == ["2.0.0", "1.0.0"]
        assert running.runner.card("effort") is None
    assert Gateway(cloud, tmp_path, in_session=False).slot.active is None


async def test_installer_when_a_session_runs_then_the_candidate_is_tried_in_the_shadow_first(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Rule: on live data beside the active model; a failing shadow is refused at once and changed no answer."""
    cloud.release("1.0.0")
    async with gateway(cloud, tmp_path) as running:
        await running.active("1.0.0")
        running.in_session = True
        cloud.release("2.0.0", body="nan_below_zero")
        await until(lambda: running.slot.state == "shadow", bound_s=_INSTALL_S)
        assert await running.ask(-1.0) == pytest.approx(-13.0)
        assert "shadow run" in await running.refused("2.0.0")
        cloud.release("3.0.0", slope=3.0)
        await until(lambda: running.slot.state == "shadow", bound_s=_INSTALL_S)
        for _ in range(6):
            assert await running.ask() == pytest.approx(13.0)
        await running.active("3.0.0")
        assert await running.ask() == pytest.approx(39.0)
        assert running.runner.counts("effort") == (8, 8)


async def test_installer_when_an_installed_model_is_damaged_then_the_one_before_is_resumed(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Rule: a file that no longer matches its card does not run; the gateway starts with what does."""
    cloud.release("1.0.0")
    async with gateway(cloud, tmp_path) as running:
        await running.active("1.0.0")
        cloud.release("2.0.0", slope=2.0)
        await running.active("2.0.0")
    tamper(tmp_path / "models" / "effort" / "2.0.0" / "model.onnx")
    restarted = Gateway(cloud, tmp_path, in_session=False)
    assert (restarted.slot.active, restarted.slot.state) == ("1.0.0", "reverted")
    assert await restarted.ask() == pytest.approx(13.0)
    restarted.runner.close()


async def test_installer_when_the_cloud_is_away_then_the_model_runs_on_and_the_status_says_so(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Rule: no internet blocks installing, never running."""
    cloud.release("1.0.0")
    async with gateway(cloud, tmp_path) as running:
        await running.active("1.0.0")
        cloud.close()
        await until(lambda: not running.installer.status.up)
        assert await running.ask() == pytest.approx(13.0)


async def test_installer_when_a_card_is_not_the_targets_then_it_is_refused(cloud: Cloud, tmp_path: Path) -> None:
    """Rule: a slot runs only a card of its own name and of the version that the channel asked for."""
    cloud.release("1.0.0")
    async with gateway(cloud, tmp_path) as running:
        await running.active("1.0.0")
        cloud.release("2.0.0", says="1.0.0", slope=2.0)
        assert await running.refused("2.0.0") == "card is that of effort 1.0.0, not of effort 2.0.0"
        cloud.release("1.0.0", target="trajectory", slope=3.0)
        slots = running.installer.slots
        await until(lambda: "trajectory" in slots and slots["trajectory"].state == "refused", bound_s=_INSTALL_S)
        assert slots["trajectory"].reason == "card is that of effort 1.0.0, not of trajectory 1.0.0"
        assert await running.ask() == pytest.approx(13.0)


async def test_installer_when_the_disk_fails_then_it_says_so_and_other_installs_go_on(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Rule: a failing disk refuses no model and ends no task; the version is tried again."""
    in_the_way = tmp_path / "models" / "effort"
    in_the_way.parent.mkdir()
    in_the_way.write_bytes(b"")
    cloud.release("1.0.0")
    cloud.release("1.0.0", target="trajectory")
    async with gateway(cloud, tmp_path) as running:
        slots = running.installer.slots
        await until(lambda: "trajectory" in slots and slots["trajectory"].state == "refused", bound_s=_INSTALL_S)
        await until(lambda: "effort 1.0.0 cannot be written" in (running.installer.status.problem or ""))
        assert running.slot.wants("1.0.0")
        in_the_way.unlink()
        await running.active("1.0.0")


async def test_installer_when_slot_states_cannot_be_written_then_what_was_installed_runs(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Rule: what is known in memory counts, and reaches the disk with the next state."""
    in_the_way = tmp_path / "models" / "slots.json.new"
    in_the_way.mkdir(parents=True)
    cloud.release("1.0.0")
    async with gateway(cloud, tmp_path) as running:
        await running.active("1.0.0")
        assert await running.ask() == pytest.approx(13.0)
        assert not (tmp_path / "models" / "slots.json").exists()
        in_the_way.rmdir()
        cloud.release("2.0.0", slope=2.0)
        await running.active("2.0.0")
    assert Gateway(cloud, tmp_path, in_session=False).slot.previous == "1.0.0"


async def test_installer_when_the_machine_is_too_busy_for_the_check_then_it_is_tried_again(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Rule: a check that took too long refuses nothing and leaves the slot as it was."""
    busy = True

    async def check(folder: Path) -> Verdict:
        if busy:
            raise TimeoutError("check took longer than 120 s")
        return await check_in_subprocess(folder)

    cloud.release("1.0.0")
    async with gateway(cloud, tmp_path, check=check) as running:
        await until(lambda: "check took longer" in (running.installer.status.problem or ""))
        await until(lambda: running.slot == Slot(name="effort"))
        busy = False
        await running.active("1.0.0")


async def test_installer_when_a_shadow_run_is_broken_off_then_the_candidate_is_put_back(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Rule: no candidate stays half tried: it runs no more, and is wanted again."""
    cloud.release("1.0.0")
    async with gateway(cloud, tmp_path) as running:
        await running.active("1.0.0")
        before = running.slot
    cloud.release("2.0.0", slope=2.0)
    async with gateway(cloud, tmp_path, in_session=True) as running:
        await until(lambda: running.slot.state == "shadow", bound_s=_INSTALL_S)
    assert running.slot == before
    assert running.slot.wants("2.0.0")


@pytest.mark.parametrize(
    ("name", "version"), [("../effort", "1.0.0"), ("effort", "../../1.0.0"), ("Effort", "1.0.0"), ("effort", "")]
)
async def test_installer_when_the_channel_names_a_path_then_it_is_not_trusted(
    cloud: Cloud, tmp_path: Path, name: str, version: str
) -> None:
    """Rule: names and versions become folders; only plain ones are taken."""
    cloud.repository.publish({CHANNEL_TARGET: channel({name: version})})
    async with gateway(cloud, tmp_path) as running:
        await until(lambda: "no name of a model" in (running.installer.status.problem or ""))
        assert running.installer.slots == {}
