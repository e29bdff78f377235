"""Which adapters a settings file names."""

from pathlib import Path

import pytest

from edge.settings import AdapterSettings, BleSettings, load
from edge.sources.ble import BleSource
from shared.clock import ManualClock
from shared.errors import ConfigError
from tests.factories import write_gateway_files


def test_settings_when_several_adapters_are_named_then_each_has_its_slots(tmp_path: Path) -> None:
    """Rule: a name alone has the common number of slots; the old form of one adapter still holds."""
    path = write_gateway_files(
        tmp_path,
        "[ble]\nslots = 7\n"
        'adapters = ["system:hci0", {adapter = "system:hci1", slots = 5}, "tcp-client:127.0.0.1:4001"]\n',
    )
    ble = load(path).ble
    assert ble is not None
    source = BleSource(ble, lambda _sensor: True, ManualClock())
    assert [(adapter.name, adapter.slots.capacity) for adapter in source.adapters] == [
        ("system:hci0", 7),
        ("system:hci1", 5),
        ("tcp-client:127.0.0.1:4001", 7),
    ]
    assert BleSettings(adapter="system:hci2").each() == (AdapterSettings(adapter="system:hci2"),)
    assert BleSettings().each() == (AdapterSettings(adapter="system"),)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('adapters = ["system:hci0", "system:hci0"]', "stands twice"),
        ('adapters = ["system", {adapter = "system", slots = 3}]', "stands twice"),
        ('adapters = [{adapter = "system", slot = 3}]', "unknown field"),
        ("connect_timeout_s = 3", "connect_timeout_s"),
    ],
)
def test_settings_when_adapters_are_wrong_then_the_file_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    """Rule: a slip in the file is an error that names it."""
    with pytest.raises(ConfigError, match=problem):
        load(write_gateway_files(tmp_path, f"[ble]\n{text}\n"))


def test_settings_when_a_stream_is_unknown_then_the_gateway_says_so_at_its_start() -> None:
    """Rule: a stream that no device has is a wrong setting, not a silent one."""
    with pytest.raises(ConfigError, match="ekg"):
        BleSource(BleSettings(polar_streams=("ekg",)), lambda _sensor: True, ManualClock())
