"""The bounds of the serving: how many at once, how large, how late."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from cloud.serving.admission import Admission


def bounded(handler: Callable[[Request], Any], **given: Any) -> httpx.AsyncClient:
    """Return a client of an application with these bounds and one route."""
    app = FastAPI()
    app.add_middleware(Admission, **{"most": 1, "body_bytes": 10, "body_s": 60.0, "retry_after_s": 3, **given})
    app.post("/")(handler)
    app.get("/")(lambda: "free")
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def length(request: Request) -> int:
    return len(await request.body())


async def test_request_when_too_many_are_open_then_it_is_told_when_to_come_back() -> None:
    """One more than the bound is refused at once; questions without a body, and those after, are answered."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> int:
        entered.set()
        await leave.wait()
        return await length(request)

    async with bounded(slow) as client, asyncio.TaskGroup() as group:
        first = group.create_task(client.post("/", content=b"1"))
        await entered.wait()
        refused = await client.post("/", content=b"2")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "3")
        assert (await client.get("/")).status_code == 200
        leave.set()
        assert (await first).json() == 1
        assert (await client.post("/", content=b"3")).status_code == 200


@pytest.mark.parametrize("announced", [True, False])
async def test_body_when_too_large_then_it_is_refused(*, announced: bool) -> None:
    """Whether its length is announced or not; one of exactly the bound is taken."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"12345"
        yield b"678901"

    async with bounded(length) as client:
        answer = await client.post("/", content=b"12345678901" if announced else parts())
        assert (answer.status_code, "at most 10 bytes" in answer.text) == (413, True)
        assert (await client.post("/", content=b"1234567890")).json() == 10


async def test_body_when_it_does_not_come_then_the_request_ends() -> None:
    """Who never finishes a body does not hold a place for ever."""

    async def never() -> AsyncIterator[bytes]:
        yield b"1"
        await asyncio.Event().wait()

    async with bounded(length, body_s=0.01) as client:
        assert (await client.post("/", content=never())).status_code == 408
        assert (await client.post("/", content=b"1")).status_code == 200
