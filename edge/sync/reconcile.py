"""Makes sure that the cloud holds what was sent: compares counts and digests by stream and hour, and sends again.

What a receipt has said once, a disk may lose later. Soon after the last receipt, and for everything that is still kept
here once a day, both sides compare their tallies; a stream-hour that differs is sent again from the journal, twice at
the most. What differs even then is told to people.
"""

from datetime import UTC, datetime

from edge.counters import ReconcileCounts
from edge.links import Link, LinkStatus
from edge.pipeline.clock_watch import ClockWatch
from edge.settings import SyncSettings
from edge.store.journal import Journal
from edge.sync.client import CloudClient
from shared.batch import MAX_RECONCILED, Reconcile, StreamHour
from shared.clock import NS_PER_S, Clock
from shared.errors import BatchRefused, BatchTooLarge, LinkDown, ServerBusy, StoreError
from shared.log import get_logger
from shared.tally import NS_PER_HOUR

_log = get_logger("sync")
# A stream-hour is compared when it stayed as it is between two looks: a session that goes on adds to its own.
_LOOK_S = 60.0
_ROUNDS = 2
Key = tuple[str, int]
"""A stream and an hour."""


class Reconciler:
    """Compares with the cloud at its interval."""

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
        """`watch` keeps it from asking before the machine's clock can be right."""
        self._settings = settings
        self._gateway = gateway
        self._token = token
        self._journal = journal
        self._clock = clock
        self._url = url
        self._watch = watch
        self._link = Link("upload check", "the cloud does not hold what was sent", _log, clock)
        self._seen: dict[Key, StreamHour] = {}
        self._rounds: dict[Key, int] = {}
        self._given_up: dict[Key, int] = {}
        """What differs after all rounds, and how many readings the cloud lacks."""
        self._all_ns: int | None = None
        """When everything was compared last."""
        self.counts = ReconcileCounts()

    @property
    def status(self) -> LinkStatus:
        """Whether the cloud holds what was sent, as far as it was compared."""
        return self._link.status

    async def run(self) -> None:
        """Compare until cancelled."""
        async with CloudClient(self._url, self._gateway, self._token, timeout_s=self._settings.timeout_s) as client:
            while True:
                if self._watch is not None:
                    await self._watch.trusted()
                try:
                    await self.look(client)
                except (LinkDown, ServerBusy, StoreError) as exc:
                    _log.debug("not compared", problem=str(exc))  # told by the cloud's or the store's own link
                except (BatchRefused, BatchTooLarge) as exc:
                    self._link.failed(f"the cloud does not compare: {exc}")
                await self._clock.sleep(_LOOK_S)

    async def look(self, client: CloudClient) -> None:
        """Compare what has come to rest, and everything when that is due.

        Raises: SyncError, StoreError; what was not compared is so with the next look.
        """
        tallies = self._journal.tallies
        quiet = self._quiet(await self._journal.run(tallies.unagreed))
        now_ns = self._clock.mono_ns()
        is_due = self._all_ns is None or now_ns - self._all_ns >= self._settings.reconcile_hours * 3600 * NS_PER_S
        if is_due:
            asked = {(line.stream, line.hour): line for line in await self._journal.run(tallies.kept)}
            open_now = set(self._seen) - {(line.stream, line.hour) for line in quiet}
            lines = [line for key, line in asked.items() if key not in open_now]
        else:
            lines = [line for line in quiet if (line.stream, line.hour) not in self._given_up]
        if await self._compare(client, lines) and is_due:
            self._all_ns = now_ns
        self._tell()

    def _quiet(self, lines: list[StreamHour]) -> list[StreamHour]:
        """Return the lines that are as they were at the last look."""
        before, self._seen = self._seen, {(line.stream, line.hour): line for line in lines}
        return [line for line in lines if before.get((line.stream, line.hour)) == line]

    async def _compare(self, client: CloudClient, lines: list[StreamHour]) -> bool:
        """Ask page by page and act on the answers; return False if the cloud did not get to the end."""
        while lines:
            page = lines[:MAX_RECONCILED]
            taken = await self._journal.run(self._journal.tallies.taken)
            answer = await client.reconcile(Reconcile(batches=taken, tallies=page))
            done = page[: len(page) - answer.unchecked]
            if not done:
                return False
            there = {(line.stream, line.hour): line for line in answer.differing}
            agreed = [line for line in done if (line.stream, line.hour) not in there]
            await self._journal.run(self._journal.tallies.agree, agreed, self._clock.utc_ns())
            self.counts.agreed += len(agreed)
            for line in agreed:
                self._rounds.pop((line.stream, line.hour), None)
                self._given_up.pop((line.stream, line.hour), None)
            for line in done:
                if (line.stream, line.hour) in there:
                    await self._send_again(line, there[line.stream, line.hour])
            lines = lines[len(done) :]
        return True

    async def _send_again(self, ours: StreamHour, theirs: StreamHour) -> None:
        key = (ours.stream, ours.hour)
        await self._journal.run(self._journal.tallies.disagree, [ours])
        if not await self._journal.run(self._journal.outbox.has_room):
            return  # with a later look: a cloud that lost everything must not fill this store with batches
        self._rounds[key] = self._rounds.get(key, 0) + 1
        resent = 0
        if self._rounds[key] <= _ROUNDS:
            from_ns = ours.hour * NS_PER_HOUR
            resent = await self._journal.refill(ours.stream, from_ns, from_ns + NS_PER_HOUR)
        facts = {"stream": ours.stream, "hour": _hour(ours.hour), "here": ours.count, "cloud": theirs.count}
        if resent:
            self.counts.resent += resent
            _log.warning("cloud holds something else, sending again", **facts, readings=resent)
            return
        if key not in self._given_up:
            self.counts.given_up += 1
            _log.error("cloud holds something else and cannot be mended", **facts)
        self._given_up[key] = ours.count - theirs.count

    def _tell(self) -> None:
        if not self._given_up:
            self._link.answered()
            return
        (stream, hour), lacking = next(iter(self._given_up.items()))
        count = f"{lacking} readings are missing there" if lacking > 0 else "the readings are others there"
        others = f", and {len(self._given_up) - 1} more hours differ" if len(self._given_up) > 1 else ""
        self._link.failed(f"{stream} of {_hour(hour)} differs from the cloud: {count}{others}")


def _hour(hour: int) -> str:
    return f"{datetime.fromtimestamp(hour * 3600, UTC):%Y-%m-%d %H:00} UTC"
