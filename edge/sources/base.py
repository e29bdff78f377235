"""What a source of frames is: a radio, a broker or a recording."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from edge.links import LinkStatus
from shared.readings import Frame


# A struct, because one is made for every message.
class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A frame, and what its source needs to acknowledge it (None where nothing is acknowledged)."""

    frame: Frame
    ticket: object = None


class Source(Protocol):
    """Frames come from `receive`, in order of arrival; `acknowledge` is called after they are stored for good."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def status(self) -> LinkStatus: ...  # noqa: D102

    async def run(self) -> None:
        """Stay connected until cancelled; a lost link is tried again with back-off."""

    async def receive(self) -> list[Delivery]:
        """Wait for frames and return all that have come."""

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Tell the other end that these frames are stored."""
