from pathlib import Path

import pytest

from cloud.registry.keys import ONLINE_ROLES, ROOT_KEYS, make_keys, read_signer
from cloud.registry.release import open_repository
from cloud.registry.repository import LIFETIMES
from cloud.settings import Layout
from shared.clock import ManualClock
from shared.errors import ConfigError, ModelUntrusted
from shared.release import CHANNEL_TARGET


def test_keys_when_made_then_only_the_owner_can_read_them(tmp_path: Path) -> None:
    """Three root keys and one for each online role, mode 0600; made once."""
    folder = tmp_path / "keys"
    assert make_keys(folder) == [*ROOT_KEYS, *ONLINE_ROLES]
    assert make_keys(folder) == []
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len({read_signer(folder, name).public_key.keyid for name in (*ROOT_KEYS, *ONLINE_ROLES)}) == 6


def test_key_when_others_can_read_it_then_refused(tmp_path: Path) -> None:
    """A key that others can read may be theirs too."""
    make_keys(tmp_path)
    (tmp_path / "targets.pem").chmod(0o640)
    with pytest.raises(ConfigError, match="can be read by others"):
        read_signer(tmp_path, "targets")


def test_key_when_missing_or_no_key_then_refused(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(ConfigError, match=r"targets\.pem"):
        read_signer(tmp_path, "targets")
    (tmp_path / "targets.pem").write_text("no key")
    with pytest.raises(ConfigError, match="is not a PEM private key"):
        read_signer(tmp_path, "targets")


def test_refresh_when_roles_are_young_then_signs_nothing(layout: Layout, clock: ManualClock) -> None:
    """A role keeps its signature for the first half of its life."""
    repository = open_repository(layout, clock)
    assert repository.refresh() == []
    clock.advance(LIFETIMES["timestamp"].total_seconds() / 2 + 1)
    assert repository.refresh() == ["timestamp"]
    clock.advance(LIFETIMES["snapshot"].total_seconds() / 2)
    assert repository.refresh() == ["snapshot", "timestamp"]
    clock.advance(LIFETIMES["targets"].total_seconds())
    assert repository.refresh() == ["targets", "snapshot", "timestamp"]


def test_refresh_when_released_models_exist_then_keeps_them(layout: Layout, clock: ManualClock) -> None:
    """Signing anew changes dates and versions, not what is released."""
    repository = open_repository(layout, clock)
    repository.publish({CHANNEL_TARGET: b"{}"})
    clock.advance(LIFETIMES["root"].total_seconds())
    assert repository.refresh() == ["root", "targets", "snapshot", "timestamp"]
    assert repository.read(CHANNEL_TARGET) == b"{}"


def test_read_when_target_changed_on_disk_then_refuses(layout: Layout, clock: ManualClock) -> None:
    """What was signed is compared with what lies there before it is signed again."""
    repository = open_repository(layout, clock)
    (target,) = layout.release_targets.glob("*.channel.json")
    target.write_bytes(b"other")
    with pytest.raises(ModelUntrusted, match="changed on disk"):
        repository.read(CHANNEL_TARGET)
    target.unlink()
    with pytest.raises(ModelUntrusted, match="missing on disk"):
        repository.read(CHANNEL_TARGET)


def test_publish_when_metadata_is_broken_then_refuses(layout: Layout, clock: ManualClock) -> None:
    """Broken metadata is not built upon."""
    (layout.release_metadata / "timestamp.json").write_bytes(b"{")
    with pytest.raises(ModelUntrusted, match=r"timestamp\.json"):
        open_repository(layout, clock).publish({"x": b""})
