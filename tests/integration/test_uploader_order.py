"""In which order, how fast and over what links batches go out."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pytest
from fastapi import FastAPI, Request, Response

from edge.settings import SyncSettings
from edge.store.journal import Journal
from edge.sync.uploader import Uploader
from shared.batch import EpochState, Receipt, SessionSummary
from shared.clock import Clock, ManualClock, SystemClock
from shared.parquet_codec import decode_parquet
from tests.factories import positions, readings
from tests.integration.cloud_server import QUICK, serving
from tests.tools import until

PAST, NOW = 6, 6
SUMMARY = SessionSummary(gateway="gw-1", time_ns=0, profiles=[], metrics=[], alerts=[], gaps=[])
ONE = msgspec.structs.replace(QUICK, connections=1)


@dataclass
class Order:
    """In the cloud's place: notes what came, in order; with `together` answers only so many at once."""

    together: int = 1
    gate: asyncio.Semaphore | None = None
    """Lets raw batches through one by one."""
    came: list[int] = field(default_factory=list)
    bodies: dict[int, bytes] = field(default_factory=dict)

    def app(self) -> FastAPI:
        """Return the server's application."""
        app = FastAPI()
        barrier = asyncio.Barrier(self.together)

        @app.put("/v1/gateways/gw-1/batches/{epoch}/{seq}")
        async def put(epoch: str, seq: int, request: Request) -> Response:
            self.bodies[seq] = await request.body()
            self.came.append(seq)
            await barrier.wait()
            if self.gate is not None and request.headers["sideline-content"] != "summary":
                await self.gate.acquire()
            receipt = Receipt(status="stored", seq=seq, contiguous_seq=seq, server_ns=0, accepted=1)
            return Response(msgspec.json.encode(receipt), status_code=201)

        @app.get("/v1/gateways/gw-1/epochs/{epoch}")
        async def state(epoch: str) -> Response:
            return Response(msgspec.json.encode(EpochState(epoch=epoch, contiguous_seq=-1, stored=0)))

        return app

    def readings(self) -> list[int]:
        """Return the sequences of all readings that came."""
        return sorted(
            n for body in self.bodies.values() for part in decode_parquet(body) for n in part.sequence.tolist()
        )


@contextlib.asynccontextmanager
async def draining(journal: Journal, clock: Clock, url: str, settings: SyncSettings = ONE) -> AsyncIterator[Uploader]:
    """Send what stands in the outbox."""
    uploader = Uploader(settings, "gw-1", "token", journal, clock, url=url)
    task = asyncio.create_task(uploader.drain())
    try:
        yield uploader
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()


async def fill(journal: Journal, batches: int, *, first: int = 0, readings: int = 1) -> None:
    """Store readings and make a batch of each block."""
    rng = np.random.default_rng(first)
    for n in range(first, first + batches):
        await journal.append([positions(rng.uniform(0, 60, (readings, 2)), first=n * readings)])
        while await journal.run(journal.outbox.fill):
            pass


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def journal(tmp_path: Path, clock: ManualClock) -> Iterator[Journal]:
    made = Journal.open(tmp_path / "gateway.sqlite", clock, max_bytes=2**30)
    yield made
    made.close()


async def test_uploader_when_old_and_new_wait_then_summaries_then_new_and_every_fourth_is_old(
    journal: Journal, clock: ManualClock
) -> None:
    """Rule: summaries first, then what is new; what is old gets every fourth turn and never starves."""
    order = Order()
    await fill(journal, PAST)
    clock.advance(3600)
    await fill(journal, NOW, first=PAST)
    await journal.run(journal.outbox.add_summary, SUMMARY)
    async with serving(order.app()) as url, draining(journal, clock, url):
        await until(lambda: len(order.came) == PAST + NOW + 1)
    assert order.came == [12, 6, 7, 8, 0, 9, 10, 11, 1, 2, 3, 4, 5]


async def test_uploader_when_the_cap_is_reached_then_the_past_waits_and_summaries_do_not(
    journal: Journal, clock: ManualClock
) -> None:
    """Rule: the cap holds back old batches first; what a coach waits for goes at once."""
    order = Order()
    await fill(journal, PAST, readings=400)
    clock.advance(3600)
    capped = msgspec.structs.replace(ONE, max_bytes_per_s=1_000)
    async with serving(order.app()) as url, draining(journal, clock, url, capped):
        await until(lambda: sum(map(len, order.bodies.values())) > 4_000)
        held = list(order.came)
        assert len(held) < PAST
        await journal.run(journal.outbox.add_summary, SUMMARY)
        while PAST not in order.came:
            clock.advance(0.25)
            await asyncio.sleep(0.01)
        assert order.came[: len(held) + 1][-1] == PAST
        while len(order.came) < PAST + 1:
            clock.advance(0.25)
            await asyncio.sleep(0.01)
    assert sorted(order.came) == list(range(PAST + 1))


async def test_uploader_when_two_connections_send_then_no_batch_goes_twice(
    journal: Journal, clock: ManualClock
) -> None:
    """Rule: batches go out side by side, each of them once."""
    order = Order(together=2)
    await fill(journal, 20)
    async with serving(order.app()) as url, draining(journal, clock, url, QUICK):
        await until(lambda: len(order.came) == 20)
    assert sorted(order.came) == list(range(20))


async def test_uploader_when_the_link_is_slow_then_a_summary_need_not_wait_for_the_past(
    journal: Journal, clock: ManualClock
) -> None:
    """Rule: where a batch takes long, one connection is kept free of old ones."""
    order = Order(gate=asyncio.Semaphore(0))
    assert order.gate is not None
    await fill(journal, PAST)
    clock.advance(3600)
    async with serving(order.app()) as url, draining(journal, clock, url, QUICK):
        await until(lambda: len(order.came) == 2)
        clock.advance(10)
        order.gate.release()
        order.gate.release()
        await until(lambda: len(order.came) == 3)
        await journal.run(journal.outbox.add_summary, SUMMARY)
        while PAST not in order.came:
            clock.advance(0.5)
            await asyncio.sleep(0.01)
        assert sorted(order.came[:2]) == [0, 1]
        assert order.came[2:] == [2, PAST]
        for _ in range(PAST):
            order.gate.release()
        while len(order.came) < PAST + 1:
            clock.advance(0.5)
            await asyncio.sleep(0.01)


@dataclass
class Relay:
    """A link before the server: `rate` bytes a second, and broken off after `most` bytes of one request."""

    rate: float = float("inf")
    most: float = float("inf")
    breaks: int = 0

    @contextlib.asynccontextmanager
    async def before(self, url: str) -> AsyncIterator[str]:
        """Listen and pass on to `url`."""
        listener = socket.create_server(("127.0.0.1", 0))
        # Little waits unseen in the relay's own buffer, as in a modem.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        passing: set[asyncio.Task[None]] = set()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            passing.add(task)
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._pass_on(reader, writer, urlsplit(url).port or 0)
            writer.transport.abort()

        server = await asyncio.start_server(take, sock=listener, limit=16_384)
        async with server:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.close()
            for task in passing:
                task.cancel()
            await asyncio.gather(*passing, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        sent = 0

        async def answers() -> None:
            nonlocal sent
            while answer := await there.read(65_536):
                sent = 0
                writer.write(answer)

        answering = asyncio.create_task(answers())
        try:
            while piece := await reader.read(8_192):
                sent += len(piece)
                if sent > self.most:
                    self.breaks += 1
                    return
                if self.rate < float("inf"):
                    await asyncio.sleep(len(piece) / self.rate)
                back.write(piece)
                await back.drain()
        finally:
            answering.cancel()
            back.close()


async def test_uploader_when_a_link_breaks_off_long_sendings_then_batches_are_cut_until_they_pass(
    journal: Journal,
) -> None:
    """Rule: a batch that broke off three times in a row is halved; short ones pass, and nothing is sent for ever."""
    order, relay = Order(), Relay(most=90_000)
    await fill(journal, 1, readings=60_000)
    async with serving(order.app()) as url, relay.before(url) as slow, draining(journal, SystemClock(), slow):
        await until(lambda: len(order.readings()) == 60_000, bound_s=30)
    assert order.readings() == list(range(60_000))
    assert 3 <= relay.breaks <= 3 * 7
    assert max(map(len, order.bodies.values())) < 90_000


async def test_uploader_when_a_link_is_slow_then_a_batch_may_take_longer_than_the_timeout(journal: Journal) -> None:
    """Rule: the time limit is for standing still, not for the whole."""
    order, relay = Order(), Relay(rate=600_000)
    count = 150_000
    await journal.append([readings("imu", np.random.default_rng(1).uniform(-30, 30, (count, 6)))])
    await journal.run(journal.outbox.fill)
    patient = msgspec.structs.replace(ONE, timeout_s=2.0)
    async with serving(order.app()) as url, relay.before(url) as slow, draining(journal, SystemClock(), slow, patient):
        await until(lambda: len(order.came) == 1, bound_s=30)
    assert len(order.bodies[0]) > 2.5 * relay.rate
    assert len(order.readings()) == count
