"""Which adapter takes a sensor, who is near, and what advertisements tell."""

import itertools

from edge.sensors.registry import BY_CHANNEL
from edge.sources.ble_advertised import Advertised, company_channels
from edge.sources.ble_choice import SWITCH_DB, Choice, Offer
from edge.sources.ble_near import Nearby
from shared.clock import NS_PER_MS, NS_PER_S
from shared.ids import SensorId

STRAP, OTHER = SensorId("C0:00:00:00:00:01"), SensorId("C0:00:00:00:00:02")
STEP_NS = 100 * NS_PER_MS


def offer(free: int = 5, failures: int = 0, *, ready: bool = True) -> Offer:
    return Offer(free=free, ready=ready, failures=failures)


def hear(choice: Choice, seconds: float, now_ns: int, **levels_dbm: int) -> int:
    """Let adapters hear the strap ten times a second; return the time after."""
    for _ in range(round(seconds * NS_PER_S / STEP_NS)):
        now_ns += STEP_NS
        for adapter, level_dbm in levels_dbm.items():
            choice.hear(STRAP, adapter, level_dbm, now_ns)
    return now_ns


def test_choice_when_a_sensor_is_new_then_the_stronger_adapter_owns_it_whoever_heard_first() -> None:
    """Rule: in its first second the order of arrival decides nothing."""
    choice = Choice()
    choice.hear(STRAP, "far", -80, 0)
    assert choice.owner(STRAP, 0) == "far"
    assert not choice.is_settled(STRAP, ["far", "near"], 0)
    choice.hear(STRAP, "near", -70, STEP_NS)
    assert choice.owner(STRAP, STEP_NS) == "near"
    assert choice.is_settled(STRAP, ["far", "near"], STEP_NS)


def test_choice_when_another_is_a_little_better_then_the_owner_stays() -> None:
    """Rule: the owner changes at 16 dB and not before, however long the other is better."""
    choice = Choice()
    now_ns = hear(choice, 3, 0, a=-60, b=-70)
    now_ns = hear(choice, 60, now_ns, a=-70, b=-55)
    assert choice.owner(STRAP, now_ns) == "a"
    now_ns = hear(choice, 60, now_ns, a=-70, b=round(-70 + SWITCH_DB) + 1)
    assert choice.owner(STRAP, now_ns) == "b"
    now_ns = hear(choice, 60, now_ns, a=-60, b=-70)
    assert choice.owner(STRAP, now_ns) == "b"


def test_choice_when_one_advertisement_is_weak_then_nothing_changes() -> None:
    """Rule: a body that turns between strap and adapter for a moment moves nothing: strength is smoothed."""
    choice = Choice()
    now_ns = hear(choice, 5, 0, a=-60, b=-70)
    choice.hear(STRAP, "a", -95, now_ns + STEP_NS)
    choice.hear(STRAP, "b", -70, now_ns + STEP_NS)
    assert choice.owner(STRAP, now_ns + STEP_NS) == "a"


def test_choice_when_the_owner_goes_or_hears_nothing_then_another_owns_it_at_once() -> None:
    """Rule: hysteresis protects an adapter that hears, not one that is gone."""
    choice = Choice()
    now_ns = hear(choice, 3, 0, a=-50, b=-85)
    choice.forget("a")
    now_ns = hear(choice, 0.1, now_ns, b=-85)
    assert choice.owner(STRAP, now_ns) == "b"
    now_ns = hear(choice, 3, now_ns, a=-50, b=-60)
    now_ns = hear(choice, 11, now_ns, a=-50)
    assert choice.owner(STRAP, now_ns) == "a"
    assert choice.owned("a", now_ns) == 1
    assert choice.owned("b", now_ns) == 0


def test_choice_when_it_picks_then_slots_back_off_and_failures_count() -> None:
    """Rule: no slot and no patience, no connection; failures make another adapter the better one."""
    choice = Choice()
    now_ns = hear(choice, 3, 0, a=-60, b=-65)
    pick = lambda **offers: choice.pick(STRAP, offers, now_ns)  # noqa: E731
    assert pick(a=offer(), b=offer()) == "a"
    assert pick(a=offer(free=0), b=offer()) == "b"
    assert pick(a=offer(ready=False), b=offer()) == "b"
    assert pick(a=offer(failures=1), b=offer()) == "a"
    assert pick(a=offer(failures=3), b=offer()) == "b"
    assert pick(a=offer(failures=3), b=offer(failures=3)) == "a"
    assert pick(a=offer(free=0), b=offer(free=0)) is None
    assert pick(c=offer()) is None
    assert choice.pick(OTHER, {"a": offer()}, now_ns) is None
    assert choice.pick(STRAP, {"a": offer()}, now_ns + 11 * NS_PER_S) is None


def test_nearby_when_a_sensor_is_held_close_then_it_stands_there_after_two_seconds() -> None:
    """Rule: -45 dBm or more for 2 s; strongest first; gone when it is taken away or falls silent."""
    nearby, now_ns = Nearby(), 0
    for step in itertools.count(1):
        now_ns = step * STEP_NS
        nearby.hear(STRAP, "a", "H10", -30, now_ns)
        nearby.hear(STRAP, "b", None, -60, now_ns)
        nearby.hear(OTHER, "a", None, -44, now_ns)
        if nearby.near(now_ns):
            break
    assert now_ns == STEP_NS + 2 * NS_PER_S
    assert [(n.sensor, n.name, n.rssi_dbm) for n in nearby.near(now_ns)] == [(STRAP, "H10", -30), (OTHER, None, -44)]
    for _ in range(30):
        now_ns += STEP_NS
        nearby.hear(STRAP, "a", None, -70, now_ns)
    assert [n.sensor for n in nearby.near(now_ns)] == [OTHER]
    assert nearby.near(now_ns + 5 * NS_PER_S) == []


def test_nearby_when_a_sensor_passes_by_then_it_is_not_near() -> None:
    """Rule: one strong advertisement is a reflection or somebody walking past."""
    nearby = Nearby()
    nearby.hear(STRAP, "a", None, -30, 0)
    for step in range(1, 100):
        nearby.hear(STRAP, "a", None, -75, step * STEP_NS)
        assert nearby.near(step * STEP_NS) == []


def test_nearby_when_a_crowd_passes_then_it_stays_small() -> None:
    """Rule: a crowd of phones cannot fill the memory."""
    nearby = Nearby()
    for i in range(1000):
        nearby.hear(SensorId(f"s{i}"), "a", None, -30, i)
    assert len(nearby._tracks) == 256


def test_advertised_when_heart_rate_stands_in_it_then_only_news_are_passed_on() -> None:
    """Rule: an advertisement is repeated ten times a second; each reading is passed on once, other companies never."""
    advertised = Advertised(company_channels(BY_CHANNEL))
    assert list(advertised.read({0x004C: b"\x02\x15\x00\x00"}, 0)) == []
    assert list(advertised.read({0x006B: b""}, 0)) == []
    assert not advertised.tells
    passed = [
        body
        for n in range(40)
        for _, body in advertised.read({0x006B: bytes([0x22 | (n // 10 % 8) << 2, 0x2F, 70, 70])}, n * STEP_NS)
    ]
    assert [body[0] >> 2 & 7 for body in passed] == [0, 1, 2, 3]
    assert advertised.tells
    assert advertised.is_read(4 * NS_PER_S, 5 * NS_PER_S)
    assert not advertised.is_read(30 * NS_PER_S, 5 * NS_PER_S)
