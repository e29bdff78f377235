"""Settings, rosters and secrets: an error names the file and the place."""

from pathlib import Path

import msgspec
import pytest

from shared.errors import ConfigError
from shared.ids import new_epoch, new_token, parse_athlete_id, parse_epoch, parse_gateway_id, parse_sensor_id
from shared.roster import Assignment, Roster, read_roster, write_roster
from shared.settings import read_secret, read_settings
from tests.factories import roster, roster_athlete


class _Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    port: int = 1


class _Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inner: _Inner = _Inner()


def test_settings_when_a_key_is_unknown_then_the_error_names_file_and_path(tmp_path: Path) -> None:
    """Rule: a typing error in a settings file is never silently a default."""
    path = tmp_path / "s.toml"
    path.write_text("[inner]\nprot = 2\n")
    with pytest.raises(ConfigError, match=r"prot.*inner") as caught:
        read_settings(path, _Outer)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("body", [b"inner = ", b"[inner]\nport = 'x'", b"\xff\xfe"])
def test_settings_when_they_cannot_be_read_then_it_is_a_config_error(tmp_path: Path, body: bytes) -> None:
    """Rule: bad TOML, bad types and bad text are one kind of error."""
    path = tmp_path / "s.toml"
    path.write_bytes(body)
    with pytest.raises(ConfigError):
        read_settings(path, _Outer)


def test_settings_when_the_file_is_missing_then_the_error_names_it(tmp_path: Path) -> None:
    """Rule: no traceback for a wrong path."""
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        read_settings(tmp_path / "none.toml", _Outer)


def test_secret_when_read_then_white_space_does_not_count(tmp_path: Path) -> None:
    """Rule: an editor's last line break is no part of a token; an empty file is none."""
    path = tmp_path / "token"
    path.write_text(" abc \n")
    assert read_secret(path) == "abc"
    path.write_text("\n")
    with pytest.raises(ConfigError, match="empty"):
        read_secret(path)


def test_roster_when_written_and_read_then_it_is_the_same(tmp_path: Path) -> None:
    """Rule: simulator and gateway read the same file."""
    path = tmp_path / "roster.json"
    write_roster(roster(3), path)
    assert read_roster(path) == roster(3)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (Roster(athletes=[roster_athlete(), roster_athlete()], assignments=[]), "stands twice"),
        (Roster(athletes=[roster_athlete("ball")], assignments=[]), "stands twice"),
        (Roster(athletes=[roster_athlete(sex="x")], assignments=[]), "sex must be"),
        (Roster(athletes=[roster_athlete(team=2)], assignments=[]), "team must be 0 or 1"),
        (Roster(athletes=[roster_athlete(hr_rest_bpm=190.0)], assignments=[]), "hr_rest_bpm < hr_max_bpm"),
        (Roster(athletes=[roster_athlete(hr_max_bpm=300.0)], assignments=[]), "<= 250"),
        (Roster(athletes=[roster_athlete("no good")], assignments=[]), "is not an id"),
        (Roster(athletes=[], assignments=[Assignment(sensor="t1", athlete="a01")]), "unknown athlete a01"),
        (Roster(athletes=[], assignments=[Assignment(sensor="t 1", athlete="ball")]), "is not an id"),
    ],
)
def test_roster_when_something_is_wrong_then_the_error_says_what(tmp_path: Path, given: Roster, problem: str) -> None:
    """Rule: the first thing that is wrong is named."""
    path = tmp_path / "roster.json"
    write_roster(given, path)
    with pytest.raises(ConfigError, match=problem):
        read_roster(path)


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"athletes": [], "assignments": [], "more": 1}', b'{"athletes": "\xff"}']
)
def test_roster_when_it_is_no_roster_then_it_is_a_config_error(tmp_path: Path, body: bytes) -> None:
    """Rule: whatever the bytes, the error is ours and names the file."""
    path = tmp_path / "roster.json"
    path.write_bytes(body)
    with pytest.raises(ConfigError, match=r"roster\.json"):
        read_roster(path)


def test_ids_when_well_formed_then_they_come_back_unchanged() -> None:
    """Rule: Bluetooth addresses and tags' names are ids."""
    assert parse_sensor_id("C0:00:00:00:00:01") == "C0:00:00:00:00:01"
    assert parse_gateway_id("pitch-1.north_2") == "pitch-1.north_2"
    assert parse_athlete_id("a" * 64)


@pytest.mark.parametrize("text", ["", "-a", "a b", "a/b", "ä", "a\n", "a" * 65, "../x"])
def test_ids_when_malformed_then_it_is_a_config_error(text: str) -> None:
    """Rule: an id is safe in paths, topics and addresses."""
    for parse in (parse_sensor_id, parse_athlete_id, parse_gateway_id):
        with pytest.raises(ConfigError, match="is not an id"):
            parse(text)


def test_epoch_when_made_then_it_parses_and_never_repeats() -> None:
    """Rule: 16 random hexadecimal digits."""
    epochs = {new_epoch() for _ in range(100)}
    assert len(epochs) == 100
    assert all(parse_epoch(epoch) == epoch for epoch in epochs)
    for bad in ("", "0" * 15, "0" * 17, "G" * 16, "0" * 16 + "\n"):
        with pytest.raises(ConfigError):
            parse_epoch(bad)


def test_token_when_made_then_it_is_long_and_never_repeats() -> None:
    """Rule: 32 random bytes."""
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) >= 43
