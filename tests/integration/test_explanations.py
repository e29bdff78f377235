"""What a model leans on, asked of a whole gateway over HTTP: session restored, the shipped effort model in its slot."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest

from edge.app import Gateway
from edge.messages import Explanation
from edge.release.slots import Slot
from edge.settings import load
from edge.store.journal import Journal
from shared.clock import ManualClock
from shared.features.athlete import ATHLETE_EFFORT
from shared.model_card import read_card
from tests.factories import ATHLETE, START_NS, positions
from tests.tools import BOUND_S, ROOT

SHIPPED = ROOT / "deployment" / "models" / "effort"
SECONDS = 120


async def store_run(data: Path, clock: ManualClock) -> None:
    """Store two minutes at 3 m/s, as an earlier run of the gateway."""
    journal = Journal.open(data / "gateway.sqlite", clock, max_bytes=64 * 1024 * 1024)
    steps = np.arange(SECONDS * 10)
    await journal.append([positions(np.column_stack((steps * 0.3, steps * 0.0)))])
    journal.close()


def install(data: Path) -> None:
    """Put the shipped model where the gateway looks for what ran before."""
    version = read_card(SHIPPED / "card.json").version
    shutil.copytree(SHIPPED, data / "models" / "effort" / version)
    slot = Slot(name="effort", state="active", active=version, active_since_ns=1)
    (data / "models" / "slots.json").write_bytes(msgspec.json.encode([slot]))


@pytest.fixture
async def gateway(gateway_file: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = load(gateway_file)
    clock, data = ManualClock(utc_ns=START_NS), Path(settings.data_dir)
    install(data)
    await store_run(data, clock)
    clock.advance(SECONDS)
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with Gateway(settings, clock, sources=[]) as running:
        task = asyncio.create_task(running.run(ready.set_result), name="gateway")
        async with asyncio.timeout(BOUND_S):
            url = await ready
        async with httpx.AsyncClient(base_url=url) as client:
            yield client
        task.cancel()
        await asyncio.wait([task])


async def test_explanation_when_asked_of_a_gateway_then_it_names_every_input(gateway: httpx.AsyncClient) -> None:
    """Rule: the shipped model can be explained for whoever was seen for long enough; others get the reason."""
    async with asyncio.timeout(BOUND_S):
        while (answer := await gateway.get(f"/api/athletes/{ATHLETE}/models/effort/explanation")).status_code == 409:
            await asyncio.sleep(0.05)  # the session so far is read back beside the page
    assert answer.status_code == 200, answer.text
    found = msgspec.json.decode(answer.content, type=Explanation)
    assert (found.athlete, found.model, found.unit) == (ATHLETE, "effort", "bpm")
    assert {part.feature for part in found.parts} == {name for name, _ in ATHLETE_EFFORT.features}
    assert {part.words for part in found.parts} == set(ATHLETE_EFFORT.words)
    assert 60 < found.answer < 190
    assert START_NS < found.time_ns <= found.sent_ns
    (leaning, *_) = found.parts
    assert leaning.contribution != 0
    strangers = (f"/api/athletes/{path}/explanation" for path in ("a99/models/effort", f"{ATHLETE}/models/trajectory"))
    for path in (*strangers, "/api/nonesuch"):
        missing = await gateway.get(path)
        assert (missing.status_code, list(missing.json())) == (404, ["problem"])
