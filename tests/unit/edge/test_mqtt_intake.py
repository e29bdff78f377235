"""Frames that name their devices themselves, through the intake: who is known, who is counted, what is kept."""

import json
from typing import Any

import pytest

from edge.pipeline.intake import Intake
from edge.pipeline.roster import Wearers
from edge.settings import load
from firmware_sim.devices import sparkplug
from shared.clock import NS_PER_S, ManualClock
from shared.errors import ConfigError
from shared.readings import Frame, Readings
from shared.roster import Assignment, Roster
from tests.factories import START_NS, frame, roster_athlete, write_gateway_files

START_S = START_NS // NS_PER_S


@pytest.fixture
def intake() -> Intake:
    """An intake whose roster knows two tags."""
    assignments = [Assignment(sensor=name, athlete="a01") for name in ("tag-1", "tag-2")]
    return Intake(Wearers(Roster(athletes=[roster_athlete("a01")], assignments=assignments)), "boot-7")


def sent(channel: str, body: Any, *, sensor: str) -> Frame:
    """Return a frame received at START_NS."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return frame(text, sensor=sensor, channel=channel, clock=ManualClock(utc_ns=START_NS))


def rows(blocks: list[Readings]) -> dict[str, list[float]]:
    """Return each sensor's first column."""
    return {block.sensor: block.values[:, 0].tolist() for block in blocks}


def packet(tag: str, x_mm: int, *, success: bool = True) -> dict[str, Any]:
    """Return one Pozyx packet."""
    where = {"coordinates": {"x": x_mm, "y": 0, "z": 0}} if success else {}
    return {"tagId": tag, "timestamp": float(START_S), "success": success, "data": where}


def test_intake_when_a_batch_names_a_stranger_then_the_others_are_kept_and_the_frame_is_set_aside(
    intake: Intake,
) -> None:
    """Rule: a tag that nobody wears loses nothing of the others; its bytes wait in quarantine."""
    batch = sent("pozyx", [packet("tag-1", 1000), packet("tag-9", 2000), packet("tag-2", 3000)], sensor="pozyx")
    blocks, rejected = intake.take([batch])
    assert rows(blocks) == {"tag-1": [1.0], "tag-2": [3.0]}
    assert [(reject.reason, reject.frame) for reject in rejected] == [("unknown device", batch)]
    assert set(intake.counts) == {"tag-1", "tag-2"}


def test_intake_when_a_tag_is_not_located_then_it_is_counted_and_nothing_is_stored(intake: Intake) -> None:
    """Rule: success:false is a missed position of that tag."""
    lost = sent("pozyx", [packet("tag-1", 0, success=False), packet("tag-2", 5000)], sensor="pozyx")
    blocks, rejected = intake.take([lost, lost])
    assert (rows(blocks), rejected) == ({"tag-2": [5.0, 5.0]}, [])
    assert intake.counts[blocks[0].sensor].about == {}
    assert {name: counts.about for name, counts in intake.counts.items()} == {
        "tag-1": {"missed positions": "2"},
        "tag-2": {},
    }


@pytest.mark.parametrize(("sensor", "known"), [("tag-1", True), ("tag-9", False)])
def test_intake_when_the_topic_names_the_device_then_it_must_be_known(
    intake: Intake, *, sensor: str, known: bool
) -> None:
    """Rule: where a frame that could name its device does not, the topic's is meant, and the roster decides."""
    node = sparkplug.Node(group="club", node="gw")
    born = node.device_birth("x", {"hr": 60.0}, t_ms=START_S * 1000)
    pack = [{"bt": START_S, "n": "power", "u": "W", "v": 250}]
    blocks, rejected = intake.take(
        [sent("sparkplug.dbirth", born, sensor=sensor), sent("senml+json", pack, sensor=sensor)]
    )
    if known:
        assert [(block.stream, block.sensor, block.values[0, 0]) for block in blocks] == [
            ("heart_rate", "tag-1", 60.0),
            ("power", "tag-1", 250.0),
        ]
        assert rejected == []
    else:
        assert (blocks, [reject.reason for reject in rejected]) == ([], ["unknown device", "unknown device"])
        assert intake.counts == {}


def test_intake_when_aliases_are_of_another_node_then_they_do_not_mix(intake: Intake) -> None:
    """Rule: each node and device has its own births."""
    first, second = sparkplug.Node(group="club", node="a"), sparkplug.Node(group="club", node="b")
    t_ms = START_S * 1000
    intake.take(
        [
            sent("sparkplug.nbirth", first.birth(["tag-1/hr"], t_ms=t_ms), sensor="a"),
            sent("sparkplug.nbirth", second.birth(["tag-2/power_w"], t_ms=t_ms), sensor="b"),
        ]
    )
    blocks, rejected = intake.take(
        [
            sent("sparkplug.ndata", first.values({"tag-1/hr": 61.0}, t_ms=t_ms), sensor="a"),
            sent("sparkplug.ndata", second.values({"tag-2/power_w": 300.0}, t_ms=t_ms), sensor="b"),
            sent("sparkplug.ndata", first.values({"tag-1/hr": 62.0}, t_ms=t_ms), sensor="c"),
        ]
    )
    assert {(block.stream, block.sensor): block.values[0, 0] for block in blocks} == {
        ("heart_rate", "tag-1"): 61.0,
        ("power", "tag-2"): 300.0,
    }
    assert [reject.reason for reject in rejected] == ["a Sparkplug alias without its birth"]


def test_intake_when_a_channel_maps_names_then_the_reading_is_of_the_quantity(intake: Intake) -> None:
    """Rule: a mapping stands in the channel; one that cannot be read sets the frame aside."""
    body = {"hr": 120, "other": "text"}
    blocks, rejected = intake.take(
        [
            sent("sideline+json?hr=heart_rate_bpm", body, sensor="tag-1"),
            sent("sideline+json?hr=pulse", body, sensor="tag-1"),
            sent("topic:club/x", body, sensor="tag-1"),
        ]
    )
    assert rows(blocks) == {"tag-1": [120.0]}
    assert [reject.reason for reject in rejected] == ["channel maps to an unknown quantity", "unknown channel"]


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ("[mqtt]\ntopics = [{topic = 'a/{sensor}'}]", r"format.*mqtt\.topics\[0\]"),
        ("[mqtt]\ntopics = [{format = 'pozyx', unit = 'm'}]", r"unit.*mqtt\.topics\[0\]"),
        ("[mqtt]\ntopics = [5]", r"mqtt\.topics\[0\]"),
        ("[mqtt]\ntopics = [{format = 'senml', map = {a = {scale = 2.0}}}]", r"to.*mqtt\.topics\[0\]\.map"),
        ("[session]\npitch_corners = [[1, 2], [3, 4], [5, 6]]", r"session\.pitch_corners"),
        ("[session]\npitch_corners = [[91, 2], [3, 4], [5, 6], [7, 8]]", r"session\.pitch_corners\[0\]"),
        ("[session]\npitch_corners = [[1, 2, 3], [3, 4], [5, 6], [7, 8]]", r"session\.pitch_corners\[0\]"),
    ],
)
def test_settings_when_a_topic_or_a_corner_is_mistyped_then_the_error_names_its_place(
    tmp_path: Any, more: str, place: str
) -> None:
    """Rule: a key that does not belong, or a value of another kind, is an error with its path."""
    with pytest.raises(ConfigError, match=place):
        load(write_gateway_files(tmp_path, more))
