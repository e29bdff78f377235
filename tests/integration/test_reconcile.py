"""What was uploaded is compared with what the cloud holds, and sent again where it differs."""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fastapi import FastAPI, Request, Response

from shared.batch import EpochState, Receipt, Reconcile, Reconciled, StreamHour
from shared.errors import BatchRefused
from shared.readings import Readings
from tests.factories import heart_rates, positions
from tests.integration.cloud_server import Gateway, gateway, running_cloud, serving
from tests.tools import until


def walk(count: int = 300) -> Readings:
    return positions(np.random.default_rng(7).uniform(0, 60, (count, 2)))


async def test_session_when_the_cloud_agrees_then_it_is_so_noted_and_not_before(tmp_path: Path) -> None:
    """Rule: a receipt for every batch is not enough; both sides must have counted the same."""
    async with running_cloud(tmp_path) as cloud, gateway(tmp_path / "a", cloud.url, cloud.token) as one:
        await one.journal.append([walk(), heart_rates([60, 61, 62])])
        await one.all_sent()
        await one.reconciler.look(one.client)
        assert not await one.is_agreed()
        await one.reconciler.look(one.client)
        assert await one.is_agreed()
        assert (one.reconciler.status.up, one.reconciler.counts.agreed) == (True, 2)
        await one.journal.append([positions([[1.0, 2.0]], first=1000)])
        await one.all_sent()
        assert not await one.is_agreed()
        await one.compare()
        assert await one.is_agreed()


@pytest.mark.parametrize("damage", ["gone", "short"])
async def test_session_when_an_object_is_lost_in_the_cloud_then_its_readings_are_sent_again(
    tmp_path: Path, damage: str
) -> None:
    """Rule: also what was agreed to is compared again while it is kept here; then the cloud has each reading again."""
    block = walk()
    async with running_cloud(tmp_path) as cloud, gateway(tmp_path / "a", cloud.url, cloud.token) as one:
        await one.journal.append([block])
        await one.all_sent()
        await one.compare()
        (path,) = (cloud.layout.objects / "bronze").rglob("*.parquet")
        if damage == "gone":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-1])
    async with running_cloud(tmp_path) as cloud, gateway(tmp_path / "a", cloud.url, cloud.token) as one:
        assert await one.is_agreed()
        await one.reconciler.look(one.client)
        assert not await one.is_agreed()
        await one.all_sent()
        await one.compare()
        assert await one.is_agreed()
        assert one.reconciler.counts.resent == len(block)
        assert sorted(number for *_, number in cloud.identities()) == block.sequence.tolist()


async def is_complete(one: Gateway) -> bool:
    (session,) = await one.journal.sessions()
    return session.complete


async def test_session_when_it_is_over_then_it_is_complete_for_as_long_as_the_cloud_has_all_of_it(
    tmp_path: Path,
) -> None:
    """Rule: not while it may go on, not by receipts alone, and not while an object is missing there."""
    block = walk()
    async with running_cloud(tmp_path) as cloud, gateway(tmp_path / "a", cloud.url, cloud.token) as one:
        await one.journal.append([block])
        await one.all_sent()
        await one.compare()
        assert await one.is_agreed()
        assert not await is_complete(one), "it may go on"
        await one.journal.run(lambda: one.journal._tail.seal(goes_on=False))
        assert await is_complete(one)
        await one.journal.run(one.journal.tallies.disagree, await one.journal.run(one.journal.tallies.kept))
        assert not await is_complete(one), "receipts are not enough"
        await one.compare()
        assert await is_complete(one)
        (path,) = (cloud.layout.objects / "bronze").rglob("*.parquet")
        path.unlink()
    async with running_cloud(tmp_path) as cloud, gateway(tmp_path / "a", cloud.url, cloud.token) as one:
        assert await is_complete(one), "as far as it was compared"
        await one.reconciler.look(one.client)
        assert not await is_complete(one)
        await one.all_sent()
        assert not await is_complete(one)
        await one.compare()
        assert await is_complete(one)
        assert sorted(number for *_, number in cloud.identities()) == block.sequence.tolist()
        kept = await one.journal.keep(keep_ns=-(10**18), pressed=False, has_cloud=True)
        assert kept == 1


async def test_readings_when_they_were_sent_twice_then_the_cloud_agrees_all_the_same(tmp_path: Path) -> None:
    """Rule: what the cloud has twice is no difference."""
    async with running_cloud(tmp_path) as cloud, gateway(tmp_path / "a", cloud.url, cloud.token) as one:
        block = walk()
        await one.journal.append([block])
        await one.all_sent()
        assert await one.journal.run(one.journal.outbox.refill, "position", 0, 2**62) == len(block)
        await one.all_sent()
        await one.compare()
        assert await one.is_agreed()
        assert len(cloud.identities()) == 2 * len(block)
        assert one.reconciler.counts.resent == 0


@dataclass
class Forgetful:
    """In the cloud's place: takes everything and holds nothing of it, or does not know the question."""

    knows: bool = True
    taken: int = 0
    asked: list[StreamHour] = field(default_factory=list)

    def app(self) -> FastAPI:
        """Return the server's application."""
        app = FastAPI()

        @app.put("/v1/gateways/gw-1/batches/{epoch}/{seq}")
        async def put(epoch: str, seq: int, request: Request) -> Response:
            assert await request.body()
            self.taken += 1
            receipt = Receipt(status="stored", seq=seq, contiguous_seq=seq, server_ns=0, accepted=1)
            return Response(msgspec.json.encode(receipt), status_code=201)

        @app.get("/v1/gateways/gw-1/epochs/{epoch}")
        async def state(epoch: str) -> Response:
            return Response(msgspec.json.encode(EpochState(epoch=epoch, contiguous_seq=-1, stored=0)))

        if self.knows:

            @app.post("/v1/gateways/gw-1/reconcile")
            async def reconcile(request: Request) -> Response:
                asked = msgspec.json.decode(await request.body(), type=Reconcile)
                self.asked += asked.tallies
                differing = [msgspec.structs.replace(line, count=0, digest=0) for line in asked.tallies]
                return Response(msgspec.json.encode(Reconciled(differing=differing)))

        return app


async def test_readings_when_the_cloud_never_holds_them_then_two_rounds_and_words_for_people(tmp_path: Path) -> None:
    """Rule: what differs after two rounds is told and counted; it is asked for again, but not sent again."""
    cloud = Forgetful()
    block = walk(30)
    async with serving(cloud.app()) as url, gateway(tmp_path / "a", url, "token") as one:
        await one.journal.append([block])
        for _ in range(5):
            await one.all_sent()
            await one.compare()
        counts = one.reconciler.counts
        assert (cloud.taken, counts.resent, counts.given_up) == (3, 60, 1)
        assert not one.reconciler.status.up
        assert "position of 2026-09-21 14:00 UTC" in str(one.reconciler.status.problem)
        assert "30 readings are missing" in str(one.reconciler.status.problem)
        assert not await one.is_agreed()


async def test_readings_when_they_change_between_two_looks_then_they_are_not_asked_for_yet(tmp_path: Path) -> None:
    """Rule: a stream-hour that still grows is left alone."""
    cloud = Forgetful()
    async with serving(cloud.app()) as url, gateway(tmp_path / "a", url, "token") as one:
        for n in range(3):
            await one.journal.append([positions([[1.0, 2.0]], first=n)])
            await one.all_sent()
            await one.reconciler.look(one.client)
        assert cloud.asked == []
        await one.reconciler.look(one.client)
        assert [line.count for line in cloud.asked] == [3]


async def test_cloud_when_it_cannot_compare_then_the_link_says_so(tmp_path: Path) -> None:
    """Rule: an older cloud is told to people, and nothing is agreed."""
    cloud = Forgetful(knows=False)
    async with serving(cloud.app()) as url, gateway(tmp_path / "a", url, "token") as one:
        await one.journal.append([walk(5)])
        await one.all_sent()
        await one.reconciler.look(one.client)
        with pytest.raises(BatchRefused):
            await one.reconciler.look(one.client)
        assert not await one.is_agreed()
        await until(lambda: one.uploader.status.up)
