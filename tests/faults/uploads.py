"""Rows 4 and 5: batches on their way to the cloud through a faulty network, killed clients and killed servers."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cloud.ingest.ledger import Ledger
from tests.faults.arm import Outcome
from tests.faults.forkserver import Child, ForkServer
from tests.faults.http_faults import HttpFaults
from tests.faults.ingest import Ingest
from tests.faults.numbered import cloud_readings, differences, journal_readings
from tests.faults.places import in_memory
from tests.faults.programs import FAILPOINTS
from tests.faults.uploading import DONE, GATEWAY, acknowledged, receipts

_SHARE = 0.3
_MORE = 0.5
"""Of so few requests as the control has."""
_LIFE_REQUESTS = 20
"""A client is killed in a random one of its first so many requests: after ten batches, on average."""
_STUCK_S = 300.0


@dataclass
class _Client:
    """The client's folder and its process of the moment."""

    server: ForkServer
    folder: Path
    token: str
    batches: int
    kind: str
    child: Child | None = None

    def start(self, url: str) -> None:
        """Start it, on its folder as it is."""
        words = [str(self.folder), url, self.token, str(self.batches), self.kind]
        self.child = self.server.start("client", words, self.folder / "client.log")

    def ended(self) -> bool:
        """Return whether every batch has a receipt; a client that failed is an error."""
        assert self.child is not None
        if self.child.poll() not in (None, 0, -9):
            raise RuntimeError((self.folder / "client.log").read_text()[-800:])
        return (self.folder / DONE).exists()


def upload_through_faults(count: int, seed: int, folder: Path) -> Outcome:
    """Upload `count` batches through a faulty proxy while the client is killed every ten batches or so."""
    with in_memory(folder) as place:
        return asyncio.run(_upload(count, seed, place, kind="real"))


def upload_naively(count: int, seed: int, folder: Path) -> Outcome:
    """Do the same with an uploader whose every attempt is a batch of its own."""
    with in_memory(folder) as place:
        return asyncio.run(_upload(count, seed, place, kind="naive"))


async def _upload(count: int, seed: int, folder: Path, *, kind: str) -> Outcome:
    rng = random.Random(seed)
    kills = 0
    with ForkServer() as server:
        ingest = Ingest(server, folder)
        token = ingest.enrol(GATEWAY)
        ingest.start()
        client = _Client(server, folder, token, count, kind)
        async with (
            HttpFaults(ingest.port, rng, share=_MORE if kind == "naive" else _SHARE) as proxy,
            asyncio.timeout(_STUCK_S + count),
        ):
            while True:
                client.start(f"http://127.0.0.1:{proxy.port}")
                last = proxy.faults.total() + rng.randint(1, _LIFE_REQUESTS)
                await _until(lambda: client.ended() or proxy.faults.total() >= last)  # noqa: B023
                await asyncio.sleep(rng.uniform(0.0, 0.03))
                if client.ended():
                    break
                assert client.child is not None
                await asyncio.to_thread(client.child.kill)
                kills += 1
        failures = _compare(f"seed {seed}", ingest, folder)
        ingest.kill()
    faults = Counter(proxy.faults)
    del faults["none"]
    notes = {"kills of the client": float(kills), "faulty requests": float(faults.total())}
    return Outcome(tried=count, failures=failures, notes=notes)


def kill_server(count: int, seed: int, folder: Path) -> Outcome:
    """Let the server end itself `count` times, at each failpoint in turn, while the client uploads."""
    rng = random.Random(seed)
    with in_memory(folder) as place:
        return asyncio.run(_kill_server(count, seed, place, lambda n: FAILPOINTS[n % len(FAILPOINTS)], rng))


def kill_hasty_server(count: int, seed: int, folder: Path) -> Outcome:
    """Do the same to a server that answers before it commits."""
    with in_memory(folder) as place:
        return asyncio.run(_kill_server(count, seed, place, lambda _: "hasty", random.Random(seed)))


async def _kill_server(count: int, seed: int, folder: Path, point: Callable[[int], str], rng: random.Random) -> Outcome:
    batches = 3 * count + 60
    with ForkServer() as server:
        ingest = Ingest(server, folder)
        client = _Client(server, folder, ingest.enrol(GATEWAY), batches, "real")
        met: Counter[str] = Counter()
        ingest.start_fused(point(0), rng.randint(1, 3))
        client.start(ingest.url)
        async with asyncio.timeout(_STUCK_S + count):
            while met.total() < count and not client.ended():
                assert ingest.child is not None
                if ingest.child.poll() is not None:
                    met[point(met.total())] += 1
                    if met.total() < count:
                        ingest.start_fused(point(met.total()), rng.randint(1, 3))
                await asyncio.sleep(0.01)
            ingest.kill()
            ingest.start()
            await _until(client.ended)
        failures = _compare(f"seed {seed}", ingest, folder)
        ingest.kill()
    notes = {f"killed {name}": float(number) for name, number in met.items()} | {"batches": float(batches)}
    return Outcome(tried=met.total(), failures=failures, notes=notes)


async def _until(state: Callable[[], bool]) -> None:
    while not state():
        await asyncio.sleep(0.005)


def _compare(name: str, ingest: Ingest, folder: Path) -> list[str]:
    """Return what is wrong: between what was acknowledged, the journal, the receipts and the cloud."""
    wanted = acknowledged(folder)
    journal = journal_readings(folder / "gateway.sqlite")
    in_cloud, wrong = cloud_readings(ingest.layout)
    words = differences(name, wanted, journal, where="in the journal")
    words += differences(name, set(journal), in_cloud, where="in the cloud")
    ledger = Ledger(ingest.layout.ledger)
    stored = {(row.seq, row.sha256) for row in ledger.bronze()}
    ledger.close()
    told = receipts(folder / "gateway.sqlite")
    received = {batch for batch, receipt in told.items() if receipt in ("stored", "duplicate")}
    if lacking := received - stored:
        words.append(f"{name}: {len(lacking)} batches have a receipt and stand in no ledger, first {min(lacking)}")
    if aside := {batch: receipt for batch, receipt in told.items() if batch not in received}:
        words.append(f"{name}: {len(aside)} batches were set aside, first {next(iter(aside.items()))}")
    return words + [f"{name}: {problem}" for problem in wrong]
