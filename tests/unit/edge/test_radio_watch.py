"""Silence, loss and gaps of one sensor."""

from edge.pipeline.losses import Losses
from edge.sources.ble_watch import OUT_OF_RANGE, SILENT, Flow
from shared.clock import NS_PER_S, ManualClock, stamp
from shared.ids import SensorId
from shared.readings import Gap

STRAP = SensorId("C0:00:00:00:00:01")
LIMIT_NS = 10 * NS_PER_S


def beat(flow: Flow, clock: ManualClock, seconds: int, *, channel: str = "2a37", per_s: int = 1) -> list[Gap]:
    """Let frames come for some seconds; return the gaps they ended."""
    gaps = []
    for _ in range(seconds * per_s):
        clock.advance(1.0 / per_s)
        gaps.append(flow.come(channel, stamp(clock)))
    return [gap for gap in gaps if gap is not None]


def test_flow_when_nothing_is_lost_then_it_says_zero_and_not_before_ten_frames(clock: ManualClock) -> None:
    """Rule: a share of a handful of frames means nothing; one frame may stand at either edge."""
    flow = Flow(STRAP, LIMIT_NS)
    assert flow.loss_percent(clock.mono_ns()) is None
    beat(flow, clock, 9)
    assert flow.loss_percent(clock.mono_ns()) is None
    beat(flow, clock, 200)
    assert flow.loss_percent(clock.mono_ns()) == 0.0


def test_flow_when_every_fourth_frame_is_lost_then_it_says_a_quarter(clock: ManualClock) -> None:
    """Rule: loss is what did not come of one frame a second over the last minute."""
    flow = Flow(STRAP, LIMIT_NS)
    for second in range(120):
        clock.advance(1.0)
        if second % 4:
            flow.come("2a37", stamp(clock))
    assert flow.loss_percent(clock.mono_ns()) == 25.0
    clock.advance(60.0)
    assert flow.loss_percent(clock.mono_ns()) in (98.3, 100.0)
    beat(flow, clock, 60)
    assert flow.loss_percent(clock.mono_ns()) == 0.0


def test_flow_when_the_rate_is_not_nominal_then_loss_is_unknown(clock: ManualClock) -> None:
    """Rule: nobody knows how often a wheel sends."""
    flow = Flow(STRAP, LIMIT_NS)
    beat(flow, clock, 60, channel="2a5b")
    assert flow.loss_percent(clock.mono_ns()) is None


def test_flow_when_a_strap_drops_and_returns_then_the_gap_counts_what_is_missing(clock: ManualClock) -> None:
    """Rule: last reading at 0 s, next at 8 s: seven are missing, out of range; a seamless return leaves none."""
    flow = Flow(STRAP, LIMIT_NS)
    beat(flow, clock, 5)
    last_ns = clock.utc_ns()
    clock.advance(2.0)
    flow.lose(OUT_OF_RANGE)
    clock.advance(5.0)
    (gap,) = beat(flow, clock, 1)
    assert gap == Gap(
        sensor=STRAP, stream="heart_rate", from_ns=last_ns, to_ns=clock.utc_ns(), count=7, reason=OUT_OF_RANGE
    )
    flow.lose(OUT_OF_RANGE)
    assert beat(flow, clock, 10) == []


def test_flow_when_the_wall_clock_jumps_then_the_gap_is_as_long_as_it_was(clock: ManualClock) -> None:
    """Rule: durations are monotonic; a clock set by NTP does not lengthen a gap."""
    flow = Flow(STRAP, LIMIT_NS)
    beat(flow, clock, 5)
    flow.lose(OUT_OF_RANGE)
    clock.set_utc(clock.utc_ns() + 10**6 * NS_PER_S)
    clock.advance(9.0)
    (gap,) = beat(flow, clock, 1)
    assert (gap.to_ns - gap.from_ns, gap.count) == (10 * NS_PER_S, 9)


def test_flow_when_the_session_ends_while_it_is_away_then_the_gap_reaches_to_the_end(clock: ManualClock) -> None:
    """Rule: what never came back is missing too; a strap that is there to the end misses nothing."""
    flow = Flow(STRAP, LIMIT_NS)
    beat(flow, clock, 5)
    assert flow.end(stamp(clock)) is None
    beat(flow, clock, 5)
    flow.lose(OUT_OF_RANGE)
    clock.advance(30.0)
    gap = flow.end(stamp(clock))
    assert gap is not None
    assert (gap.count, gap.reason) == (30, OUT_OF_RANGE)
    assert flow.end(stamp(clock)) is None


def test_flow_when_another_kind_of_sensor_drops_then_its_own_rate_is_counted(clock: ManualClock) -> None:
    """Rule: where no rate is nominal, frames of the minute before are the measure."""
    flow = Flow(STRAP, LIMIT_NS)
    beat(flow, clock, 20, channel="2a63", per_s=4)
    flow.lose(OUT_OF_RANGE)
    clock.advance(9.75)
    (gap,) = beat(flow, clock, 1, channel="2a63", per_s=4)[:1]
    assert (gap.stream, gap.reason) == ("all", OUT_OF_RANGE)
    assert 37 <= gap.count <= 40


def test_flow_when_a_connected_strap_is_silent_then_it_is_flagged_and_dropped(clock: ManualClock) -> None:
    """Rule: flagged at half of the limit until the next reading, to be dropped at the whole."""
    flow = Flow(STRAP, LIMIT_NS)
    flow.watch(clock.mono_ns())
    clock.advance(4.9)
    assert not flow.is_silent(clock.mono_ns())
    clock.advance(0.1)
    assert flow.is_silent(clock.mono_ns())
    assert not flow.is_stalled(clock.mono_ns())
    clock.advance(5.0)
    assert flow.is_stalled(clock.mono_ns())
    flow.lose(SILENT)
    assert flow.is_silent(clock.mono_ns())
    assert not flow.is_stalled(clock.mono_ns())
    flow.watch(clock.mono_ns())
    beat(flow, clock, 1)
    assert not flow.is_silent(clock.mono_ns())


def test_flow_when_no_limit_is_set_then_silence_is_no_fault(clock: ManualClock) -> None:
    """Rule: 0 turns the watchdog off."""
    flow = Flow(STRAP, 0)
    flow.watch(clock.mono_ns())
    clock.advance(3600.0)
    assert not flow.is_silent(clock.mono_ns())
    assert not flow.is_stalled(clock.mono_ns())


def test_losses_when_numbers_are_missing_then_their_share_is_said() -> None:
    """Rule: expected is what the device counted; what comes late makes up for its gap; a new power-on begins anew."""
    losses = Losses()
    assert losses.percent(STRAP, 0) is None
    for n in range(100):
        if n % 10:
            losses.add(STRAP, "imu", "boot-1", n * 10, 10, n * NS_PER_S // 10)
    assert losses.percent(STRAP, 10 * NS_PER_S) == 9.1  # the first block was lost before anything was known
    losses.add(STRAP, "imu", "boot-1", 500, 10, 10 * NS_PER_S)
    assert losses.percent(STRAP, 10 * NS_PER_S) == 8.1
    losses.add(STRAP, "imu", "boot-2", 7, 10, 10 * NS_PER_S)
    assert losses.percent(STRAP, 10 * NS_PER_S) == 0.0
    assert losses.percent(STRAP, 90 * NS_PER_S) is None


def test_losses_when_only_some_messages_hold_a_second_stream_then_nothing_is_lost() -> None:
    """Rule: a tag numbers its messages and tells its battery in one of 600; that is no loss of the others."""
    losses = Losses()
    for n in range(1200):
        losses.add(STRAP, "position", "boot-1", n, 1, n * NS_PER_S // 10)
        if n % 600 == 0:
            losses.add(STRAP, "battery", "boot-1", n, 1, n * NS_PER_S // 10)
    assert losses.percent(STRAP, 120 * NS_PER_S) == 0.0


def test_losses_when_a_sensor_falls_silent_then_what_is_older_than_a_minute_counts_no_more() -> None:
    """Rule: the share is the last minute's at the moment of asking, and what comes afterwards begins anew."""
    losses = Losses()
    for second in range(60):
        losses.add(STRAP, "position", "boot", 20 * second, 10, second * NS_PER_S)
    assert losses.percent(STRAP, 59 * NS_PER_S) == 49.6  # of the last number's gap nobody knows yet
    assert losses.percent(STRAP, 108 * NS_PER_S) == 50.0
    assert losses.percent(STRAP, 200 * NS_PER_S) is None
    losses.add(STRAP, "position", "boot", 1190, 20, 200 * NS_PER_S)
    assert losses.percent(STRAP, 200 * NS_PER_S) == 0.0
