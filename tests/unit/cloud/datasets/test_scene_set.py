import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_equal

from cloud.datasets.card import DatasetCard
from cloud.datasets.lineage import Lineage, from_files, from_table
from cloud.datasets.public.read import read_scenes
from cloud.datasets.scene_set import CARD, SCENES, read_scene_set, scene_card, write_scenes
from cloud.datasets.scenes import Field, Scenes, choose, join
from cloud.datasets.validate.check import validated
from cloud.settings import Layout
from shared.clock import NS_PER_S, ManualClock
from shared.errors import ConfigError, StoreCorrupt
from shared.features.team import TEAM_GRAPH
from tests import tracking_files as files

HELD_OUT = (str(files.GAME + 1),)


def card_of(scenes: Scenes, held_out: tuple[str, ...] = HELD_OUT) -> DatasetCard:
    """Return the card of plays whose `held_out` games are kept back."""
    named = {"name": "plays", "version": "files", "query": "weeks 1 and 2", "split": "by game"}
    return scene_card(scenes, features=TEAM_GRAPH, held_out=held_out, **named)


@pytest.fixture
def scenes(tmp_path: Path) -> Scenes:
    return read_scenes(files.big_data_bowl(tmp_path / "data", weeks=(1, 2))).scenes


def test_scene_set_when_written_then_it_is_read_back_as_it_was(tmp_path: Path, scenes: Scenes) -> None:
    """Arrays, field and card come back; counts are of known positions of players, whole games held out."""
    card = card_of(scenes)
    folder = write_scenes(Layout(tmp_path), scenes, HELD_OUT, card)
    again, held_out, same = read_scene_set(folder)
    assert (held_out, same) == (HELD_OUT, card)
    assert again.digest() == scenes.digest()
    assert again.field == scenes.field
    assert (card.rows, card.held_out_rows) == (4 * 23 * files.FRAMES, 2 * 23 * files.FRAMES)
    assert (card.sessions, card.athletes, card.held_out_athletes) == (2, 22, 0)


def test_scene_set_when_made_twice_then_its_bytes_are_the_same(tmp_path: Path, scenes: Scenes) -> None:
    """The same digest gives the same bytes, wherever it is written; another split is another digest."""
    card = card_of(scenes)
    one, two = (write_scenes(Layout(tmp_path / place), scenes, HELD_OUT, card) for place in "ab")
    assert (one / SCENES).read_bytes() == (two / SCENES).read_bytes()
    assert (one / CARD).read_bytes() == (two / CARD).read_bytes()
    assert card_of(scenes, ()).digest != card.digest


def test_scene_set_when_its_bytes_changed_then_it_is_refused(tmp_path: Path, scenes: Scenes) -> None:
    """A set that is not what its card says, or no set at all, is not read."""
    folder = write_scenes(Layout(tmp_path), scenes, HELD_OUT, card_of(scenes))
    other = write_scenes(Layout(tmp_path), scenes, (), card_of(scenes, ()))
    (folder / SCENES).write_bytes((other / SCENES).read_bytes())
    with pytest.raises(StoreCorrupt):
        read_scene_set(folder)
    (folder / SCENES).write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="no set of scenes"):
        read_scene_set(folder)


def test_scenes_when_joined_and_chosen_then_frames_follow_their_scene(tmp_path: Path, scenes: Scenes) -> None:
    """Joining parts of different width pads with nobody; choosing from them gives the parts back."""
    other = read_scenes(files.big_data_bowl_2026(tmp_path / "other")).scenes
    of_players = {"xy_m", "velocity_mps", "facing_rad", "team", "role", "player"}
    values = {name: getattr(other, name) for name in Scenes.__dataclass_fields__}
    narrow = Scenes(**{name: value[:, :20] if name in of_players else value for name, value in values.items()})
    whole = join([scenes, narrow])
    assert whole.players == scenes.players
    back = choose(whole, [4, 5])
    assert_equal(back.xy_m[:, :20], narrow.xy_m)
    assert np.isnan(back.xy_m[:, 20:]).all()
    assert_equal(back.arrived, narrow.arrived)
    assert choose(whole, range(4)).digest() == scenes.digest()


def test_scenes_when_their_fields_differ_then_they_are_not_joined(scenes: Scenes) -> None:
    """One set of scenes is played on one field."""
    names = Scenes.__dataclass_fields__
    moved = Scenes(**{name: getattr(scenes, name) for name in names} | {"field": Field(length_m=105.0, width_m=68.0)})
    with pytest.raises(ValueError, match="several fields"):
        join([scenes, moved])


def events(layout: Layout) -> list[dict]:
    return [json.loads(line) for line in (layout.root / "lineage" / "events.jsonl").read_text().splitlines()]


def test_lineage_when_a_job_completes_then_events_name_inputs_rules_and_version(tmp_path: Path) -> None:
    """OpenLineage: a start and an end of one run; inputs with the rules they kept, the output with digest and rows."""
    layout, clock = Layout(tmp_path), ManualClock(utc_ns=1_767_225_600 * NS_PER_S)
    checked = validated(files.big_data_bowl(tmp_path / "data", weeks=(1, 2)))
    card = card_of(checked.scenes)
    inputs = [*from_files(checked.report.files, checked.validation), from_table("readings_position", "7")]
    with Lineage(layout, clock).job("dataset plays", inputs) as outcome:
        clock.advance(2.0)
        outcome.made(card)
    begun, done = events(layout)
    assert (begun["eventType"], done["eventType"]) == ("START", "COMPLETE")
    assert begun["run"]["runId"] == done["run"]["runId"]
    assert (begun["eventTime"], done["eventTime"]) == ("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:02+00:00")
    assert [item["name"].rsplit("/")[-1] for item in done["inputs"]] == [
        *("tracking_week_1.csv", "tracking_week_2.csv"),
        "readings_position",
    ]
    assertions = done["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert {item["assertion"]: item["success"] for item in assertions}["range"] is True
    assert done["inputs"][2]["facets"]["version"]["datasetVersion"] == "7"
    [made] = done["outputs"]
    assert made["facets"]["version"]["datasetVersion"] == f"files-{card.digest}"
    assert made["outputFacets"]["outputStatistics"]["rowCount"] == card.rows


def test_lineage_when_a_job_fails_then_the_event_says_why(tmp_path: Path) -> None:
    """What ended a job is kept, and nothing is said to have been made."""
    layout = Layout(tmp_path)

    def fail() -> None:
        with Lineage(layout, ManualClock()).job("dataset plays", []) as outcome:
            outcome.made(card_of(read_scenes(files.big_data_bowl(tmp_path / "data")).scenes))
            raise ConfigError("x", "is wrong")

    with pytest.raises(ConfigError):
        fail()
    _, failed = events(layout)
    assert (failed["eventType"], failed["outputs"]) == ("FAIL", [])
    assert failed["run"]["facets"]["errorMessage"]["message"] == "x: is wrong"
