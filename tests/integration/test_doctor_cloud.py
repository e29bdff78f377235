"""The doctor at a real ingest server and at certificates that have ended."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloud.registry.release import open_repository, setup_releases
from cloud.settings import Layout
from edge.doctor.cloud import check_cloud, check_releases
from edge.doctor.settings_files import check_settings
from shared.clock import SystemClock
from tests.integration.doctoring import certificate, examined, subject, tls_server

_READY_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A running ingest server with one gateway enrolled and a release repository."""

    url: str
    token: Path
    root: Path


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("cloud")
    layout, clock = Layout(folder / "data"), SystemClock()
    words = [sys.executable, "-m", "cloud"]
    given = ["enroll", "test-1", "--cloud-dir", str(layout.root), "--out", str(folder / "enrolment")]
    subprocess.run([*words, *given], check=True, capture_output=True)
    if not layout.release_metadata.is_dir() or not any(layout.release_metadata.glob("*.json")):
        setup_releases(layout, clock)
    ready = folder / "ready.json"
    serving = ["api", "--cloud-dir", str(layout.root), "--port", "0", "--ready-file", str(ready)]
    process = subprocess.Popen([*words, *serving], stderr=subprocess.DEVNULL)
    end = time.monotonic() + _READY_S
    while not ready.exists():
        assert process.poll() is None, "the ingest server ended"
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)
    root = folder / "root.json"
    shutil.copy(open_repository(layout, clock).root_path, root)
    yield Cloud(url=json.loads(ready.read_bytes())["url"], token=folder / "enrolment" / "token", root=root)
    process.send_signal(signal.SIGKILL)
    process.wait()


def settings(cloud: Cloud, token: Path) -> str:
    """Return settings of a gateway of this cloud."""
    return f'[sync]\nurl = "{cloud.url}"\ntoken_file = "{token}"\n[release]\nroot_file = "{cloud.root}"\n'


async def test_doctor_when_enrolled_then_token_clock_and_channel_are_ok(cloud: Cloud, tmp_path: Path) -> None:
    """Rule: an enrolled gateway with a right clock passes; the channel is verified from its first root on."""
    given = subject(tmp_path, settings(cloud, cloud.token))
    found = await examined(check_cloud, given) | await examined(check_releases, given)
    assert [check.found for check in found.values() if check.state != "ok"] == []
    assert {"cloud connection", "cloud token", "clock against cloud", "channel"} <= set(found)
    assert found["channel"].found.startswith("verifies")
    assert not (given.data / "releases").exists()


async def test_doctor_when_the_token_is_wrong_then_it_fails_with_what_to_do(cloud: Cloud, tmp_path: Path) -> None:
    """Rule: a token of nobody's is refused, and the words say how to get one."""
    (tmp_path / "token").write_text("not-a-token")
    found = await examined(check_cloud, subject(tmp_path, settings(cloud, tmp_path / "token")))
    assert found["cloud token"].state == "fail"
    assert "enrol the gateway again" in found["cloud token"].advice


async def test_doctor_when_the_root_is_not_the_channels_then_it_fails(cloud: Cloud, tmp_path: Path) -> None:
    """Rule: a channel that does not verify is never called reachable."""
    changed = json.loads(cloud.root.read_bytes())
    changed["signed"]["version"] = 7
    (tmp_path / "root.json").write_text(json.dumps(changed))
    more = settings(cloud, cloud.token).replace(str(cloud.root), str(tmp_path / "root.json"))
    found = await examined(check_releases, subject(tmp_path, more))
    assert found["channel"].state == "fail"


async def test_doctor_when_the_certificate_has_ended_then_the_day_is_told(tmp_path: Path) -> None:
    """Rule: an expired certificate is named as such, with its day, and no token is sent."""
    async with tls_server(*certificate(tmp_path, days=-2)) as port:
        more = f'[sync]\nurl = "https://localhost:{port}"\ntoken_file = "token"\n'
        found = await examined(check_cloud, subject(tmp_path, more))
    assert found["cloud certificate"].state == "fail"
    assert found["cloud certificate"].found.startswith("expired on ")
    assert "cloud token" not in found


async def test_doctor_when_the_authority_is_not_trusted_then_it_says_so(tmp_path: Path) -> None:
    """Rule: dates that hold do not make a stranger's certificate good."""
    async with tls_server(*certificate(tmp_path, days=90)) as port:
        more = f'[sync]\nurl = "https://localhost:{port}"\ntoken_file = "token"\n'
        found = await examined(check_cloud, subject(tmp_path, more))
    assert (found["cloud certificate"].state, found["cloud TLS"].state) == ("ok", "fail")


async def test_doctor_when_others_may_read_the_token_then_it_warns(cloud: Cloud, tmp_path: Path) -> None:
    """Rule: a secret that others may read is a warning that names the command."""
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o644)
    found = await examined(check_settings, subject(tmp_path, settings(cloud, token)))
    assert (found["cloud token"].state, found["cloud token"].advice) == ("warn", f"chmod 600 {token}")
    token.chmod(0o600)
    found = await examined(check_settings, subject(tmp_path, settings(cloud, token)))
    assert found["cloud token"].state == "ok"
