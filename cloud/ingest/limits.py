"""What bounds the ingest: batches in flight and the size of a body."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from shared.errors import BatchRefused, ServerBusy


class InFlight:
    """Counts batches between their first byte and their receipt; used on the event loop only."""

    def __init__(self, *, total: int, per_gateway: int, retry_after_s: float) -> None:
        self._total = total
        self._retry_after_s = retry_after_s
        self._per_gateway = per_gateway
        self._gateways: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """Batches in flight now."""
        return self._gateways.total()

    @contextmanager
    def one(self, gateway: str) -> Iterator[None]:
        """Count one batch for the block.

        Raises: ServerBusy when a bound is reached: 429 when the gateway itself is the reason, else 503.
        """
        if self._gateways[gateway] >= self._per_gateway:
            raise ServerBusy(429, self._retry_after_s)
        if self.count >= self._total:
            raise ServerBusy(503, self._retry_after_s)
        self._gateways[gateway] += 1
        try:
            yield
        finally:
            self._gateways[gateway] -= 1
            if not self._gateways[gateway]:
                del self._gateways[gateway]


async def read_body(
    chunks: AsyncIterator[bytes], *, announced: str | None, limit_bytes: int, silence_s: float, total_s: float
) -> bytes:
    """Return the body, reading no further than `limit_bytes`; `announced` is the Content-Length header.

    A slow link is let finish: only `silence_s` without a byte, or `total_s` in all, end the wait.
    Raises: BatchRefused with status 413; TimeoutError.
    """
    if announced is not None and announced.isdigit() and int(announced) > limit_bytes:
        raise BatchRefused(413, f"a batch is at most {limit_bytes} bytes")
    body = bytearray()
    async with asyncio.timeout(total_s):
        while True:
            async with asyncio.timeout(silence_s):
                chunk = await anext(chunks, None)
            if chunk is None:
                return bytes(body)
            body += chunk
            if len(body) > limit_bytes:
                raise BatchRefused(413, f"a batch is at most {limit_bytes} bytes")
