"""Runs reach MLflow now or later: what its database cannot take is spooled, and replayed without being there twice."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cloud.settings import Layout
from cloud.training.tracking.events import Ended, Event, Metrics, Started
from cloud.training.tracking.spool import Spool, claimed, remove, waiting
from shared.errors import ConfigError, StoreError
from shared.log import get_logger


class RunDatabase(Protocol):
    """Where runs end up; what is written twice is there once."""

    def start(self, event: Started) -> str:
        """Return the database's id of a run, which is made unless it is there.

        Raises: StoreError when it cannot be reached; ConfigError when it takes no such run.
        """
        ...

    def write(self, run_id: str, event: Event) -> None:
        """Write an event that followed the start of a run.

        Raises: StoreError when it cannot be reached; ConfigError when it does not take this event.
        """
        ...


def spool_folder(layout: Layout) -> Path:
    """Return where spooled runs wait."""
    return layout.experiments / "spool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay did: runs brought to MLflow, runs still going on elsewhere or unreadable, events refused."""

    runs: int
    left: int
    refused: int


class SpooledRun:
    """One run on its way to MLflow; from the first event that its database cannot take on, all go to the spool."""

    def __init__(self, layout: Layout, database: RunDatabase) -> None:
        self._layout = layout
        self._database = database
        self._spool: Spool | None = None
        self._started: Started | None = None
        self.run_id = ""
        """MLflow's id of the run; its own key while MLflow has none."""

    def record(self, event: Event) -> None:
        """Write the event, or spool it.

        Raises: StoreError when the spool cannot be written either; ConfigError when MLflow does not take the event.
        """
        if isinstance(event, Started):
            self._started, self.run_id = event, event.key
        if self._spool is None:
            try:
                self._write(event)
            except (StoreError, ConfigError) as exc:
                if isinstance(exc, ConfigError) and event is not self._started:
                    raise
                get_logger("tracking").warning("MLflow cannot be reached; the run is spooled", problem=str(exc))
                self._spool_from(event)
        else:
            self._spool.append(event)
        if isinstance(event, Ended) and self._spool is not None:
            self._spool.close()

    def _write(self, event: Event) -> None:
        if isinstance(event, Started):
            self.run_id = self._database.start(event)
        else:
            self._database.write(self.run_id, event)

    def _spool_from(self, event: Event) -> None:
        if self._started is None:
            raise StoreError("no run was started")
        self._spool = Spool(self._layout.root, spool_folder(self._layout), self._started)
        if event is not self._started:
            self._spool.append(event)


def replay(layout: Layout, database: RunDatabase) -> Replayed:
    """Bring every spooled run that is over to MLflow and delete its file; one whose process ended early has failed.

    Raises: StoreError when MLflow cannot be reached; what was not replayed then stays in the spool.
    """
    runs, left, refused = 0, 0, 0
    for path in waiting(spool_folder(layout)):
        with claimed(path) as events:
            if events is None or not events or not isinstance(events[0], Started):
                left += 1
                continue
            try:
                refused += _replay_run(database, events[0], events[1:])
            except ConfigError as exc:
                get_logger("tracking").warning("a spooled run is not taken", file=path.name, problem=str(exc))
                left += 1
                continue
            remove(path)
            runs += 1
    return Replayed(runs=runs, left=left, refused=refused)


def _replay_run(database: RunDatabase, started: Started, events: list[Event]) -> int:
    """Write one run and return how many of its events MLflow did not take."""
    run_id = database.start(started)
    if not events or not isinstance(events[-1], Ended):
        events = [*events, Ended(failed=True, time_ms=_last_ms(started, events))]
    refused = 0
    for event in events:
        try:
            database.write(run_id, event)
        except ConfigError as exc:
            get_logger("tracking").warning("a spooled event is not taken", run=started.key, problem=str(exc))
            refused += 1
    return refused


def _last_ms(started: Started, events: list[Event]) -> int:
    return max([started.time_ms, *(event.time_ms for event in events if isinstance(event, Metrics))])
