"""The model slot's state machine: whatever happens, nothing that was refused runs."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.release import slots
from edge.release.slots import Slot

VERSIONS = ["1", "2", "3"]
IDLE = st.one_of(st.sampled_from(VERSIONS).map(lambda v: f"offer {v}"), st.sampled_from(["misbehave", "restart"]))
TRYING = st.sampled_from(["check", "shadow", "pass", "pass", "refuse", "misbehave", "restart"])


class Gateway:
    """Drives a slot as the installer does: one version is tried at a time, the active one may fail meanwhile."""

    def __init__(self) -> None:
        self.slot = Slot(name="effort")
        self.trying: str | None = None
        self.now_ns = 0

    def step(self, what: str) -> None:
        """Apply an event if it can happen now."""
        event, _, version = what.partition(" ")
        self.now_ns += 1
        if event == "offer" and self.trying is None and self.slot.wants(version):
            self.trying, self.slot = version, slots.offered(self.slot, version)
        elif event == "misbehave" and self.slot.active is not None:
            self.slot = slots.misbehaved(self.slot, "not finite", self.now_ns)
        elif event == "restart":
            self.trying, self.slot = None, slots.resumed(self.slot)
        elif self.trying is not None:
            self._try(event, self.trying)

    def _try(self, event: str, version: str) -> None:
        if event == "check":
            self.slot = slots.checked(self.slot, version)
        elif event == "shadow":
            self.slot = slots.shadowing(self.slot, version)
        elif event == "pass":
            self.trying, self.slot = None, slots.activated(self.slot, version, self.now_ns)
        elif event == "refuse":
            self.trying, self.slot = None, slots.refused(self.slot, version, "too slow")


@settings(max_examples=300)
@given(st.data())
def test_slot_when_anything_happens_then_nothing_refused_is_active_or_gone_back_to(data: st.DataObject) -> None:
    """Rule: a version that was refused or reverted never runs again, whatever the order of events."""
    gateway = Gateway()
    for _ in range(data.draw(st.integers(1, 25))):
        gateway.step(data.draw(TRYING if gateway.trying else IDLE))
        slot = gateway.slot
        refused = {refusal.version for refusal in slot.refusals}
        assert slot.active not in refused
        assert slot.previous not in refused
        assert slot.active is None or slot.active != slot.previous
        assert (slot.active is None) == (slot.active_since_ns is None)
        assert not any(slot.wants(version) for version in refused)


def test_slot_when_the_version_before_is_refused_then_it_is_not_gone_back_to() -> None:
    """Rule: a rollback target that failed its check here is no longer one."""
    slot = slots.activated(slots.activated(Slot(name="effort"), "1", 1), "2", 2)
    slot = slots.refused(slots.offered(slot, "1"), "1", "golden vectors differ")
    slot = slots.misbehaved(slot, "not finite", 3)
    assert (slot.active, slot.state) == (None, "reverted")


def test_slot_when_the_active_one_fails_while_another_is_tried_then_its_refusal_stays() -> None:
    """Rule: trying a new version does not forget what was learnt meanwhile."""
    slot = slots.activated(slots.activated(Slot(name="effort"), "1", 1), "2", 2)
    slot = slots.shadowing(slots.offered(slot, "3"), "3")
    slot = slots.activated(slots.misbehaved(slot, "not finite", 3), "3", 4)
    assert (slot.active, slot.previous) == ("3", "1")
    assert not slot.wants("2")


def test_slot_when_the_gateway_restarts_then_what_was_on_its_way_is_fetched_anew() -> None:
    """Rule: no half-tried candidate survives a restart; what was active does."""
    for trying in (slots.offered, slots.checked, slots.shadowing):
        fresh = slots.resumed(trying(Slot(name="effort"), "1"))
        assert (fresh.state, fresh.active, fresh.wants("1")) == ("empty", None, True)
        running = slots.resumed(trying(slots.activated(Slot(name="effort"), "1", 5), "2"))
        assert (running.state, running.active, running.wants("2")) == ("active", "1", True)
    refused = slots.refused(Slot(name="effort"), "1", "no")
    assert slots.resumed(refused) == refused
