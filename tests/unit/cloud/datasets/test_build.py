import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from cloud.datasets.build import EFFORT_TABLE, effort_from_files, effort_from_table, write_dataset
from cloud.datasets.card import read_dataset_card
from cloud.datasets.rows import FEATURES
from cloud.settings import Layout
from cloud.training.jobs import effort_data
from shared.clock import NS_PER_S, ManualClock
from shared.errors import ConfigError, ModelIncompatible
from shared.features.athlete import ATHLETE_EFFORT


def table(*, athletes: int = 3, seconds: int = 30, feature_hash: str = ATHLETE_EFFORT.schema_hash) -> pa.Table:
    count = athletes * seconds
    rng = np.random.default_rng(2)
    columns: dict[str, Any] = {
        "session": ["s1"] * count,
        "athlete": np.repeat([f"a{i}" for i in range(athletes)], seconds),
        "time_ns": np.tile(np.arange(seconds, dtype=np.int64) * NS_PER_S, athletes),
        "coverage": np.ones(count),
        **{name: rng.normal(size=count).astype(np.float32) for name in FEATURES},
        "hr_bpm": pa.array([None, *rng.uniform(60, 190, count - 1)], pa.float64()),
        "feature_hash": [feature_hash] * count,
    }
    return pa.table(columns)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def test_effort_when_table_has_a_version_then_card_names_it(layout: Layout) -> None:
    """The data set is the table's newest version; a row without heart rate is left out."""
    for version in range(2):
        write_deltalake(layout.tables / EFFORT_TABLE, table(), mode="overwrite")
        rows, card = effort_from_table(layout)
        assert (card.version, card.reference, card.rows) == (str(version), f"effort@{version}", 89)
        assert len(rows) == 89
    assert card.feature_hash == ATHLETE_EFFORT.schema_hash


def test_write_when_same_rows_then_same_bytes(layout: Layout) -> None:
    """The same digest means the same files, wherever they are written."""
    write_deltalake(layout.tables / EFFORT_TABLE, table())
    rows, card = effort_from_table(layout)
    folder = write_dataset(layout, rows, card)
    again = write_dataset(Layout(layout.root / "other"), *effort_from_table(layout))
    assert folder == write_dataset(layout, rows, card)
    assert folder.name == again.name == f"0-{card.digest[:12]}"
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == {f.name: f.read_bytes() for f in again.iterdir()}
    assert read_dataset_card(folder / "card.json") == card


def test_effort_when_made_from_a_table_then_lineage_names_its_version(layout: Layout) -> None:
    """What came from which version of which table is written down, also where it could not be made."""
    with pytest.raises(ConfigError):
        effort_data(layout, ManualClock(), [])
    write_deltalake(layout.tables / EFFORT_TABLE, table())
    _, card = effort_data(layout, ManualClock(), [])
    events = [json.loads(line) for line in (layout.root / "lineage" / "events.jsonl").read_text().splitlines()]
    assert [event["eventType"] for event in events] == ["START", "FAIL", "START", "COMPLETE"]
    [read], [made] = events[-1]["inputs"], events[-1]["outputs"]
    assert (read["name"], read["facets"]["version"]["datasetVersion"]) == (EFFORT_TABLE, "0")
    assert made["facets"]["version"]["datasetVersion"] == f"0-{card.digest}"


def test_effort_when_features_mean_something_else_then_refuses(layout: Layout) -> None:
    """Rows of another feature schema are not trained on."""
    write_deltalake(layout.tables / EFFORT_TABLE, table(feature_hash="0" * 64))
    with pytest.raises(ModelIncompatible, match="another schema"):
        effort_from_table(layout)


def test_effort_when_no_table_or_no_row_then_says_what_is_missing(layout: Layout) -> None:
    """The message names what has to be run or collected first."""
    with pytest.raises(ConfigError, match="cloud pipeline"):
        effort_from_table(layout)
    write_deltalake(layout.tables / EFFORT_TABLE, table().slice(0, 0))
    with pytest.raises(ConfigError, match="gives no rows"):
        effort_from_table(layout)


def test_effort_when_recording_cannot_be_read_then_names_the_file(tmp_path: Path) -> None:
    """A recording that is missing, no Parquet file or without its roster is refused by name."""
    with pytest.raises(ConfigError, match=r"gone\.parquet: is no file"):
        effort_from_files([tmp_path / "gone.parquet"])
    (tmp_path / "lone.parquet").write_text("no table")
    with pytest.raises(ConfigError, match=r"lone\.roster\.json"):
        effort_from_files([tmp_path / "lone.parquet"])
    (tmp_path / "bad.roster.json").write_text('{"athletes": [], "assignments": []}')
    (tmp_path / "bad.parquet").write_text("no table")
    with pytest.raises(ConfigError, match=r"bad\.parquet"):
        effort_from_files([tmp_path / "bad.parquet"])


def test_dataset_card_when_broken_then_refused(tmp_path: Path) -> None:
    """A card is read strictly."""
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(ConfigError):
        read_dataset_card(tmp_path / "card.json")
    with pytest.raises(ConfigError):
        read_dataset_card(tmp_path / "none.json")
