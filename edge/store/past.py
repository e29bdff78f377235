"""The live readings of the past, oldest first, over all files of the journal. Any thread may read them."""

from collections.abc import Iterator
from dataclasses import dataclass

from edge.store.chunks import read_rows
from edge.store.restamp import Steps, restamp
from edge.store.segments import Segment, Segments
from shared.readings import Readings


@dataclass(frozen=True, slots=True)
class Past:
    """Which files to read, and what is known of the clock that stamped them."""

    segments: Segments
    files: list[Segment]
    steps: Steps


def read_past(plan: Past, position: int, limit: int) -> Iterator[tuple[int, list[Readings]]]:
    """Yield up to `limit` live chunks after `position`."""
    for segment in plan.files:
        connection = plan.segments.read(segment) if limit > 0 else None
        if connection is None:
            continue
        try:
            for row in read_rows(connection, max(position, segment.first_id - 1), limit, tail=False):
                if row.source == "live":
                    yield row.id, [restamp(block, plan.steps) for block in row.blocks or []]
                    limit -= 1
        finally:
            connection.close()
