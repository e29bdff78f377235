"""One model slot as a state machine: pure, from state and event to state.

    empty/active --offered--> staged --checked--> shadow --passed--> active (the old one becomes previous)
    staged, shadow --failed--> refused (what ran goes on)
    active --misbehaved--> reverted (previous runs again), or refused with nothing to go back to

A version that was refused, or reverted, is not tried again; a new version is.
"""

from typing import Literal

import msgspec

State = Literal["empty", "staged", "checked", "shadow", "active", "reverted", "refused"]
_KEPT_REFUSALS = 20


class Refusal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version that may not run here, and why."""

    version: str
    reason: str


class Slot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model's slot; `state` is that of the newest candidate, or of the active version when there is none."""

    name: str
    state: State = "empty"
    active: str | None = None
    active_since_ns: int | None = None
    previous: str | None = None
    candidate: str | None = None
    reason: str | None = None
    refusals: tuple[Refusal, ...] = ()

    def wants(self, version: str) -> bool:
        """Return whether a version that the channel names is worth fetching."""
        return version not in (self.active, self.candidate) and all(r.version != version for r in self.refusals)


def offered(slot: Slot, version: str) -> Slot:
    """A version was fetched and its signature verified; while it is tried it is none to go back to."""
    previous = None if slot.previous == version else slot.previous
    return msgspec.structs.replace(slot, state="staged", previous=previous, candidate=version, reason=None)


def checked(slot: Slot, version: str) -> Slot:
    """The version passed golden vectors and latency."""
    return msgspec.structs.replace(slot, state="checked", candidate=version)


def shadowing(slot: Slot, version: str) -> Slot:
    """The version runs beside the active one."""
    return msgspec.structs.replace(slot, state="shadow", candidate=version)


def refused(slot: Slot, version: str, reason: str) -> Slot:
    """A version may not run here; what runs goes on."""
    refusals = (*slot.refusals, Refusal(version=version, reason=reason))[-_KEPT_REFUSALS:]
    return msgspec.structs.replace(slot, state="refused", candidate=version, reason=reason, refusals=refusals)


def activated(slot: Slot, version: str, now_ns: int) -> Slot:
    """The version answers from now on; what ran before is kept to go back to."""
    return msgspec.structs.replace(
        slot,
        state="active",
        active=version,
        active_since_ns=now_ns,
        previous=slot.active,
        candidate=None,
        reason=None,
    )


def misbehaved(slot: Slot, reason: str, now_ns: int) -> Slot:
    """The active version failed on live data: go back to the previous one, or to none."""
    if slot.active is None:
        return slot
    refusals = (*slot.refusals, Refusal(version=slot.active, reason=reason))[-_KEPT_REFUSALS:]
    return msgspec.structs.replace(
        slot,
        state="reverted",
        active=slot.previous,
        active_since_ns=now_ns if slot.previous else None,
        previous=None,
        candidate=slot.active,
        reason=reason,
        refusals=refusals,
    )


def resumed(slot: Slot) -> Slot:
    """The gateway starts again: a candidate that was on its way is fetched anew."""
    if slot.state in ("staged", "checked", "shadow"):
        return msgspec.structs.replace(slot, state="active" if slot.active else "empty", candidate=None)
    return slot
