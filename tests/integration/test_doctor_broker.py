"""The doctor at a real mosquitto, as it is installed and as it should be."""

import getpass
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.doctor.broker import check_broker
from edge.doctor.certificates import check_certificates
from tests.fakes.broker import Broker
from tests.integration.doctoring import certificate, examined, subject
from tests.tools import require_tool


class Configured(Broker):
    """A mosquitto with settings of the test's own."""

    def __init__(self, folder: Path, lines: str) -> None:
        super().__init__(require_tool("mosquitto"), folder)
        self._settings.write_text(f"listener {self.port} 127.0.0.1\nuser {getpass.getuser()}\n{lines}\n")


@pytest.fixture
def as_installed(tmp_path: Path) -> Iterator[Configured]:
    """A mosquitto with its default limits."""
    server = Configured(tmp_path / "broker", "allow_anonymous true")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Configured]:
    """A mosquitto with one user, who may read the tags' topics only."""
    folder = tmp_path / "broker"
    folder.mkdir()
    words = [require_tool("mosquitto_passwd"), "-b", "-c", str(folder / "users"), "gateway", "right"]
    subprocess.run(words, check=True, capture_output=True)
    (folder / "topics").write_text("user gateway\ntopic read sideline/tags/#\n")
    for file in ("users", "topics"):
        (folder / file).chmod(0o600)
    server = Configured(folder, f"allow_anonymous false\npassword_file {folder}/users\nacl_file {folder}/topics")
    server.start()
    yield server
    server.stop()


async def test_doctor_when_the_broker_is_set_up_well_then_all_is_ok(broker: Broker, tmp_path: Path) -> None:
    """Rule: what the README asks of mosquitto passes."""
    found = await examined(check_broker, subject(tmp_path, f"[mqtt]\nport = {broker.port}\n"))
    assert [check.name for check in found.values() if check.state != "ok"] == []
    assert found["broker keeps"].found.startswith("all 1200 messages")


async def test_doctor_when_mosquitto_is_as_installed_then_its_limits_are_measured(
    as_installed: Configured, tmp_path: Path
) -> None:
    """Rule: what would be lost while the gateway is away is counted, and the setting that mends it is named."""
    found = await examined(check_broker, subject(tmp_path, f"[mqtt]\nport = {as_installed.port}\n"))
    assert (found["broker keeps"].state, found["broker window"].state) == ("warn", "warn")
    assert found["broker keeps"].found.startswith("1000 of 1200")
    assert "max_queued_messages 0" in found["broker keeps"].advice
    assert found["broker window"].found.startswith("20 messages")


async def test_doctor_when_the_password_is_wrong_then_it_says_so(locked: Configured, tmp_path: Path) -> None:
    """Rule: a refused login names user and password."""
    (tmp_path / "password").write_text("wrong")
    more = f'[mqtt]\nport = {locked.port}\nusername = "gateway"\npassword_file = "password"\n'
    found = await examined(check_broker, subject(tmp_path, more))
    assert found["broker answers"].state == "fail"
    assert "mqtt.password_file" in found["broker answers"].advice


async def test_doctor_when_the_user_may_not_use_its_topic_then_keeping_cannot_be_tested(
    locked: Configured, tmp_path: Path
) -> None:
    """Rule: a strict access list is a warning of the doctor's, and no failure of the gateway's."""
    (tmp_path / "password").write_text("right")
    more = f'[mqtt]\nport = {locked.port}\nusername = "gateway"\npassword_file = "password"\n'
    found = await examined(check_broker, subject(tmp_path, more))
    assert (found["broker login"].state, found["broker topics"].state) == ("ok", "ok")
    assert found["broker keeps"].state == "warn"


async def test_doctor_when_nobody_listens_then_the_broker_fails(tmp_path: Path, own_broker: Broker) -> None:
    """Rule: a broker that is not there is said with its place."""
    found = await examined(check_broker, subject(tmp_path, f"[mqtt]\nport = {own_broker.port}\n"))
    assert found["broker connection"].state == "fail"
    assert f"127.0.0.1:{own_broker.port}: nobody listens there" in found["broker connection"].found


@pytest.mark.parametrize(("days", "state"), [(400, "ok"), (5, "warn"), (-3, "fail")])
async def test_doctor_when_the_broker_shows_a_certificate_then_its_end_is_told(
    tmp_path: Path, days: int, state: str
) -> None:
    """Rule: a certificate that ends soon is a warning, one that has ended a failure, in file and connection alike."""
    shown, secret = certificate(tmp_path, days=days)
    server = Configured(tmp_path / "broker", f"allow_anonymous true\ncertfile {shown}\nkeyfile {secret}")
    server.start()
    try:
        more = f'[mqtt]\nhost = "localhost"\nport = {server.port}\nca_file = "{shown}"\n'
        given = subject(tmp_path, more)
        found = await examined(check_broker, given)
        file = await examined(check_certificates, given)
    finally:
        server.stop()
    assert found["broker certificate"].state == state
    assert ("broker login" in found) is (state != "fail")
    assert [check.state for check in file.values()] == [state]
