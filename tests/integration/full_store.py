"""A store that is filled to its limit, and given room again."""

from pathlib import Path

import numpy as np

from edge.store.journal import Journal
from shared.errors import StoreFull
from shared.readings import Readings
from tests.factories import positions


def noise(count: int = 4000) -> Readings:
    """Return readings that hardly compress."""
    rng = np.random.default_rng(1)
    return positions(rng.uniform(-100, 100, (count, 2)))


async def fill_up(journal: Journal, block: Readings) -> int:
    """Append a block until the store is full; return how often that went well."""
    stored = 0
    while True:
        try:
            await journal.append([block])
        except StoreFull:
            return stored
        stored += 1


def files_of(folder: Path) -> list[str]:
    """Return the names of the journal's files."""
    return sorted(path.name for path in (folder / "journal").glob("*.sqlite"))


def bytes_of(folder: Path) -> int:
    """Return what the book and the journal's files take, without their logs."""
    return sum(path.stat().st_size for path in folder.rglob("*.sqlite"))


async def make_room(journal: Journal) -> None:
    """Take away the oldest file, as if it were complete in the cloud."""
    oldest = journal._segments.kept()[0]
    await journal.run(journal._segments.remove, oldest, 0)
    await journal.run(journal._set_limits)
