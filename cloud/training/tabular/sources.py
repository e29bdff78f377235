"""Which task a command trains, and how its rows are read from files in a documented layout."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloud.datasets import activity_rows, games, plays, wellness
from cloud.datasets.card import DatasetCard
from cloud.datasets.exertions import read_exertions
from cloud.datasets.task_rows import TaskRows, task_card
from cloud.training.tabular.activity import ACTIVITY
from cloud.training.tabular.injury import INJURY
from cloud.training.tabular.readiness import READINESS
from cloud.training.tabular.strategy import PLAY_SUCCESS, STRATEGY
from cloud.training.tabular.task import Task
from shared.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A task with the reader of its rows; `split` says in words what is held out."""

    task: Task
    read: Callable[[Sequence[Path]], TaskRows]
    split: str


def _one(read: Callable[[Path], TaskRows]) -> Callable[[Sequence[Path]], TaskRows]:
    """Return a reader of exactly one path."""

    def read_one(paths: Sequence[Path]) -> TaskRows:
        if len(paths) != 1:
            raise ConfigError("--data", f"one table or folder is read, not {len(paths)}")
        return read(paths[0])

    return read_one


def _activities(paths: Sequence[Path]) -> TaskRows:
    return activity_rows.activity_rows(read_exertions(paths))


SOURCES: Mapping[str, Source] = {
    "activity_effort": Source(task=ACTIVITY, read=_activities, split=activity_rows.SPLIT),
    "strategy": Source(task=STRATEGY, read=_one(games.read_games), split=games.SPLIT),
    "play_success": Source(task=PLAY_SUCCESS, read=_one(plays.read_plays), split=plays.SPLIT),
    "readiness": Source(task=READINESS, read=_one(wellness.readiness_rows), split=wellness.SPLIT),
    "injury": Source(task=INJURY, read=_one(wellness.injury_rows), split=wellness.INJURY_SPLIT),
}


def read_source(name: str, paths: Sequence[Path]) -> tuple[Source, TaskRows, DatasetCard]:
    """Return a task with its rows and their card.

    Raises: ConfigError naming the file and what is wrong with it.
    """
    source = SOURCES[name]
    rows = source.read(paths)
    names = ", ".join(path.name for path in paths)
    card = task_card(rows, name=name, version="files", query=f"{names} as {name} rows", split=source.split)
    return source, rows, card
