"""A source of frames that remembers what was acknowledged."""

import asyncio
from collections.abc import Sequence

from edge.sources.base import Delivery, LinkStatus
from shared.readings import Frame


class ListSource:
    """Implements edge.sources.base.Source with frames given by the test."""

    name = "list"

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[list[Delivery]] = asyncio.Queue(maxsize=1000)
        self.acknowledged: list[object] = []

    @property
    def status(self) -> LinkStatus:
        """Always up."""
        return LinkStatus(link="list", up=True, since_ns=0)

    def give(self, frames: Sequence[Frame]) -> None:
        """Let frames arrive; their place in the list is their ticket."""
        self._waiting.put_nowait([Delivery(frame=frame, ticket=i) for i, frame in enumerate(frames)])

    async def run(self) -> None:
        """Wait to be cancelled."""
        await asyncio.Event().wait()

    async def receive(self) -> list[Delivery]:
        """Wait for frames."""
        return await self._waiting.get()

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Remember the tickets."""
        self.acknowledged += [delivery.ticket for delivery in deliveries]
