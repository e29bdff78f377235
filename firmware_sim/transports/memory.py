"""A network that keeps every frame in a list, for tests and exports."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One frame as it would have gone over the network."""

    topic: str
    body: bytes
    ticket: int


class MemoryPublisher:
    """Acknowledges everything at once."""

    def __init__(self, on_acked: Callable[[int], None]) -> None:
        self._on_acked = on_acked
        self.frames: list[Published] = []

    def publish(self, topic: str, body: bytes, ticket: int) -> None:
        """Keep the frame and acknowledge it."""
        self.frames.append(Published(topic=topic, body=body, ticket=ticket))
        self._on_acked(ticket)

    @property
    def unacked(self) -> int:
        """Nothing is ever outstanding."""
        return 0
