"""The gateway's settings: paths are absolute, defaults are whole, errors name their place."""

from pathlib import Path

import pytest

from edge.settings import load
from shared.errors import ConfigError
from tests.factories import write_gateway_files


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
    ],
)
def test_settings_when_a_key_is_wrong_then_the_error_names_its_place(tmp_path: Path, more: str, place: str) -> None:
    """Rule: an unknown or mistyped key is an error with its path."""
    with pytest.raises(ConfigError, match=place):
        load(write_gateway_files(tmp_path, more))


def test_settings_when_the_gateways_name_is_no_id_then_it_is_an_error(tmp_path: Path) -> None:
    """Rule: the name goes into addresses and topics."""
    path = tmp_path / "gateway.toml"
    path.write_text('gateway = "north pitch"\n')
    with pytest.raises(ConfigError, match="is not an id"):
        load(path)
