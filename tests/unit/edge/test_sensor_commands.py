"""What is written to devices that must be asked, and what their clocks and counters make of odd frames."""

import pytest

from edge.sensors import movesense, polar
from edge.sensors.commands import conversations
from edge.sensors.registry import BY_CHANNEL
from edge.sensors.revolutions import Revolutions
from shared.errors import ConfigError


def test_polar_when_streams_are_wanted_then_settings_are_asked_for_and_each_is_started() -> None:
    """Rule: [get settings 1], [start 2] with rate, resolution and range, [stop 3]; as the PMD document has them."""
    assert [command.body.hex() for command in polar.start_commands(["ecg", "acc", "ppi"])] == [
        "0100",
        "02000001820001010e00",
        "0102",
        "0202000164000101100002010800",
        "0103",
        "0203",
    ]
    assert polar.start_commands(["acc:52"])[1].body.hex() == "0202000134000101100002010800040103"
    assert [command.body.hex() for command in polar.stop_commands(["ecg", "acc:200"])] == ["0300", "0302"]
    assert {command.characteristic for command in polar.start_commands(["ppi"])} == {polar.CONTROL}


def test_movesense_when_paths_are_wanted_then_each_has_a_reference_of_its_own() -> None:
    """Rule: the reference alone says what comes back, so no two resources share one."""
    paths = [resource.path for resource in movesense.RESOURCES.values()]
    assert len(set(paths)) == len(paths)
    assert all(0 < reference < 256 for reference in movesense.RESOURCES)
    starts, stops = movesense.start_commands(paths), movesense.stop_commands(paths)
    assert [start.body[1] for start in starts] == [stop.body[1] for stop in stops] == list(movesense.RESOURCES)
    assert starts[0].body == b"\x01\x64/Meas/ECG/200"


def test_conversations_when_nothing_is_wanted_then_there_are_none() -> None:
    """Rule: a device is asked for what the settings name, and by its service."""
    assert conversations([], []) == ()
    (only,) = conversations([], ["/Meas/HR"])
    assert (only.services, len(only.start), len(only.stop)) == ((movesense.SERVICE,), 1, 1)
    both = conversations(["ppi"], ["/Meas/HR"])
    assert [conversation.services[0] for conversation in both] == [polar.SERVICE, movesense.SERVICE]
    assert all(len(service) == 36 and service == service.lower() for c in both for service in c.services)


@pytest.mark.parametrize("stream", ["eeg", "ecg:130", "acc:75", "acc:", "ppi:1", ""])
def test_polar_when_a_stream_is_none_then_it_is_a_clear_error(stream: str) -> None:
    """Rule: a setting that no device knows is refused with what there is."""
    with pytest.raises(ConfigError, match="polar_streams"):
        polar.start_commands([stream])


@pytest.mark.parametrize("path", ["/Meas/ECG/300", "Meas/HR", "/Meas/Temp", ""])
def test_movesense_when_a_path_is_none_then_it_is_a_clear_error(path: str) -> None:
    """Rule: a setting that is not read is refused with an example."""
    with pytest.raises(ConfigError, match="movesense_paths"):
        movesense.stop_commands([path])


def crank() -> Revolutions:
    """Return a crank's counter."""
    return Revolutions(width=2**16, ticks_per_s=1024, most_per_minute=400)


def test_revolutions_when_frames_come_four_times_a_second_then_a_slow_stroke_is_not_a_stop() -> None:
    """Rule: 50 a minute is a stroke every 1.2 s, five frames at 4 Hz; standing still is 2.5 s of frames."""
    counter = crank()
    rates = []
    for frame in range(120):
        strokes = int(frame * 0.25 / 1.2)
        rates.append(counter.take(strokes, round(strokes * 1.2 * 1024) % 65536))
    learnt = rates[60:]
    assert min(learnt) == pytest.approx(50, rel=0.01)
    stopped = [counter.take(strokes, round(strokes * 1.2 * 1024) % 65536) for _ in range(16)]
    assert stopped[-1] == 0.0
    assert stopped[4] == pytest.approx(50, rel=0.01)


def test_revolutions_when_they_begin_again_then_the_pause_is_no_rate() -> None:
    """Rule: after standing still the ticks may have rolled over; the first stroke starts anew, the second counts."""
    counter = crank()
    counter.take(0, 0)
    assert counter.take(2, 2048) == pytest.approx(60)
    for _ in range(6):
        last = counter.take(2, 2048)
    assert last == 0.0
    first = counter.take(3, 1000)
    assert first != first  # noqa: PLR0124 - not a number
    assert counter.take(4, 1000 + 768) == pytest.approx(80)


def test_revolutions_when_a_stroke_has_no_time_of_its_own_then_the_rate_is_held() -> None:
    """Rule: nothing is divided by nought, and no rate is beyond what legs can do."""
    counter = crank()
    counter.take(0, 0)
    assert counter.take(2, 2048) == pytest.approx(60)
    assert counter.take(3, 2048) == pytest.approx(60)
    leap = counter.take(60_000, 4096)
    assert leap != leap  # noqa: PLR0124 - not a number


def test_polar_when_a_stream_is_started_anew_then_its_period_is_learnt_anew() -> None:
    """Rule: the rate may be another; the first frame after the answer has the nominal period."""
    sensor = BY_CHANNEL[polar.DATA]
    memory = sensor.start()

    def frame(time_ms: int) -> bytes:
        return bytes([2]) + (time_ms * 10**6).to_bytes(8, "little") + b"\x01" + bytes(12)

    periods = [sensor.decode(polar.DATA, frame(t), memory)[0].period_ns for t in (0, 10, 20)]  # type: ignore[union-attr]
    assert periods == [10_000_000, 5_000_000, 5_000_000]
    sensor.decode(polar.CONTROL, bytes.fromhex("f002020000"), memory)
    after = [sensor.decode(polar.DATA, frame(t), memory)[0].period_ns for t in (100, 180)]  # type: ignore[union-attr]
    assert after == [10_000_000, 40_000_000]
