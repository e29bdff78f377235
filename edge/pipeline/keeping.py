"""Looks after the store's room: removes what the cloud has, and thins what is stored when that is not enough."""

import os
from pathlib import Path

from edge.settings import StoreSettings
from edge.store.journal import Journal
from edge.store.pressure import Level, Thinning, fullness_percent
from shared.clock import NS_PER_S, Clock
from shared.errors import StoreError
from shared.log import FailureLog, get_logger

_log = get_logger("store")
_EVERY_S = 5.0
# Files are looked at so often when room is not short.
_KEEP_NS = 60 * NS_PER_S
# What is thinned is told to the cloud so often: a row a sensor and stream each time, for as long as room is short.
_SETTLE_NS = 300 * NS_PER_S


class Keeper:
    """Owner of the store's level; `percent` is how full it is."""

    def __init__(
        self,
        journal: Journal,
        thinning: Thinning,
        settings: StoreSettings,
        folder: Path,
        clock: Clock,
        *,
        has_cloud: bool,
    ) -> None:
        self._journal = journal
        self._thinning = thinning
        self._max_bytes = settings.max_bytes
        self._keep_ns = round(settings.keep_days * 86_400 * NS_PER_S)
        self._folder = folder
        self._clock = clock
        self._has_cloud = has_cloud
        self._kept_ns: int | None = None
        self._settled_ns = clock.mono_ns()
        self._failures = FailureLog(_log, "the store's files cannot be looked after")
        self.percent = 0.0

    @property
    def level(self) -> Level:
        """What is left out now."""
        return self._thinning.level

    async def run(self) -> None:
        """Look every few seconds until cancelled."""
        try:
            await self._journal.tally_older()
        except StoreError as exc:
            self._failures.failed(str(exc))
        while True:
            try:
                await self.look()
            except StoreError as exc:
                self._failures.failed(str(exc))
            else:
                self._failures.recovered()
            await self._clock.sleep(_EVERY_S)

    async def look(self) -> Level:
        """Measure, remove what may go, and set what is stored from here on; return the level.

        Raises: StoreError.
        """
        now_ns = self._clock.mono_ns()
        self.percent = await self._measure()
        before, level = self._thinning.level, self._thinning.look(self.percent)
        if level > Level.NORMAL or self._kept_ns is None or now_ns - self._kept_ns >= _KEEP_NS:
            self._kept_ns = now_ns
            await self.make_room(pressed=level > Level.NORMAL)
        if level is not before:
            _log.warning("the store's level has changed", now=level.name.lower(), percent=round(self.percent, 1))
        if now_ns - self._settled_ns >= _SETTLE_NS:
            await self._journal.settle_gaps()
            self._settled_ns = now_ns
        return level

    async def make_room(self, *, pressed: bool) -> bool:
        """Remove the files that may go, one more when `pressed`; return whether one went.

        Raises: StoreError.
        """
        removed = await self._journal.keep(keep_ns=self._keep_ns, pressed=pressed, has_cloud=self._has_cloud)
        return removed > 0

    async def _measure(self) -> float:
        """Return how full the store is of what it may take."""
        used = (await self._journal.totals())["database_bytes"]
        disk = os.statvfs(self._folder)
        return fullness_percent(store_bytes=used, quota_bytes=self._max_bytes, free_bytes=disk.f_bavail * disk.f_frsize)
