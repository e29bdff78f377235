"""A real TUF repository served over local HTTP to the client that gateways use."""

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.ngclient import Updater

from cloud.registry.release import open_repository, setup_releases
from cloud.registry.repository import Repository
from cloud.settings import Layout
from shared.clock import NS_PER_S, ManualClock, SystemClock
from shared.release import CHANNEL_TARGET, model_target

MODEL = model_target("effort", "1.0.0")
DAY_S = 86_400


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Served:
    """A repository that is being served, and the gateways that read it."""

    layout: Layout
    repository: Repository
    url: str
    gateways: Path

    def gateway(self, name: str) -> Updater:
        """Return a refreshed client that keeps what it trusts under `name`."""
        folder = self.gateways / name
        (folder / "targets").mkdir(parents=True, exist_ok=True)
        updater = Updater(
            str(folder),
            f"{self.url}/metadata/",
            str(folder / "targets"),
            f"{self.url}/targets/",
            bootstrap=self.repository.root_path.read_bytes(),
        )
        updater.refresh()
        return updater

    def fetch(self, name: str, path: str) -> bytes:
        """Return a target as a gateway gets it."""
        updater = self.gateway(name)
        entry = updater.get_targetinfo(path)
        assert entry is not None
        return Path(updater.download_target(entry, filepath=str(self.gateways / name / "got"))).read_bytes()

    def metadata(self) -> dict[str, bytes]:
        """Return all metadata files."""
        return {file.name: file.read_bytes() for file in self.layout.release_metadata.glob("*.json")}

    def put(self, files: dict[str, bytes]) -> None:
        """Serve these metadata files and no others."""
        for file in self.layout.release_metadata.glob("*.json"):
            file.unlink()
        for name, body in files.items():
            (self.layout.release_metadata / name).write_bytes(body)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    layout = Layout(tmp_path / "cloud")
    clock = SystemClock()
    setup_releases(layout, clock)
    handler = functools.partial(_Quiet, directory=str(layout.root / "releases"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        yield Served(layout, open_repository(layout, clock), url, tmp_path / "gateways")
        server.shutdown()
        thread.join()


def test_release_when_published_then_gateway_gets_the_bytes(served: Served) -> None:
    """What is published arrives at a gateway byte for byte, also the next version of it."""
    for body in (b"one", b"two"):
        served.repository.publish({CHANNEL_TARGET: body})
        assert served.fetch("g1", CHANNEL_TARGET) == body


def test_release_when_other_gateway_starts_later_then_it_needs_only_the_first_root(served: Served) -> None:
    """A gateway enrolled with 1.root.json reaches the newest state however many releases came before."""
    for number in range(5):
        served.repository.publish({MODEL: f"model {number}".encode()})
    assert served.fetch("late", MODEL) == b"model 4"


def test_gateway_when_target_was_tampered_with_then_it_refuses(served: Served) -> None:
    """A model whose bytes are not those that were signed is refused."""
    served.repository.publish({MODEL: b"model"})
    (file,) = (served.layout.release_targets / "models" / "effort" / "1.0.0").iterdir()
    file.write_bytes(b"mOdel")
    with pytest.raises(LengthOrHashMismatchError):
        served.fetch("g1", MODEL)


def test_gateway_when_target_is_endless_then_it_stops_at_the_signed_length(served: Served) -> None:
    """A model longer than signed is refused without reading all of it."""
    served.repository.publish({MODEL: b"model"})
    (file,) = (served.layout.release_targets / "models" / "effort" / "1.0.0").iterdir()
    file.write_bytes(b"model" + b"x" * 1_000_000)
    with pytest.raises(DownloadError):
        served.fetch("g1", MODEL)


def test_gateway_when_all_metadata_is_rolled_back_then_it_refuses(served: Served) -> None:
    """A gateway that knows a newer state never goes back to an older one."""
    served.repository.publish({MODEL: b"old"})
    old = served.metadata()
    served.repository.publish({MODEL: b"new"})
    served.gateway("g1")
    served.put(old)
    with pytest.raises(BadVersionNumberError):
        served.gateway("g1")


def test_gateway_when_snapshot_and_targets_are_mixed_then_it_refuses(served: Served) -> None:
    """An old snapshot under the newest timestamp is refused, also by a gateway that knows nothing yet."""
    served.repository.publish({MODEL: b"old"})
    old = served.metadata()
    served.repository.publish({MODEL: b"new"})
    new = served.metadata()
    served.put({**new, "3.snapshot.json": old["2.snapshot.json"]})
    with pytest.raises(LengthOrHashMismatchError):
        served.gateway("fresh")
    served.put({**new, "3.targets.json": old["2.targets.json"]})
    with pytest.raises(LengthOrHashMismatchError):
        served.gateway("fresh").get_targetinfo(MODEL)


@pytest.mark.parametrize("days", [4, 20])
def test_gateway_when_metadata_has_expired_then_it_installs_nothing(served: Served, days: int) -> None:
    """A frozen repository is refused once its timestamp has expired, and works again after a refresh."""
    past = ManualClock(utc_ns=SystemClock().utc_ns() - days * DAY_S * NS_PER_S)
    open_repository(served.layout, past).publish({MODEL: b"model"})
    with pytest.raises(ExpiredMetadataError):
        served.gateway("g1")
    assert "timestamp" in served.repository.refresh()
    assert served.fetch("g1", MODEL) == b"model"


def _change_targets(files: dict[str, bytes]) -> None:
    table = json.loads(files["2.targets.json"])
    table["signed"]["targets"][MODEL]["hashes"]["sha256"] = "0" * 64
    files["2.targets.json"] = json.dumps(table).encode()


def _change_timestamp(files: dict[str, bytes]) -> None:
    table = json.loads(files["timestamp.json"])
    table["signed"]["version"] += 1
    files["timestamp.json"] = json.dumps(table).encode()


def _no_signature(files: dict[str, bytes]) -> None:
    table = json.loads(files["timestamp.json"])
    table["signatures"] = []
    files["timestamp.json"] = json.dumps(table).encode()


def _cut_off(files: dict[str, bytes]) -> None:
    files["timestamp.json"] = files["timestamp.json"][:-20]


@pytest.mark.parametrize("change", [_change_targets, _change_timestamp, _no_signature, _cut_off])
def test_gateway_when_metadata_was_changed_then_it_refuses(
    served: Served, change: Callable[[dict[str, bytes]], None]
) -> None:
    """Any change of signed metadata is refused."""
    served.repository.publish({MODEL: b"model"})
    files = served.metadata()
    change(files)
    served.put(files)
    with pytest.raises(RepositoryError):
        served.fetch("g1", MODEL)


def test_gateway_when_a_stranger_signs_then_it_refuses(served: Served, tmp_path: Path) -> None:
    """Metadata signed by keys that our root does not name is refused."""
    served.repository.publish({MODEL: b"model"})
    stranger = Layout(tmp_path / "stranger")
    setup_releases(stranger, SystemClock())
    open_repository(stranger, SystemClock()).publish({MODEL: b"theirs"})
    trusted = served.repository.root_path.read_bytes()
    theirs = {file.name: file.read_bytes() for file in stranger.release_metadata.glob("*.json")}
    served.put({**theirs, "1.root.json": trusted})
    with pytest.raises(UnsignedMetadataError):
        served.gateway("g1")


def test_gateway_when_root_is_renewed_then_it_follows(served: Served) -> None:
    """A root near its end is signed anew by two of three keys, and gateways with the first one follow."""
    shutil.rmtree(served.layout.root)
    past = ManualClock(utc_ns=SystemClock().utc_ns() - 200 * DAY_S * NS_PER_S)
    setup_releases(served.layout, past)
    served.repository.publish({MODEL: b"model"})
    assert served.repository.refresh() == ["root"]
    assert (served.layout.release_metadata / "2.root.json").exists()
    assert served.fetch("g1", MODEL) == b"model"


def test_gateway_when_a_release_broke_off_then_it_sees_the_old_state(served: Served) -> None:
    """What was written before the timestamp changes nothing for readers, and the next release overwrites it."""
    served.repository.publish({MODEL: b"old"})
    files = served.metadata()
    served.repository.publish({MODEL: b"half"})
    (served.layout.release_metadata / "timestamp.json").write_bytes(files["timestamp.json"])
    assert served.fetch("g1", MODEL) == b"old"
    served.repository.publish({MODEL: b"new"})
    assert served.fetch("g1", MODEL) == b"new"
