from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.decide import HTTP_STATUS, OTHER_BYTES, WRONG_DIGEST, Known, Verdict, decide
from shared.batch import BatchHeader, Lane

DIGESTS = st.sampled_from(["a" * 64, "b" * 64, "c" * 64])


def header(sha256: str = "a" * 64, count: int = 7) -> BatchHeader:
    return BatchHeader(
        gateway="gw-1", epoch="0" * 16, seq=0, lane=Lane.RAW, content="rr", sha256=sha256, count=count, schema=1
    )


def test_decide_when_id_is_new_then_stored_and_all_readings_accepted() -> None:
    """A sound batch under a new id is stored."""
    decision = decide(header(), body_sha256="a" * 64, content_problem=None, known=None)
    assert (decision.verdict, decision.accepted, decision.problem) == (Verdict.STORED, 7, None)


def test_decide_when_same_bytes_come_again_then_duplicate_counts_as_accepted() -> None:
    """A duplicate is a success for the sender: it may delete its copy."""
    decision = decide(
        header(count=9), body_sha256="a" * 64, content_problem=None, known=Known(sha256="a" * 64, count=7)
    )
    assert (decision.verdict, decision.accepted) == (Verdict.DUPLICATE, 7)


def test_decide_when_other_bytes_come_under_a_known_id_then_conflict_kept_aside() -> None:
    """A known id never changes its bytes."""
    decision = decide(
        header("b" * 64), body_sha256="b" * 64, content_problem=None, known=Known(sha256="a" * 64, count=7)
    )
    assert (decision.verdict, decision.problem, decision.keep_aside) == (Verdict.CONFLICT, OTHER_BYTES, True)


def test_decide_when_body_is_not_the_announced_one_then_rejected_and_not_kept() -> None:
    """Bytes damaged on the way are nobody's data."""
    decision = decide(header(), body_sha256="b" * 64, content_problem=None, known=None)
    assert (decision.verdict, decision.problem, decision.keep_aside) == (Verdict.REJECTED, WRONG_DIGEST, False)


def test_decide_when_content_is_bad_then_rejected_with_its_problem_and_kept() -> None:
    """What the gateway did send, but nobody can read, is kept for people to look at."""
    decision = decide(header(), body_sha256="a" * 64, content_problem="undecodable: x", known=None)
    assert (decision.verdict, decision.problem, decision.keep_aside) == (Verdict.REJECTED, "undecodable: x", True)


@given(
    announced=DIGESTS,
    body=DIGESTS,
    problem=st.none() | st.just("unknown schema"),
    known=st.none() | st.builds(Known, sha256=DIGESTS, count=st.integers(0, 9), is_lost=st.booleans()),
)
def test_decide_when_anything_comes_then_only_sound_new_batches_are_stored(
    announced: str, body: str, problem: str | None, known: Known | None
) -> None:
    """Stored means: bytes as announced, readable, id unused or that of the same bytes whose object was lost.

    Accepted is 0 whenever the gateway must not delete.
    """
    decision = decide(header(announced), body_sha256=body, content_problem=problem, known=known)
    same = known is not None and announced == body == known.sha256
    lost = same and known is not None and known.is_lost
    assert (decision.verdict is Verdict.STORED) == (announced == body and problem is None and (known is None or lost))
    assert (decision.verdict is Verdict.DUPLICATE) == (same and not lost)
    refused = HTTP_STATUS[decision.verdict] >= 400
    assert refused == (decision.problem is not None)
    assert not (refused and decision.accepted)
