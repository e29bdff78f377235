"""Topics in the settings: which frames come from where, and which settings cannot work."""

import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge.__main__ import main
from edge.sensors.mapping import targets_of, with_mapping
from edge.sensors.registry import SENSORS, TOPICS
from edge.sensors.sideline_binary import _STREAMS
from edge.settings import MqttTopic, load
from edge.sources.mqtt_topics import UNNAMED, Topics, covers
from shared.errors import ConfigError, DecodeError
from tests.factories import write_gateway_files
from tests.tools import ROOT

FORMATS = [sensor.name for sensor in SENSORS if sensor.topics]


def topics(folder: Path, more: str) -> Topics:
    """Return the topics of a settings file."""
    settings = load(write_gateway_files(folder, f"[mqtt]\n{more}"))
    assert settings.mqtt is not None
    return Topics(settings.mqtt.topics)


def found(routes: Topics, topic: str) -> tuple[str, str | None]:
    """Return the sensor and channel of a topic."""
    sensor, route = routes.find(topic)
    return sensor, route.channel if route else None


def test_topics_when_settings_name_none_then_position_tags_are_read(tmp_path: Path) -> None:
    """Rule: settings of before go on working: a bare topic ends in the sensor's `+` and the format."""
    for more in ("", 'topics = ["sideline/tags/+/position"]', 'topics = ["position"]', 'topics = ["position_tag"]'):
        routes = topics(tmp_path, more)
        assert routes.filters == ("sideline/tags/+/position",)
        assert found(routes, "sideline/tags/tag-01/position") == ("tag-01", "position")
        assert found(routes, "sideline/tags/no good!/position") == (UNNAMED, "position")
        assert found(routes, "sideline/tags/a/b/position") == (UNNAMED, None)


def test_topics_when_formats_are_named_then_all_their_topics_are_read(tmp_path: Path) -> None:
    """Rule: a format's name stands for its own topics; together the formats have no topic in common."""
    routes = topics(tmp_path, f"topics = {json.dumps(FORMATS)}")
    assert {(route.pattern, route.channel) for route in routes.routes} == set(TOPICS)
    assert found(routes, "tags") == ("pozyx", "pozyx")
    assert found(routes, "tags/7001") == ("pozyx", "pozyx")
    assert found(routes, "dwm/node/1a2b/uplink/status") == ("1a2b", "dwm1001.status")
    assert found(routes, "owntracks/ana/phone-1") == ("phone-1", "owntracks")
    assert found(routes, "traccar") == ("traccar", "traccar")
    assert found(routes, "sideline/sensors/a07/exertion") == ("a07", "sideline+json")
    assert found(routes, "sideline/binary/pod-1/imu") == ("pod-1", "sideline+binary")
    assert found(routes, "spBv1.0/club/NDATA/gw-1") == ("gw-1", "sparkplug.ndata")


def test_topics_when_a_table_gives_a_pattern_then_its_level_names_the_sensor(tmp_path: Path) -> None:
    """Rule: `{sensor}` is where the device's name stands; `+` and `#` are as in MQTT."""
    routes = topics(
        tmp_path,
        'topics = [{topic = "club/+/uwb/{sensor}/pos/#", format = "dwm1001.location"}, '
        '{topic = "all/of/it/#", format = "pozyx"}]',
    )
    assert routes.filters == ("club/+/uwb/+/pos/#", "all/of/it/#")
    assert found(routes, "club/north/uwb/t1/pos") == ("t1", "dwm1001.location")
    assert found(routes, "club/north/uwb/t1/pos/x/y") == ("t1", "dwm1001.location")
    assert found(routes, "club/north/west/uwb/t1/pos")[1] is None
    assert found(routes, "all/of/it") == ("pozyx", "pozyx")


def test_topics_when_names_are_mapped_then_the_channel_says_so(tmp_path: Path) -> None:
    """Rule: other people's names are read by the settings' map, told in the frame's channel."""
    routes = topics(
        tmp_path,
        '[[mqtt.topics]]\nformat = "sideline+json"\ntopic = "gym/{sensor}"\n'
        'map = {hr = "heart_rate_bpm", "v km/h" = {to = "speed_mps", scale = 0.25}, ts = {to = "t", scale = 0.001}}\n',
    )
    channel = "sideline+json?hr=heart_rate_bpm&v%20km%2Fh=speed_mps*0.25&ts=t*0.001"
    assert found(routes, "gym/bike-1") == ("bike-1", channel)


@pytest.mark.parametrize("scale", [1.0, 1e-5, 1e10, 1e300, -2.5, 1 / 3])
def test_mapping_when_told_in_a_channel_then_it_comes_back(scale: float) -> None:
    """Rule: any name and factor survive the channel, or the factor is refused."""
    targets = {"a b&c=d*e?f+g%h": ("power_w", scale), "ö": ("speed_mps", 1.0)}
    channel = with_mapping("sideline+json", targets)
    if scale == 1e300:
        with pytest.raises(DecodeError):
            targets_of(channel)
    else:
        assert targets_of(channel) == targets


@pytest.mark.parametrize(
    ("items", "place"),
    [
        (["pozix"], r"mqtt\.topics\[0\]: 'pozix' is no format \(.*pozyx"),
        (["pozyx", "club/#"], r"topics\[1\]: 'club/#' is no format"),
        (["club/+/nonsense"], r"topics\[0\]"),
        ([MqttTopic(topic="a/{sensor}", format="pozix")], r"topics\[0\]: unknown format 'pozix'; known: .*pozyx"),
        ([MqttTopic(topic="a/+", format="owntracks")], r"'a/\+' has no \{sensor\}"),
        ([MqttTopic(topic="a/{sensor}/b/{sensor}", format="owntracks")], r"has \{sensor\} twice"),
        ([MqttTopic(topic="a/x{sensor}", format="owntracks")], r"not 'x\{sensor\}'"),
        ([MqttTopic(topic="a/#/{sensor}", format="owntracks")], r"`#` stands last"),
        ([MqttTopic(topic="a/b+", format="pozyx")], r"not 'b\+'"),
        ([MqttTopic(topic="", format="pozyx")], r"is no topic"),
        ([MqttTopic(topic="a/{sensor}", format="dwm1001")], r"several formats, name one: dwm1001\.location, "),
        ([MqttTopic(format="pozyx", map={"a": "x_m"})], r"topics\[0\]\.map: format 'pozyx' has its own names"),
        ([MqttTopic(format="senml", map={"a": "pulse"})], r"topics\[0\]\.map\.a: 'pulse' is no quantity"),
        ([MqttTopic(format="senml", map={"a": "t_ns"})], r"'t_ns' is no quantity"),
        (
            [MqttTopic(topic="a/#", format="pozyx"), MqttTopic(topic="a/{sensor}", format="owntracks")],
            r"topics\[1\]: .* would never be read as 'owntracks': the first match wins, .*mqtt\.topics\[0\]",
        ),
    ],
)  # fmt: skip
def test_topics_when_they_cannot_work_then_the_error_names_the_place(items: list[str | MqttTopic], place: str) -> None:
    """Rule: an unknown format, a pattern that names no device, one that is never reached: said before the start."""
    with pytest.raises(ConfigError, match=place):
        Topics(items)


def test_topics_when_a_narrow_pattern_stands_before_a_wide_one_then_the_first_match_wins() -> None:
    """Rule: order decides; what one filter holds is subscribed to once, for a broker may deliver twice."""
    routes = Topics([MqttTopic(topic="a/{sensor}", format="owntracks"), MqttTopic(topic="a/#", format="pozyx")])
    assert routes.filters == ("a/#",)
    assert found(routes, "a/phone") == ("phone", "owntracks")
    assert found(routes, "a/b/c") == ("pozyx", "pozyx")
    assert len(Topics(["pozyx", "pozyx"]).routes) == 2


@pytest.mark.parametrize(
    ("wide", "narrow", "answer"),
    [
        ("a/+", "a/b", True), ("a/b", "a/+", False), ("#", "a/b/#", True), ("a/#", "a", True), ("a/+", "a/#", False),
        ("a/+", "a/b/c", False), ("a/+/c", "a/+/c", True), ("+/b", "a/#", False), ("a/b/c", "a/b", False),
    ],
)  # fmt: skip
def test_filters_when_compared_then_one_covers_what_the_other_takes(wide: str, narrow: str, *, answer: bool) -> None:
    """Rule: MQTT 3.1.1 §4.7.1: `+` is one level, `#` the parent and all below."""
    assert covers(wide, narrow) is answer


levels = st.lists(st.sampled_from(["a", "b", "+", "{sensor}", ""]), min_size=1, max_size=4)


@given(wide=levels, narrow=levels, ends=st.tuples(st.booleans(), st.booleans()), topic=st.lists(st.sampled_from("abc")))
def test_filters_when_one_covers_another_then_it_matches_whatever_the_other_does(
    wide: list[str], narrow: list[str], ends: tuple[bool, bool], topic: list[str]
) -> None:
    """Rule: leaving a covered filter out loses no message."""
    one, other = ("/".join([*part, *["#"] * end]) for part, end in zip((wide, narrow), ends, strict=True))
    assume(one.count("{sensor}") < 2 and other.count("{sensor}") < 2 and one and other)
    name = "/".join(topic)
    taken = [Topics([MqttTopic(topic=pattern, format="pozyx")]).find(name)[1] is not None for pattern in (one, other)]
    if covers(one.replace("{sensor}", "+"), other.replace("{sensor}", "+")):
        assert taken[0] >= taken[1]


def test_check_settings_when_topics_and_corners_are_given_then_it_shows_what_they_resolve_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: the command shows the topics that would be read, and how well the corners fit."""
    corners = "[[51.5, -0.1], [51.5, -0.0984869], [51.5006112, -0.0984869], [51.5006112, -0.1]]"
    more = f'[mqtt]\ntopics = ["pozyx", "dwm1001.location"]\n[session]\npitch_corners = {corners}\n'
    words = ["sideline-gateway", "check-settings", "--settings", str(write_gateway_files(tmp_path, more))]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    shown = json.loads(capsys.readouterr().out)["resolved"]
    assert [(one["topic"], one["format"]) for one in shown["topics"]] == [
        ("tags", "pozyx"), ("tags/+", "pozyx"), ("dwm/node/{sensor}/uplink/location", "dwm1001.location"),
    ]  # fmt: skip
    assert len(shown["pitch_residual_m"]) == 4
    assert max(shown["pitch_residual_m"]) < 0.1


def test_page_when_read_then_it_names_every_format_topic_and_stream_number() -> None:
    """Rule: docs/mqtt.md is in step with the registry and with the binary's numbers; its example settings load."""
    page = (ROOT / "docs" / "mqtt.md").read_text(encoding="utf-8")
    for sensor in SENSORS:
        for pattern, channel in sensor.topics:
            assert channel.startswith("sparkplug.") or (f"`{channel}`" in page and f"`{pattern}`" in page), channel
    table = re.findall(r"^\| (\d+) \| ([a-t]\w+) \|", page, re.MULTILINE)
    assert {int(number): name for number, name in table} == _STREAMS
    settings = load(ROOT / "deployment" / "settings" / "mqtt-formats.toml")
    assert settings.mqtt is not None
    assert {route.channel.partition("?")[0] for route in Topics(settings.mqtt.topics).routes} == {
        channel for _, channel in TOPICS
    }
