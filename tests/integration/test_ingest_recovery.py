from pathlib import Path

import msgspec
import pytest

from cloud.ingest.app import build_app
from cloud.ingest.content import object_key
from cloud.ingest.intake import Intake
from cloud.ingest.ledger import Ledger
from cloud.objects import Objects
from cloud.settings import CloudSettings, Layout
from cloud.setup import make_layout
from shared.batch import BatchHeader, Lane, SessionSummary, sha256_hex
from shared.clock import ManualClock
from shared.errors import StoreError


def summary(time_ns: int = 1) -> bytes:
    return msgspec.json.encode(
        SessionSummary(gateway="gw-1", time_ns=time_ns, profiles=[], metrics=[], alerts=[], gaps=[])
    )


def header(body: bytes) -> BatchHeader:
    return BatchHeader(
        gateway="gw-1",
        epoch="0" * 16,
        seq=0,
        lane=Lane.SUMMARY,
        content="summary",
        sha256=sha256_hex(body),
        count=0,
        schema=1,
    )


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    make_layout(made)
    return made


def intake(layout: Layout) -> Intake:
    return Intake(ledger=Ledger(layout.ledger), objects=Objects(layout.objects), clock=ManualClock())


def test_intake_when_killed_between_object_and_row_then_the_retry_is_stored(layout: Layout) -> None:
    """An object without a row was never acknowledged; the gateway's next attempt completes it."""
    body = summary()
    Objects(layout.objects).stage(body).publish(object_key(header(body)))
    restarted = intake(layout)
    assert restarted.ledger.state("gw-1", "0" * 16).stored == 0
    assert restarted.take(header(body), body, received_ns=5).status == "stored"
    assert restarted.take(header(body), body, received_ns=6).status == "duplicate"
    restarted.ledger.close()


def test_intake_when_an_orphan_holds_other_bytes_then_the_stored_batch_wins(layout: Layout) -> None:
    """Only what the ledger names counts: the file under a stored id is that batch's bytes."""
    orphan, body = summary(1), summary(2)
    Objects(layout.objects).stage(orphan).publish(object_key(header(orphan)))
    restarted = intake(layout)
    assert restarted.take(header(body), body, received_ns=5).status == "stored"
    assert (layout.objects / object_key(header(body))).read_bytes() == body
    restarted.ledger.close()


def test_intake_when_killed_after_the_row_then_the_retry_is_a_duplicate(layout: Layout) -> None:
    """A lost receipt loses nothing."""
    body = summary()
    first = intake(layout)
    first.take(header(body), body, received_ns=5)
    first.ledger.close()
    second = intake(layout)
    assert second.take(header(body), body, received_ns=6).status == "duplicate"
    assert [one.received_ns for one in second.ledger.bronze()] == [5]
    second.ledger.close()


def test_intake_when_the_object_cannot_be_written_then_store_error_and_no_row(layout: Layout) -> None:
    """Nothing is acknowledged that the disk did not take."""
    body = summary()
    (layout.objects / "bronze").write_text("a file where a folder should be")
    broken = intake(layout)
    with pytest.raises(StoreError):
        broken.take(header(body), body, received_ns=5)
    assert broken.ledger.state("gw-1", "0" * 16).stored == 0
    assert list((layout.objects / "staging").iterdir()) == []
    broken.ledger.close()


def test_app_when_started_then_half_written_files_are_gone(layout: Layout) -> None:
    """What a killed process was writing is nobody's."""
    Objects(layout.objects).stage(b"half")
    build_app(layout, CloudSettings(), ManualClock())
    assert list((layout.objects / "staging").iterdir()) == []
