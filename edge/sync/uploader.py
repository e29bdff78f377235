"""Sends the outbox to the cloud: summaries first, one batch at a time, again and again until there is a receipt."""

import random

from edge.links import Link, LinkStatus
from edge.pipeline.clock_watch import ClockWatch
from edge.settings import SyncSettings
from edge.store.journal import Journal
from edge.sync.client import CloudClient
from shared.clock import Clock
from shared.errors import BatchRefused, BatchTooLarge, LinkDown, ServerBusy, StoreFull
from shared.log import get_logger
from shared.retry import Backoff

_log = get_logger("sync")
_IDLE_S = 0.5
# A batch that the cloud itself rejects: tried once more in case it was damaged on the way, then set aside.
_REFUSALS_BEFORE_ASIDE = 2


class Uploader:
    """Fills the outbox at its interval and drains it whenever there is something to send."""

    def __init__(
        self,
        settings: SyncSettings,
        gateway: str,
        token: str,
        journal: Journal,
        clock: Clock,
        *,
        url: str,
        watch: ClockWatch | None = None,
    ) -> None:
        """`watch` holds batches back until the machine's clock can be right, and is told the cloud's time."""
        self._settings = settings
        self._gateway = gateway
        self._token = token
        self._journal = journal
        self._clock = clock
        self._url = url
        self._watch = watch
        self._backoff = Backoff(base_s=0.5, cap_s=settings.retry_cap_s)
        self._link = Link("cloud", "cloud is not reachable", _log, clock)
        self._refusals: dict[int, int] = {}

    @property
    def status(self) -> LinkStatus:
        """The cloud's state."""
        return self._link.status

    async def fill(self) -> None:
        """Make batches of what was stored, every `batch_s`, until cancelled."""
        while True:
            if self._watch is not None:
                await self._watch.trusted()
            try:
                while await self._journal.run(self._journal.outbox.fill):
                    pass
            except StoreFull as exc:
                _log.debug("no room for batches yet", problem=str(exc))  # the journal says so where people look
            await self._clock.sleep(self._settings.batch_s)

    async def drain(self) -> None:
        """Send batches until cancelled."""
        rng = random.Random()
        attempt = 0
        async with CloudClient(self._url, self._gateway, self._token, timeout_s=self._settings.timeout_s) as client:
            while True:
                try:
                    sent = await self._send_next(client)
                    attempt = 0
                    self._compare_clocks(client)
                    if not sent:
                        await self._clock.sleep(_IDLE_S)
                except (LinkDown, ServerBusy, BatchRefused) as exc:
                    self._link.failed(str(exc))
                    at_least_s = (exc.retry_after_s or 0.0) if isinstance(exc, ServerBusy) else 0.0
                    await self._clock.sleep(self._backoff.delay_s(attempt, rng, at_least_s=at_least_s))
                    attempt += 1

    def _compare_clocks(self, client: CloudClient) -> None:
        if self._watch is not None and client.server_ns is not None:
            self._watch.hear(client.server_ns)
            client.server_ns = None

    async def _send_next(self, client: CloudClient) -> bool:
        """Send one batch if there is one; return whether there was."""
        outbox = self._journal.outbox
        batch = await self._journal.run(outbox.next_pending, self._gateway)
        if batch is None:
            if not self.status.up:
                await client.state(self._journal.epoch)
                self._link.answered()
            return False
        seq = batch.header.seq
        try:
            receipt = await client.put(batch)
        except BatchTooLarge:
            parts = await self._journal.run(outbox.split, batch)
            _log.warning("batch was too large", seq=seq, parts=parts)
            return True
        if receipt.status == "rejected" and not self._give_up(seq):
            raise BatchRefused(422, receipt.problem or "rejected")
        if receipt.status in ("conflict", "rejected"):
            _log.error("batch set aside", seq=seq, status=receipt.status, problem=receipt.problem)
        self._refusals.pop(seq, None)
        await self._journal.run(outbox.record_receipt, seq, receipt.status)
        self._link.answered()
        return True

    def _give_up(self, seq: int) -> bool:
        self._refusals[seq] = self._refusals.get(seq, 0) + 1
        return self._refusals[seq] >= _REFUSALS_BEFORE_ASIDE
