"""The durable lane: frames become readings, are committed in groups, and only then acknowledged to their source."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge.counters import QueueState
from edge.lanes import Lane, Policy
from edge.links import Link, LinkStatus
from edge.pipeline.intake import Intake
from edge.pipeline.keeping import Keeper
from edge.sensors.base import Rejected
from edge.settings import StoreSettings
from edge.sources.base import Delivery, Source
from edge.sources.replay import FrameRecorder
from edge.store.journal import Journal
from edge.store.pressure import Thinning
from shared.clock import NS_PER_MS, NS_PER_S, Clock
from shared.errors import StoreError, StoreFull
from shared.ids import SensorId
from shared.log import get_logger
from shared.readings import Gap, Readings

_log = get_logger("store")
# Batches of frames that wait for the writer; a full lane stops the intake, which leaves MQTT messages with the broker.
_WAITING_BATCHES = 256
_RETRY_S = 1.0
# Frames that come within this time are decoded together: numpy's cost is by batch, not by frame. Twice as long when
# many come: the turn itself takes longer then, and what is shown is due within 100 ms.
_TOGETHER_S = 0.01
_BUSY_FRAMES = 100
# One commit takes about so many, or it would not fit beside what a full disk has left.
_MOST_READINGS = 20_000
_NOT_KEPT_UP = "store could not keep up"


@dataclass(slots=True, kw_only=True, eq=False)
class _Batch:
    source: Source
    deliveries: Sequence[Delivery]
    blocks: list[Readings]
    rejected: list[Rejected]
    stored: bool = False


class Storing:
    """Owner of the durable lane."""

    def __init__(
        self,
        intake: Intake,
        journal: Journal,
        live: Lane[list[Readings]],
        settings: StoreSettings,
        clock: Clock,
        *,
        record: Path | None = None,
        keeper: Keeper | None = None,
        thinning: Thinning | None = None,
    ) -> None:
        """`keeper` makes room in a full store, `thinning` says what is stored while room is short."""
        self._intake = intake
        self._journal = journal
        self._live = live
        self._interval_ns = settings.commit_interval_ms * NS_PER_MS
        self._keeper = keeper
        self._thinning = thinning or Thinning()
        self._clock = clock
        self._recorder = FrameRecorder(record) if record else None
        self._lane: Lane[_Batch] = Lane("durable", capacity=_WAITING_BATCHES, policy=Policy.BLOCK)
        self._held: list[_Batch] = []
        self._gaps: list[Gap] = []
        self._committing: asyncio.Task[None] | None = None
        self._between: list[_Batch] = []
        """Decoded, and waiting for room in the lane."""
        self.withheld = 0
        """Frames that came and are not acknowledged yet."""
        self._link = Link("store", "readings cannot be stored", _log, clock)
        self._link.answered()

    async def take_from(self, source: Source) -> None:
        """Pass a source's frames on until cancelled: to the live lane at once, to the durable lane when it has room."""
        while True:
            batch = self._decode(source, await source.receive())
            if batch.blocks:
                self._live.offer(batch.blocks)
            self._between.append(batch)
            await self._lane.put(batch)
            self._between.remove(batch)
            await self._clock.sleep(_TOGETHER_S if len(batch.deliveries) < _BUSY_FRAMES else 2 * _TOGETHER_S)

    async def store(self) -> None:
        """Commit what has come, at most once per commit interval, until cancelled.

        While the store fails the same readings are tried again and again, and nothing is acknowledged.
        """
        while True:
            if not self._held:
                self._held = await self._lane.take_all()
            started_ns = self._clock.mono_ns()
            self._committing = asyncio.create_task(self._write(), name="commit")
            try:
                # A commit that is cancelled half-way would leave it open whether the readings are stored.
                await asyncio.shield(self._committing)
            except StoreError as exc:
                self._link.failed(str(exc))
                if not await self._make_room(exc):
                    await self._clock.sleep(_RETRY_S)
                continue
            self._link.answered()
            spent_ns = self._clock.mono_ns() - started_ns
            if spent_ns < self._interval_ns:
                await self._clock.sleep((self._interval_ns - spent_ns) / NS_PER_S)

    async def finish(self, sources: Sequence[Source] = ()) -> None:
        """Store what is still on its way, and what waits in `sources`; for use after everything else has stopped."""
        if self._committing is not None:
            await asyncio.wait({self._committing})
        if len(self._lane):
            self._held += await self._lane.take_all()
        self._held += [batch for batch in self._between if batch not in self._held]
        for source in sources:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0):  # only what has come already
                    self._held.append(self._decode(source, await source.receive()))
        if self._held or self._gaps:
            await self._finish_write()
        if self._recorder is not None:
            self._recorder.close()

    @property
    def status(self) -> LinkStatus:
        """Whether readings are being stored."""
        return self._link.status

    @property
    def queue(self) -> QueueState:
        """How full the durable lane is."""
        return self._lane.state

    def _decode(self, source: Source, deliveries: Sequence[Delivery]) -> _Batch:
        frames = [delivery.frame for delivery in deliveries]
        if self._recorder is not None:
            self._recorder.write(frames)
        blocks, rejected = self._intake.take(frames)
        self.withheld += len(frames)
        return _Batch(source=source, deliveries=deliveries, blocks=blocks, rejected=rejected)

    async def _make_room(self, exc: StoreError) -> bool:
        """Return whether a full store got room by removing the oldest file that is complete in the cloud."""
        if self._keeper is None or not isinstance(exc, StoreFull):
            return False
        try:
            return await self._keeper.make_room(pressed=True)
        except StoreError:
            return False

    def record_drops(self, dropped: Counter[SensorId]) -> None:
        """Take a source's counts of given-up frames; they become gap records with the next commit."""
        now_ns = self._clock.utc_ns()
        self.record_gaps(
            [
                Gap(sensor=sensor, stream="all", from_ns=now_ns, to_ns=now_ns, count=count, reason=_NOT_KEPT_UP)
                for sensor, count in dropped.items()
            ]
        )
        dropped.clear()

    def record_gaps(self, gaps: Sequence[Gap]) -> None:
        """Take what a source knows to be missing; it is stored with the next commit.

        What is of one kind becomes one record while it waits: a store that fails for hours must not fill the memory.
        """
        for gap in gaps:
            key = (gap.sensor, gap.stream, gap.reason)
            known = next((other for other in self._gaps if (other.sensor, other.stream, other.reason) == key), None)
            if known is not None:
                self._gaps.remove(known)
                from_ns, to_ns = min(known.from_ns, gap.from_ns), max(known.to_ns, gap.to_ns)
                gap = replace(gap, from_ns=from_ns, to_ns=to_ns, count=known.count + gap.count)  # noqa: PLW2901
            self._gaps.append(gap)

    async def _finish_write(self) -> None:
        try:
            await self._write()
        except StoreError as exc:
            _log.error("last readings could not be stored", problem=str(exc))

    async def _write(self) -> None:
        """Store and acknowledge what is held, a portion after the other.

        Raises: StoreError; what was stored before it is not stored again.
        """
        await self._write_portion(self._portion())
        while self._held:
            await self._write_portion(self._portion())

    def _portion(self) -> list[_Batch]:
        """Return the first of what is held, as much as one commit takes."""
        readings = 0
        for number, batch in enumerate(self._held, 1):
            readings += sum(map(len, batch.blocks))
            if readings >= _MOST_READINGS:
                return self._held[:number]
        return self._held.copy()

    async def _write_portion(self, held: list[_Batch]) -> None:
        """Store the first of what is held, what is to be noted beside it in another transaction, and acknowledge it."""
        fresh = [batch for batch in held if not batch.stored]
        for batch in fresh:  # by the level of each try: what did not fit then must not stand before what is essential
            batch.blocks = self._thinning.take(batch.blocks)
        await self._journal.append([block for batch in fresh for block in batch.blocks])
        for batch in fresh:
            batch.stored = True
        self.record_gaps(self._thinning.take_gaps())
        gaps, self._gaps = self._gaps, []
        try:
            await self._journal.note([frame for batch in held for frame in batch.rejected], gaps)
        except StoreError:
            came, self._gaps = self._gaps, gaps
            self.record_gaps(came)
            raise
        del self._held[: len(held)]
        for batch in held:
            batch.source.acknowledge(batch.deliveries)
            self.withheld -= len(batch.deliveries)
