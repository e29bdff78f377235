"""Bounded queues with a declared policy: BLOCK slows the producer, DROP_OLDEST drops and counts."""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Generic, TypeVar

from edge.counters import QueueState

T = TypeVar("T")


class Policy(Enum):
    """What `put` does when the lane is full."""

    BLOCK = "block"
    DROP_OLDEST = "drop_oldest"


class Lane(Generic[T]):
    """A queue inside one event loop. `dropped` counts what DROP_OLDEST gave up; `on_drop` hears of each item."""

    def __init__(self, name: str, *, capacity: int, policy: Policy, on_drop: Callable[[T], None] | None = None) -> None:
        self.name = name
        self.capacity = capacity
        self.dropped = 0
        self._policy = policy
        self._on_drop = on_drop
        self._items: deque[T] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def state(self) -> QueueState:
        """How full the lane is, for `/metrics`."""
        return QueueState(queue=self.name, waiting=len(self._items), capacity=self.capacity, dropped=self.dropped)

    async def put(self, item: T) -> None:
        """Add an item; a full BLOCK lane waits until there is room."""
        while self._policy is Policy.BLOCK and len(self._items) >= self.capacity:
            self._emptied.clear()
            await self._emptied.wait()
        self.offer(item)

    def offer(self, item: T) -> None:
        """Add an item at once; a full lane drops its oldest, whatever its policy, and counts it."""
        if len(self._items) >= self.capacity:
            oldest = self._items.popleft()
            self.dropped += 1
            if self._on_drop is not None:
                self._on_drop(oldest)
        self._items.append(item)
        self._filled.set()

    async def filled(self) -> None:
        """Wait until there is at least one item."""
        await self._filled.wait()

    def take_now(self) -> list[T]:
        """Return all items that are there, oldest first, without waiting."""
        items = list(self._items)
        self._items.clear()
        self._filled.clear()
        self._emptied.set()
        return items

    async def take_all(self) -> list[T]:
        """Wait until there is at least one item and return all of them, oldest first."""
        await self._filled.wait()
        return self.take_now()
