"""Sends the outbox to the cloud: summaries first, then what is new, then the past, until there is a receipt for each.

One batch is never on two ways at once. Before anything is sent after a start or an outage the cloud is asked for the
highest number it knows of this database's epoch: if that was never given here, the database is not the only one with
its name (a restored backup, a copied card), and what is left is sent under a new epoch. A 409 says the same.
"""

import asyncio
import random
from collections import Counter

from edge.counters import UploadCounts
from edge.links import Link, LinkStatus
from edge.pipeline.clock_watch import ClockWatch
from edge.settings import SyncSettings
from edge.store.journal import Journal
from edge.store.outbox import Pending
from edge.sync.client import CloudClient
from edge.sync.counting import put_counted
from edge.sync.pace import ByteBudget, Pauses, Turns
from shared.batch import WRONG_DIGEST, Lane, Receipt, sha256_hex
from shared.clock import NS_PER_S, Clock
from shared.errors import BatchRefused, BatchTooLarge, LinkDown, ServerBusy, StoreError, StoreFull
from shared.log import get_logger
from shared.retry import Backoff

_log = get_logger("sync")
_IDLE_S = 0.5
# While older readings wait in the journal, the room that receipts made in the outbox is used so soon.
_REFILL_S = 0.5
# A batch that the cloud itself rejects: tried once more in case it was damaged on the way, then set aside.
_REFUSALS_BEFORE_ASIDE = 2
# A batch whose sending broke off so often in a row is cut, down to this size: the link does not hold for longer ones.
_BREAKS_BEFORE_CUT = 3
_CUT_ABOVE_BYTES = 64 * 1024
# Raw batches younger than this are new; at the usual interval those are the last two of each stream.
_FRESH_NS = 60 * NS_PER_S
# A wait for the cap is cut into pieces: something more urgent may come meanwhile.
_LONGEST_HOLD_S = 1.0
_SPREAD_S = 3.0
# On a link that takes longer than this for a batch, one connection is kept free of the past.
_SLOW_NS = 5 * NS_PER_S
Key = tuple[str, int]
"""A batch's epoch and number."""


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
        self._link = Link("cloud", "cloud is not reachable", _log, clock)
        self._notice: str | None = None
        backoff = Backoff(base_s=0.5, cap_s=settings.retry_cap_s)
        self._pauses = Pauses(backoff, clock, random.Random(), spread_s=_SPREAD_S)
        self._budget = ByteBudget(settings.max_bytes_per_s, clock)
        self._turns = Turns()
        self._refusals: Counter[Key] = Counter()
        self._breaks: Counter[Key] = Counter()
        self._under_way: set[Key] = set()
        self._choosing = asyncio.Lock()
        self._landed = asyncio.Event()
        """Set when a batch is no longer under way."""
        self._is_slow = False
        self._greeted = asyncio.Event()
        """Whether the cloud has told, since the last failure, what it knows of our epoch."""
        self.counts = UploadCounts()
        self.renewals = 0
        """How often batches were put under a new epoch since the start."""

    @property
    def status(self) -> LinkStatus:
        """The cloud's state."""
        return self._link.status

    async def fill(self) -> None:
        """Make batches of what was stored, what is new before what is old, every `batch_s`, until cancelled."""
        while True:
            if self._watch is not None:
                await self._watch.trusted()
            until_ns = self._clock.mono_ns() + round(self._settings.batch_s * NS_PER_S)
            await self._fill(backlog=False)
            while (left_ns := until_ns - self._clock.mono_ns()) > 0:
                await self._fill(backlog=True)
                more = await self._journal.run(self._journal.outbox.has_backlog)
                await self._clock.sleep(min(left_ns / NS_PER_S, _REFILL_S if more else self._settings.batch_s))

    async def _fill(self, *, backlog: bool) -> None:
        """Make batches while there is something to make them of, and room for them."""
        try:
            while await self._journal.fill(backlog=backlog) and backlog:
                pass
        except StoreFull as exc:
            _log.debug("no room for batches yet", problem=str(exc))  # the journal says so where people look

    async def drain(self) -> None:
        """Send batches until cancelled."""
        self._greeted.clear()
        self._under_way.clear()
        async with (
            CloudClient(self._url, self._gateway, self._token, timeout_s=self._settings.timeout_s) as client,
            asyncio.TaskGroup() as connections,
        ):
            for number in range(self._settings.connections):
                connections.create_task(self._keep_sending(client, leads=number == 0), name=f"upload {number}")

    async def _keep_sending(self, client: CloudClient, *, leads: bool) -> None:
        """Send on one connection; after a failure only the one that `leads` finds out whether the cloud is back."""
        while True:
            if not leads:
                await self._greeted.wait()
            if (left_s := self._pauses.left_s()) > 0:
                await self._clock.sleep(left_s)
            begun_ns = self._clock.mono_ns()
            try:
                if not self._greeted.is_set():
                    if leads:
                        await self._greet(client)
                    continue
                if not await self._send_next(client, leads=leads):
                    await self._clock.sleep(_IDLE_S)
            except StoreError as exc:  # the cloud has it, and there is no room to note that: it is sent again
                self._greeted.clear()
                self._link.failed(f"receipts cannot be stored: {exc}")
                self._pauses.failed(begun_ns)
            except (LinkDown, ServerBusy, BatchRefused) as exc:
                self._greeted.clear()
                self._link.failed(str(exc))
                at_least_s = (exc.retry_after_s or 0.0) if isinstance(exc, ServerBusy) else 0.0
                self._pauses.failed(begun_ns, at_least_s=at_least_s)

    async def _greet(self, client: CloudClient) -> None:
        """Ask what the cloud knows of our epoch, and take another if it was used by somebody else."""
        outbox = self._journal.outbox
        epoch = outbox.epoch
        state = await client.state(epoch)
        self._compare_clocks(client)
        highest = await self._journal.run(outbox.highest_seq)
        if epoch == outbox.epoch and state.highest_seq > highest:
            why = f"the cloud knows batch {state.highest_seq} of this database, which has reached {highest}"
            await self._renew(epoch, why)
        if (spread_s := self._pauses.answered()) > 0:
            await self._clock.sleep(spread_s)
        self._greeted.set()

    async def _send_next(self, client: CloudClient, *, leads: bool) -> bool:
        """Send one batch if there is one that may go; return False when there is nothing to do for a while."""
        async with self._choosing:
            batch = await self._next(leads=leads)
            if batch is None:
                return False
            key = (batch.header.epoch, batch.header.seq)
            self._under_way.add(key)
        try:
            self._budget.spend(len(batch.body))
            await self._send(client, batch, key)
        finally:
            self._land(key)
        return True

    def _land(self, key: Key) -> None:
        self._under_way.discard(key)
        self._landed.set()

    async def _next(self, *, leads: bool) -> Pending | None:
        """Return the next batch that is not under way and for which the cap leaves room.

        On a slow link the connection that `leads` takes nothing of the past: a summary need not wait for it.
        """
        outbox = self._journal.outbox
        is_kept_free = leads and self._is_slow and self._settings.connections > 1
        in_turn = self._turns.is_backfills and not is_kept_free
        fresh_ns = None if in_turn else self._clock.utc_ns() - _FRESH_NS
        for skip in range(len(self._under_way) + 1):
            batch = await self._journal.run(
                lambda skip=skip: outbox.next_pending(self._gateway, fresh_ns=fresh_ns, skip=skip)
            )
            if batch is None or (batch.header.epoch, batch.header.seq) not in self._under_way:
                break
        else:
            return None
        if batch is None:
            if not self.status.up and not self._under_way:
                self._link.answered(self._notice)  # greeted, and there is nothing that could still be refused
            return None
        if batch.header.lane is Lane.SUMMARY:
            return batch
        if is_kept_free and not batch.is_fresh:
            return None
        hold_s = self._budget.wait_s(urgent=in_turn or batch.is_fresh)
        if hold_s > 0:
            await self._clock.sleep(min(hold_s, _LONGEST_HOLD_S))
            return None
        self._turns.sent_raw()
        return batch

    async def _send(self, client: CloudClient, batch: Pending, key: Key) -> None:
        outbox = self._journal.outbox
        if sha256_hex(batch.body) != batch.header.sha256:
            _log.error("batch was damaged on this disk", epoch=key[0], seq=key[1])
            await self._journal.run(outbox.record_receipt, *key, "damaged")  # its hours differ: they are sent again
            return
        begun_ns = self._clock.mono_ns()
        try:
            receipt = await put_counted(client, batch, self.counts, self._clock)
        except BatchTooLarge:
            parts = await self._journal.run(outbox.split, batch)
            _log.warning("batch was too large", epoch=key[0], seq=key[1], parts=parts)
            return
        except LinkDown as exc:
            await self._note_break(exc, batch, key)
            raise
        self._compare_clocks(client)
        self._breaks.pop(key, None)
        if batch.header.lane is Lane.RAW:
            self._is_slow = self._clock.mono_ns() - begun_ns > _SLOW_NS
        # What left here whole and arrived otherwise was damaged on the way: it is sent until it arrives whole.
        on_the_way = receipt.problem == WRONG_DIGEST
        if receipt.status == "rejected" and (on_the_way or not self._give_up(key)):
            raise BatchRefused(422, receipt.problem or "rejected")
        await self._take_receipt(receipt, key)
        self._pauses.succeeded()
        self._link.answered(self._notice)

    async def _take_receipt(self, receipt: Receipt, key: Key) -> None:
        if receipt.status == "conflict":
            self._land(key)
            await self._renew(key[0], f"the cloud holds another batch under number {key[1]}")
            return
        if receipt.status == "rejected":
            _log.error("batch set aside", epoch=key[0], seq=key[1], problem=receipt.problem)
        self._refusals.pop(key, None)
        await self._journal.run(self._journal.outbox.record_receipt, *key, receipt.status)

    async def _renew(self, epoch: str, why: str) -> None:
        """Leave `epoch` for a new one once nothing is under way, unless another connection just did."""
        async with self._choosing:
            while self._under_way:
                self._landed.clear()
                await self._landed.wait()
            if self._journal.outbox.epoch != epoch:
                return
            await self._journal.run(self._journal.outbox.renew_epoch, why)
        self.renewals += 1
        self._refusals.clear()
        self._breaks.clear()
        self._notice = "another copy of this gateway's database has uploaded; nothing is lost, see docs/sync.md"
        _log.warning("another copy of this database uploads", why=why, epoch=self._journal.outbox.epoch)

    async def _note_break(self, exc: LinkDown, batch: Pending, key: Key) -> None:
        """Count a sending that broke off half-way; cut a batch that cannot get through."""
        if not exc.under_way:
            return
        self._breaks[key] += 1
        is_long = len(batch.body) > _CUT_ABOVE_BYTES and batch.header.lane is Lane.RAW
        if self._breaks[key] >= _BREAKS_BEFORE_CUT and is_long:
            del self._breaks[key]
            parts = await self._journal.run(self._journal.outbox.split, batch)
            _log.warning("batch does not get through, cut it", epoch=key[0], seq=key[1], parts=parts)

    def _compare_clocks(self, client: CloudClient) -> None:
        if self._watch is not None and client.server_ns is not None:
            self._watch.hear(client.server_ns)
            client.server_ns = None

    def _give_up(self, key: Key) -> bool:
        self._refusals[key] += 1
        return self._refusals[key] >= _REFUSALS_BEFORE_ASIDE
