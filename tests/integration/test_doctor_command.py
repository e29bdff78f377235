"""The doctor's command, while a gateway runs and while none does."""

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest

from edge.__main__ import main
from tests.factories import write_gateway_files
from tests.fakes.broker import Broker
from tests.integration.gateway_process import Program, free_port

ADAPTER = '[ble]\nadapter = "serial:/nowhere/ttyUSB0,1000000"\n'


def asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[object, str]:
    """Run the command as the shell does; return its exit status and what it printed."""
    monkeypatch.setattr(sys, "argv", ["sideline-gateway", "doctor", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr().out


def port_of(path: Path, port: int) -> Path:
    """Give a settings file another port for its page."""
    path.write_text(path.read_text().replace("port = 0", f"port = {port}", 1))
    return path


async def told(settings: Path) -> tuple[int | None, dict[str, dict[str, str]]]:
    """Run the command in a process of its own; return its status and the checks by name."""
    words = (sys.executable, "-m", "edge", "doctor", "--settings", str(settings), "--json")
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert err == b""
    found = msgspec.json.decode(out)
    return process.returncode, {check["name"]: check for check in found["checks"]}


async def test_doctor_when_a_gateway_runs_then_it_is_asked_and_left_alone(tmp_path: Path, broker: Broker) -> None:
    """Rule: port and adapters are the running gateway's; its store is read, and nothing of it is taken."""
    settings = write_gateway_files(tmp_path, f"[mqtt]\nport = {broker.port}\n")
    port_of(settings, free_port())
    async with Program(tmp_path, "gateway", "edge", "run", "--settings", str(settings)) as gateway:
        await gateway.start()
        code, checks = await told(settings)
        assert code == 0, [check for check in checks.values() if check["state"] == "fail"]
        assert checks["port"]["found"].startswith("gateway test-1 runs and answers")
        assert checks["schema"]["state"] == "ok"
        assert await gateway.stop() == 0
    code, checks = await told(settings)
    assert code == 0
    assert checks["port"]["found"].endswith("is free; no gateway runs there")


def test_doctor_when_something_fails_then_it_ends_with_1_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: a missing dongle is one failure; all other checks are made and shown."""
    code, out = asked(monkeypatch, capsys, "--settings", write_gateway_files(tmp_path, ADAPTER))
    assert code == 1
    assert "there is no /nowhere/ttyUSB0" in out
    assert "ls /dev/serial/by-id" in out
    assert out.rstrip().endswith("1 failed")


def test_doctor_when_the_port_is_somebody_elses_then_it_fails(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: another program on the page's port is named as such."""
    settings = port_of(write_gateway_files(tmp_path), broker.port)
    code, out = asked(monkeypatch, capsys, "--settings", settings, "--json")
    port = next(check for check in msgspec.json.decode(out)["checks"] if check["name"] == "port")
    assert (code, port["state"]) == (1, "fail")
    assert "ss -ltnp" in port["advice"]


def test_doctor_when_the_settings_are_wrong_then_it_ends_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: without settings there is nothing to examine."""
    assert asked(monkeypatch, capsys, "--settings", write_gateway_files(tmp_path, "nonsense = 1\n"))[0] == 2
