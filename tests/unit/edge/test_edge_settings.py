"""The gateway's settings: paths are absolute, defaults are whole, errors name their place."""

import sys
from pathlib import Path

import pytest

from edge.__main__ import main
from edge.pipeline.roster import Wearers
from edge.settings import load
from shared.errors import ConfigError
from shared.ids import SensorId
from shared.roster import Assignment, Roster
from tests.factories import write_gateway_files

ONE_RULE = "[[alerts]]\nrule = 'r'\nvariable = 'hr_percent_max'\non = 2.0\noff = 1.0\ndwell_s = 0\n"


def test_settings_when_loaded_then_every_path_is_in_the_files_folder(tmp_path: Path) -> None:
    """Rule: a gateway started from another folder reads the same files."""
    more = """data_dir = "d"
[mqtt]
password_file = "p"
ca_file = "/etc/ca.pem"
[sync]
token_file = "t"
[release]
root_file = "r.json"
"""
    settings = load(write_gateway_files(tmp_path, more))
    assert settings.mqtt is not None
    named = (settings.data_dir, settings.roster_file, settings.mqtt.password_file, settings.sync.token_file)
    assert named == tuple(str(tmp_path / name) for name in ("d", "roster.json", "p", "t"))
    assert settings.release.root_file == str(tmp_path / "r.json")
    assert settings.mqtt.ca_file == "/etc/ca.pem"


def test_settings_when_sections_are_left_out_then_their_parts_are_off(tmp_path: Path) -> None:
    """Rule: no broker, radio, cloud or releases unless the file names them; rules have defaults."""
    settings = load(write_gateway_files(tmp_path))
    assert (settings.mqtt, settings.ble, settings.sync.url, settings.release.root_file) == (None, None, None, None)
    assert settings.alerts


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ("prot = 1", "prot"),
        ("[mqtt]\ntopic = 'x'", r"topic.*mqtt"),
        ("[store]\ncommit_interval_ms = 'soon'", r"store\.commit_interval_ms"),
        ("[[alerts]]\nrule = 'r'", r"alerts"),
        ("[session]\nplanned_distance_m = 0", r"session\.planned_distance_m"),
        ("[session]\nplanned_minutes = nan", r"session\.planned_minutes"),
        ("[store]\nmax_bytes = 0", r"store\.max_bytes"),
        ("[store]\ncommit_interval_ms = -1", r"store\.commit_interval_ms"),
        ("[sync]\nbatch_s = 0", r"sync\.batch_s"),
        ("[release]\npoll_s = inf", r"release\.poll_s"),
        ("[ble]\nslots = 0", r"ble\.slots"),
        ("[mqtt]\nport = 99999", r"mqtt\.port"),
        (f"{ONE_RULE}{ONE_RULE}", r"alerts: rule r stands twice"),
    ],
)
def test_settings_when_a_key_is_wrong_then_the_error_names_its_place(tmp_path: Path, more: str, place: str) -> None:
    """Rule: an unknown or mistyped key, or a value that cannot work, is an error with its path."""
    with pytest.raises(ConfigError, match=place):
        load(write_gateway_files(tmp_path, more))


def test_settings_when_the_gateways_name_is_no_id_then_it_is_an_error(tmp_path: Path) -> None:
    """Rule: the name goes into addresses and topics."""
    path = tmp_path / "gateway.toml"
    path.write_text('gateway = "north pitch"\n')
    with pytest.raises(ConfigError, match="is not an id"):
        load(path)


def test_settings_when_the_port_is_none_then_it_is_an_error(tmp_path: Path) -> None:
    """Rule: a port is 0 to 65535."""
    path = tmp_path / "gateway.toml"
    path.write_text('gateway = "g"\nport = 99999\n')
    with pytest.raises(ConfigError, match="port"):
        load(path)


def test_gateway_when_the_log_level_is_none_then_it_says_so_and_ends_with_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: a wrong word on the command line is one line that names the right ones, never a traceback."""
    words = ["sideline-gateway", "run", "--settings", str(write_gateway_files(tmp_path)), "--log-level", "foo"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "'foo' is not debug, info, warning, error" in capsys.readouterr().err


@pytest.mark.parametrize("written", ["c0:00:00:00:00:0a", "C0:00:00:00:00:0A"])
def test_roster_when_an_address_is_written_small_then_it_is_the_sensor_that_the_radio_reports(written: str) -> None:
    """Rule: Bluetooth addresses have no case; names of tags do."""
    assignments = [Assignment(sensor=name, athlete="ball") for name in (written, "Tag-1")]
    wearers = Wearers(Roster(athletes=[], assignments=assignments))
    assert wearers.wearer(SensorId("C0:00:00:00:00:0A"), 0) == "ball"
    assert [a.sensor for a in wearers.roster.assignments] == ["C0:00:00:00:00:0A", "Tag-1"]
    assert not wearers.is_known(SensorId("tag-1"))
