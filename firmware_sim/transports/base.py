"""What a tag's network looks like to the simulator."""

from typing import Protocol


class Publisher(Protocol):
    """Publishes at QoS 1. `ticket` comes back through the ack callback given at construction."""

    def publish(self, topic: str, body: bytes, ticket: int) -> None:
        """Send one message without waiting for its acknowledgement."""

    @property
    def unacked(self) -> int:
        """Messages sent or waiting whose PUBACK has not come."""
