"""Uploads, counted by how they ended."""

from edge.counters import Answer, UploadCounts
from edge.store.outbox import Pending
from edge.sync.client import CloudClient
from shared.batch import Receipt
from shared.clock import NS_PER_S, Clock
from shared.errors import BatchRefused, BatchTooLarge, ServerBusy


async def put_counted(client: CloudClient, batch: Pending, counts: UploadCounts, clock: Clock) -> Receipt:
    """Send a batch, and count its bytes, its answer and how long that took.

    Raises: as `CloudClient.put`.
    """
    begun_ns = clock.mono_ns()
    answer: Answer = "no answer"
    try:
        receipt = await client.put(batch)
        answer = receipt.status
    except BatchTooLarge:
        answer = "too large"
        raise
    except ServerBusy:
        answer = "busy"
        raise
    except BatchRefused:
        answer = "refused"
        raise
    finally:
        counts.ended(answer, len(batch.body), (clock.mono_ns() - begun_ns) / NS_PER_S)
    return receipt
