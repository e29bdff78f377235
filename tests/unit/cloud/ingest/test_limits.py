import asyncio
from collections.abc import AsyncIterator

import pytest

from cloud.ingest.limits import InFlight, read_body
from shared.errors import BatchRefused, ServerBusy

PATIENT = {"silence_s": 60.0, "total_s": 60.0}


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_body_when_it_grows_over_the_limit_then_refused_without_reading_on() -> None:
    """A sender that announces nothing is cut off at the cap."""
    body = chunks(b"123", b"45", b"never")
    with pytest.raises(BatchRefused) as refused:
        await read_body(body, announced=None, limit_bytes=4, **PATIENT)
    assert refused.value.status == 413
    assert [part async for part in body] == [b"never"]
    assert await read_body(chunks(b"12", b"34"), announced="4", limit_bytes=4, **PATIENT) == b"1234"


@pytest.mark.parametrize("impatient", [{"silence_s": 0.01}, {"total_s": 0.01}])
async def test_body_when_it_stops_coming_then_the_wait_ends(impatient: dict[str, float]) -> None:
    """A slow body is let finish, a silent or an endless one is not."""

    async def stuck() -> AsyncIterator[bytes]:
        yield b"1"
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await read_body(stuck(), announced=None, limit_bytes=4, **(PATIENT | impatient))


def test_in_flight_when_a_bound_is_reached_then_busy_until_one_ends() -> None:
    """429 when the gateway itself is the reason, 503 when all are."""
    bound = InFlight(total=2, per_gateway=1, retry_after_s=2)
    with bound.one("a"):
        with pytest.raises(ServerBusy) as own, bound.one("a"):
            pass
        with bound.one("b"), pytest.raises(ServerBusy) as all_of_them, bound.one("c"):
            pass
        assert (own.value.status, all_of_them.value.status) == (429, 503)
    with bound.one("a"):
        assert bound.count == 1
