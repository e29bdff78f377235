"""The cloud's side of a reconciliation, on real files and a real ledger."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from cloud.ingest.content import examine
from cloud.ingest.intake import Intake
from cloud.ingest.ledger import Ledger
from cloud.ingest.reconcile import Reconciliation
from cloud.objects import Objects
from cloud.settings import Layout
from cloud.setup import make_layout
from shared.batch import BatchHeader, Lane, Receipt, Reconcile, Reconciled, SeqRange, StreamHour, sha256_hex
from shared.clock import ManualClock
from shared.errors import StoreError
from shared.parquet_codec import SCHEMA_VERSION, encode_parquet
from shared.readings import Readings
from shared.tally import tallies
from tests.factories import START_NS, positions

EPOCH, OTHER = "a" * 16, "b" * 16
DAY_S = 86_400
Sent = list[tuple[str, int, int]]
"""Epoch, first and last number of what a gateway sent."""


@dataclass
class Cloud:
    """A cloud's store, and what it said of lost objects."""

    layout: Layout
    clock: ManualClock = field(default_factory=lambda: ManualClock(utc_ns=START_NS))
    lost: list[str] = field(default_factory=list)
    budget_s: float = 60.0
    readings_at_once: int = 4_000_000

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.layout.ledger)
        self.objects = Objects(self.layout.objects)
        self.intake = Intake(ledger=self.ledger, objects=self.objects, clock=self.clock)

    def put(self, block: Readings, seq: int, epoch: str = EPOCH) -> Receipt:
        """Send a batch of one block."""
        body = encode_parquet([block])
        header = BatchHeader(
            gateway="gw-1", epoch=epoch, seq=seq, lane=Lane.RAW, content=block.stream, sha256=sha256_hex(body),
            count=len(block), schema=SCHEMA_VERSION,
        )  # fmt: skip
        return self.intake.take(header, body, received_ns=self.clock.utc_ns())

    def compare(self, *blocks: Readings, sent: Sent | None = None) -> Reconciled:
        """Ask whether the cloud holds just these readings."""
        compared = Reconciliation(
            ledger=self.ledger,
            objects=self.objects,
            clock=self.clock,
            budget_s=self.budget_s,
            on_lost=self.lost.append,
            readings_at_once=self.readings_at_once,
        )
        return compared.compare("gw-1", asked(*blocks, sent=sent))

    def path(self, seq: int, epoch: str = EPOCH) -> Path:
        """Return where a batch's object lies."""
        return self.layout.objects / f"bronze/gw-1/{epoch}/{seq:012d}.position.parquet"


def asked(*blocks: Readings, sent: Sent | None = None) -> Reconcile:
    lines = [
        StreamHour(stream=stream, hour=hour, count=tally.count, digest=tally.digest)
        for (stream, hour), tally in tallies(blocks).items()
    ]
    batches = [SeqRange(epoch=epoch, first=first, last=last) for epoch, first, last in sent or [(EPOCH, 0, 99)]]
    return Reconcile(batches=batches, tallies=lines)


def walk(first: int = 0, count: int = 50) -> Readings:
    steps = np.arange(first, first + count)
    return positions(np.column_stack((steps, steps)), first=first, times_ns=START_NS + steps * 10**8)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    layout = Layout(tmp_path)
    make_layout(layout)
    made = Cloud(layout)
    yield made
    made.ledger.close()


def test_compare_when_both_hold_the_same_then_nothing_differs(cloud: Cloud) -> None:
    """Rule: any cut into batches and any epochs of the gateway's own agree."""
    cloud.put(walk(0), 0)
    cloud.put(walk(50), 1)
    cloud.put(walk(100), 0, OTHER)
    assert cloud.compare(walk(0, 150), sent=[(EPOCH, 0, 1), (OTHER, 0, 0)]) == Reconciled(differing=[])


def test_compare_when_a_batch_is_not_there_then_its_stream_hour_differs(cloud: Cloud) -> None:
    """Rule: the answer says what the cloud holds; an hour it never heard of is zero."""
    cloud.put(walk(0), 0)
    (line,) = cloud.compare(walk(0, 100)).differing
    assert (line.stream, line.count) == ("position", 50)
    later = positions([[1.0, 1.0]], times_ns=[START_NS + 10 * 3600 * 10**9])
    (line,) = cloud.compare(later).differing
    assert (line.count, line.digest) == (0, 0)


@pytest.mark.parametrize("at_once", [4_000_000, 30, 1])
def test_compare_when_readings_came_twice_then_they_count_once(cloud: Cloud, at_once: int) -> None:
    """Rule: what was sent again in other batches is no difference, in however many passes they are read."""
    cloud.readings_at_once = at_once
    cloud.put(walk(0), 0)
    cloud.put(walk(20, 60), 1)
    assert cloud.compare(walk(0, 80)).differing == []
    assert len(cloud.compare(walk(0, 81)).differing) == 1


def test_compare_when_another_copy_has_used_the_epoch_then_its_batches_do_not_count(cloud: Cloud) -> None:
    """Rule: batches under numbers that the gateway did not send are somebody else's."""
    cloud.put(walk(0), 0)
    cloud.put(walk(1000), 1)
    cloud.put(walk(50), 2)
    cloud.put(walk(100), 0, OTHER)
    assert cloud.compare(walk(0, 150), sent=[(EPOCH, 0, 0), (EPOCH, 2, 9), (OTHER, 0, 5)]).differing == []
    assert len(cloud.compare(walk(0, 150), sent=[(EPOCH, 0, 9), (OTHER, 0, 5)]).differing) == 1


@pytest.mark.parametrize("damage", ["gone", "short", "flipped"])
def test_compare_when_an_object_is_lost_then_it_differs_and_takes_the_same_bytes_again(
    cloud: Cloud, damage: str
) -> None:
    """Rule: a lost object is forgotten, what is left of it kept aside, and its id takes the same bytes, no others."""
    cloud.put(walk(0), 0)
    cloud.put(walk(50), 1)
    path = cloud.path(0)
    body = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(body[:-1] if damage == "short" else bytes([*body[:40], body[40] ^ 1, *body[41:]]))
    left = path.read_bytes() if path.exists() else None
    cloud.clock.advance(DAY_S + 1 if damage == "flipped" else 1)
    (line,) = cloud.compare(walk(0, 100)).differing
    assert (line.count, cloud.lost) == (50, ["missing" if damage == "gone" else "damaged"])
    assert [p.read_bytes() for p in (cloud.layout.objects / "damaged").rglob("*") if p.is_file()] == (
        [] if left is None else [left]
    )
    state = cloud.ledger.state("gw-1", EPOCH)
    assert (state.contiguous_seq, state.stored, state.highest_seq) == (-1, 1, 1)
    assert [one.seq for one in cloud.ledger.bronze()] == [1]
    assert cloud.put(walk(7), 0).status == "conflict"
    assert cloud.put(walk(0), 0).status == "stored"
    assert cloud.put(walk(0), 0).status == "duplicate"
    assert path.read_bytes() == body
    assert cloud.ledger.state("gw-1", EPOCH).contiguous_seq == 1
    assert cloud.compare(walk(0, 100)).differing == []


def test_compare_when_the_folder_of_objects_is_not_there_then_nothing_is_forgotten(cloud: Cloud) -> None:
    """Rule: a disk that is not mounted is not a thousand lost objects."""
    cloud.put(walk(0), 0)
    away = cloud.layout.objects.rename(cloud.layout.root / "away")
    with pytest.raises(StoreError):
        cloud.compare(walk(0))
    away.rename(cloud.layout.objects)
    assert cloud.compare(walk(0)).differing == []
    assert cloud.lost == []


def test_compare_when_time_is_up_then_the_rest_is_unchecked_and_one_always_done(cloud: Cloud) -> None:
    """Rule: an answer comes in bounded time, and asking again gets on."""
    hours = [positions([[1.0, 1.0]], first=n, times_ns=[START_NS + n * 3600 * 10**9]) for n in range(3)]
    for seq, block in enumerate(hours):
        cloud.put(block, seq)
    cloud.budget_s = -1.0
    answer = cloud.compare(*hours)
    assert (answer.differing, answer.unchecked) == ([], 2)


def test_ledger_when_it_is_from_before_tallies_then_they_are_made_when_asked_for(cloud: Cloud) -> None:
    """Rule: an older ledger opens, and its batches are compared by what their objects hold."""
    cloud.put(walk(0), 0)
    cloud.put(walk(50), 1)
    cloud.ledger.close()
    as_before(cloud.layout.ledger)
    cloud.__post_init__()
    assert cloud.ledger.state("gw-1", EPOCH).highest_seq == 1
    cloud.budget_s = -1.0
    assert cloud.compare(walk(0, 100)).unchecked == 1
    assert cloud.compare(walk(0, 100)).differing == []
    assert cloud.ledger.untallied("gw-1") == []


def test_examine_when_a_batch_comes_then_its_tallies_stand_in_the_ledger_with_it(cloud: Cloud) -> None:
    """Rule: the ledger's tallies are those of the readings."""
    block = walk(0)
    cloud.put(block, 0)
    ((stream, hour), tally) = next(iter(tallies([block]).items()))
    (row,) = cloud.ledger.holding("gw-1", stream, hour)
    assert row.tally == tally
    body = encode_parquet([block])
    header = BatchHeader(
        gateway="gw-1", epoch=EPOCH, seq=0, lane=Lane.RAW, content="position", sha256="", count=50, schema=2
    )
    assert examine(header, body).tallies == tallies([block])


def as_before(path: Path) -> None:
    """Undo the second schema file."""
    connection = sqlite3.connect(path)
    connection.executescript(
        "DROP TABLE tallies; DROP INDEX batches_untallied; ALTER TABLE batches DROP COLUMN lost_ns;"
        "ALTER TABLE batches DROP COLUMN checked_ns; ALTER TABLE batches DROP COLUMN tallied;"
        "ALTER TABLE epochs DROP COLUMN highest_seq; PRAGMA user_version = 1;"
    )
    connection.close()
