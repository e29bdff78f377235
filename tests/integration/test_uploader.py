import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response

from edge.settings import SyncSettings
from edge.store.journal import Journal
from edge.sync.uploader import Uploader
from shared.batch import EpochState, Receipt
from shared.clock import SystemClock
from shared.parquet_codec import decode_parquet
from tests.factories import positions
from tests.tools import until

SETTINGS = SyncSettings(url="http://127.0.0.1", batch_s=0.05, retry_cap_s=0.05, timeout_s=5)


@dataclass
class Answers:
    """An HTTP server in the cloud's place: gives `wrong` instead of receipts while it is set; takes `most` bytes."""

    wrong: Response | None = None
    most: int = 10_000_000
    asked: int = 0
    received: dict[int, bytes] = field(default_factory=dict)

    def app(self) -> FastAPI:
        """Return the server's application."""
        app = FastAPI()

        @app.put("/v1/gateways/gw-1/batches/{epoch}/{seq}")
        async def put(epoch: str, seq: int, request: Request) -> Response:
            assert epoch
            self.asked += 1
            body = await request.body()
            if self.wrong is not None:
                return self.wrong
            if len(body) > self.most:
                return Response(status_code=413)
            self.received[seq] = body
            receipt = Receipt(status="stored", seq=seq, contiguous_seq=seq, server_ns=0, accepted=1)
            return Response(msgspec.json.encode(receipt), status_code=201)

        @app.get("/v1/gateways/gw-1/epochs/{epoch}")
        async def state(epoch: str) -> Response:
            return Response(msgspec.json.encode(EpochState(epoch=epoch, contiguous_seq=-1, stored=0)))

        return app


@contextlib.asynccontextmanager
async def uploading(folder: Path, answers: Answers) -> AsyncIterator[tuple[Uploader, Journal]]:
    """A journal whose outbox is sent to `answers`."""
    server = uvicorn.Server(uvicorn.Config(answers.app(), port=0, log_level="error", ws="none"))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    clock = SystemClock()
    journal = Journal.open(folder / "gateway.sqlite", clock, max_bytes=2**30)
    uploader = Uploader(SETTINGS, "gw-1", "token", journal, clock, url=f"http://127.0.0.1:{port}")
    tasks = [asyncio.create_task(uploader.fill()), asyncio.create_task(uploader.drain())]
    try:
        yield uploader, journal
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        journal.close()
        server.should_exit = True
        await serving
        for task in tasks:
            assert task.cancelled(), task.exception()


@pytest.mark.parametrize(
    "wrong",
    [
        Response("<html>please log in</html>", status_code=200),
        Response(status_code=302, headers={"location": "http://127.0.0.1/login"}),
        Response(status_code=404),
        Response(status_code=401),
        Response("teapot", status_code=422),
    ],
    ids=["login page", "redirect", "wrong address", "wrong token", "no receipt"],
)
async def test_uploader_when_somebody_else_answers_then_the_backlog_waits_and_goes_later(
    tmp_path: Path, wrong: Response
) -> None:
    """Only the cloud's own receipt decides over a batch: a proxy or a wrong address never empties the outbox."""
    answers = Answers(wrong=wrong)
    async with uploading(tmp_path, answers) as (uploader, journal):
        await journal.append([positions([[1.0, 2.0]])])
        await until(lambda: answers.asked >= 4)
        assert not uploader.status.up
        backlog = await journal.run(journal.outbox.backlog)
        assert (backlog.batches, backlog.refused) == (1, 0)
        answers.wrong = None
        await until(lambda: len(answers.received) == 1)
        await until(lambda: uploader.status.up)


async def test_uploader_when_a_batch_is_too_large_then_it_is_cut_until_it_fits(tmp_path: Path) -> None:
    """413 halves a batch again and again; every reading arrives once."""
    answers = Answers(most=3_000)
    rng = np.random.default_rng(4)
    async with uploading(tmp_path, answers) as (_, journal):
        block = positions(rng.uniform(0, 60, (3000, 2)))
        await journal.append([block])
        await until(lambda: sum(map(readings, answers.received.values())) >= 3000)
        # The last receipt is noted a moment after the server has answered.
        async with asyncio.timeout(10):
            while (backlog := await journal.run(journal.outbox.backlog)).batches:
                await asyncio.sleep(0.01)
        assert backlog.refused == 0
        assert await journal.gaps() == []
    sequences = [
        n for body in answers.received.values() for part in decode_parquet(body) for n in part.sequence.tolist()
    ]
    assert sorted(sequences) == list(range(3000))
    assert len(answers.received) > 2


def readings(body: bytes) -> int:
    """Return how many readings a batch holds."""
    return sum(map(len, decode_parquet(body)))
