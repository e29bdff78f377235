import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.ingest.content import examine
from shared.batch import BatchHeader, Lane
from shared.ids import SensorId
from shared.parquet_codec import encode_parquet
from shared.readings import Readings

COUNT = 20
BLOCK = Readings(
    sensor=SensorId("tag-1"),
    stream="position",
    origin="boot-1",
    sequence=np.arange(COUNT),
    time_ns=np.arange(COUNT) * 100_000_000,
    values=np.ones((COUNT, 3)),
    quality=np.zeros(COUNT, np.uint8),
)
BODY = encode_parquet([BLOCK])
HEADER = BatchHeader(
    gateway="gw-1", epoch="0" * 16, seq=0, lane=Lane.RAW, content="position", sha256="", count=COUNT, schema=1
)


def test_content_when_sound_then_no_problem() -> None:
    """The gateway's own encoder passes."""
    assert examine(HEADER, BODY).problem is None


@given(flips=st.lists(st.tuples(st.integers(0, len(BODY) - 1), st.integers(0, 255)), min_size=1, max_size=5))
@settings(max_examples=300, deadline=None)
def test_content_when_any_bytes_are_changed_then_an_answer_and_never_an_exception(flips: list[tuple[int, int]]) -> None:
    """Damaged Parquet is a problem in words or goes unseen (the digest's task); it never crashes the ingest."""
    damaged = bytearray(BODY)
    for at, value in flips:
        damaged[at] = value
    problem = examine(HEADER, bytes(damaged)).problem
    assert problem is None or problem.startswith("undecodable: ")
