from pathlib import Path

import pytest

from cloud.settings import Layout
from cloud.training.artifacts import Artifacts, parse_version
from shared.errors import ConfigError


@pytest.mark.parametrize("text", ["1.0", "1.0.0-rc1", "01.0.0", "../1.0.0", "", "1.0.0\n"])
def test_version_when_not_three_numbers_then_refused(text: str) -> None:
    """A version is major.minor.patch; anything else could be a path."""
    with pytest.raises(ConfigError):
        parse_version(text)


@pytest.mark.parametrize("name", ["../effort", "Effort", "", "a/b"])
def test_folder_when_name_could_lead_out_then_refused(tmp_path: Path, name: str) -> None:
    """A model's name cannot name another folder."""
    with pytest.raises(ConfigError):
        Artifacts(Layout(tmp_path)).folder(name, "1.0.0")


def test_versions_when_many_then_sorted_as_numbers(tmp_path: Path) -> None:
    """1.0.10 comes after 1.0.9, and a folder without a card does not count."""
    for version in ("1.0.10", "1.0.9", "0.3.0", "junk"):
        folder = tmp_path / "models" / "effort" / version
        folder.mkdir(parents=True)
        (folder / "card.json").touch()
    (tmp_path / "models" / "effort" / "2.0.0").mkdir()
    artifacts = Artifacts(Layout(tmp_path))
    assert artifacts.versions("effort") == ["0.3.0", "1.0.9", "1.0.10"]
    assert artifacts.next_version("effort") == "1.0.11"
    with pytest.raises(ConfigError, match="no trained model"):
        artifacts.newest("trajectory")
