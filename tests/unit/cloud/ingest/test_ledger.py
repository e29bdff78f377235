from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.database import open_database
from cloud.ingest.ledger import Ledger
from shared.batch import BatchHeader, Lane
from shared.errors import StoreError

EPOCH = "0" * 16


def header(seq: int) -> BatchHeader:
    return BatchHeader(
        gateway="gw-1", epoch=EPOCH, seq=seq, lane=Lane.RAW, content="rr", sha256="a" * 64, count=1, schema=1
    )


def add(ledger: Ledger, seq: int) -> None:
    with ledger.deciding(header(seq)) as turn:
        turn.add(object_key=f"bronze/{seq}", size_bytes=1, received_ns=seq)


@given(order=st.lists(st.integers(0, 12), unique=True, min_size=1))
@settings(max_examples=20, deadline=None)
def test_ledger_when_batches_come_in_any_order_then_contiguous_seq_is_the_first_gap(order: list[int]) -> None:
    """`contiguous_seq` is the highest number below which nothing is missing, -1 without number 0."""
    with TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.sqlite")
        for done, seq in enumerate(order, start=1):
            add(ledger, seq)
            arrived = set(order[:done])
            expected = next(n for n in range(14) if n not in arrived) - 1
            state = ledger.state("gw-1", EPOCH)
            assert (state.contiguous_seq, state.stored) == (expected, done)
        ledger.close()


def test_ledger_when_turn_fails_then_nothing_of_it_is_kept(tmp_path: Path) -> None:
    """A batch whose turn broke off was never acknowledged and leaves no row."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    with pytest.raises(StoreError), ledger.deciding(header(0)) as turn:  # noqa: PT012  the turn must fail half-way
        turn.add(object_key="x", size_bytes=1, received_ns=0)
        turn.add(object_key="x", size_bytes=1, received_ns=0)
    assert ledger.state("gw-1", EPOCH).stored == 0
    add(ledger, 0)
    with pytest.raises(StoreError):
        add(ledger, 0)
    assert ledger.state("gw-1", EPOCH).stored == 1
    ledger.close()


def test_ledger_when_opened_then_every_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """WAL with synchronous FULL: NORMAL loses acknowledged commits at a power cut."""
    connection = open_database(tmp_path / "ledger.sqlite")
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    connection.close()


def test_ledger_when_newer_than_the_program_then_store_error(tmp_path: Path) -> None:
    """An older program does not write into a newer schema."""
    path = tmp_path / "ledger.sqlite"
    connection = open_database(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="schema 99"):
        Ledger(path)
