"""What a model's present answer about one athlete leans on: the shipped effort model, live rows, the route."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest
from fastapi import FastAPI

from edge.inference.runner import Runner
from edge.inference.session import load_model
from edge.messages import Explanation
from edge.pipeline.explaining import Explaining
from edge.pipeline.live import Live
from edge.pipeline.roster import Wearers
from edge.settings import SessionSettings
from edge.ui.explanations import ExplanationOf, add_explanations
from shared.clock import NS_PER_S, ManualClock
from shared.errors import ConfigError, ModelError
from shared.features import athlete as effort
from shared.features.athlete import ATHLETE_EFFORT
from shared.ids import AthleteId
from tests.factories import ATHLETE, START_NS, heart_rates, positions, roster, write_model
from tests.tools import ROOT, settled

SHIPPED = ROOT / "deployment" / "models" / "effort"


class Parts:
    """The live path with its models, and what explains them."""

    def __init__(self) -> None:
        self.clock = ManualClock(utc_ns=START_NS)
        self.runner = Runner(self.clock)
        self.live = Live(Wearers(roster(2)), SessionSettings(), [], self.runner, self.clock)
        self.explaining = Explaining(self.live, self.runner, self.clock)

    def run(self, seconds: int, *, speed_mps: float = 3.0) -> None:
        """Let the first athlete run straight on for so long, and the windows close."""
        steps = np.arange(seconds * 10)
        self.live.take([positions(np.column_stack((steps * speed_mps / 10, steps * 0.0)))])
        self.clock.advance(seconds + 2.0)
        self.live.refresh()

    async def reason(self, model: str = "effort") -> str:
        """Return why there is nothing to explain of the first athlete."""
        with pytest.raises(ModelError) as raised:
            await self.explaining.explanation(ATHLETE, model)
        return raised.value.reason


@pytest.fixture
def parts() -> Iterator[Parts]:
    made = Parts()
    yield made
    made.runner.close()


async def test_explanation_when_an_athlete_runs_then_it_is_of_the_answer_on_the_tile(parts: Parts) -> None:
    """Rule: explained is the answer that is shown, from the same row; every input is named, with value and unit."""
    parts.runner.activate(load_model(SHIPPED))
    parts.run(120)
    await parts.live.expect_effort()
    found = await parts.explaining.explanation(ATHLETE, "effort")
    assert found.answer == parts.live.athletes[ATHLETE].effort_bpm
    row = effort.row(parts.live.athletes[ATHLETE].effort_state)
    assert row is not None
    assert (found.time_ns, found.unit, found.version) == (row.time_ns, "bpm", load_model(SHIPPED).card.version)
    told = {part.feature: (part.value, part.unit) for part in found.parts}
    assert told == {
        name: (pytest.approx(value, abs=1e-3), unit)
        for (name, unit), value in zip(ATHLETE_EFFORT.features, row.values.tolist(), strict=True)
    }
    words = {part.feature: part.words for part in found.parts}
    assert words["speed_mean_60s"] == "Speed over about 60 s"
    assert words["hr_rest"] == "Resting heart rate"
    sizes = [abs(part.contribution) for part in found.parts]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1.0


async def test_explanation_when_asked_then_it_counts_as_no_run(parts: Parts) -> None:
    """Rule: a model is judged by its live answers alone: an explanation that fails makes nobody revert it."""
    parts.runner.activate(load_model(SHIPPED))
    parts.run(120)
    await parts.explaining.explanation(ATHLETE, "effort")
    assert parts.runner.counts("effort") == (0, 0)


async def test_explanation_when_there_is_no_row_then_it_says_why(parts: Parts, tmp_path: Path) -> None:
    """Rule: what the model is not asked is not explained either."""
    parts.runner.activate(load_model(SHIPPED))
    assert "once positions have come for 60 s" in await parts.reason()
    parts.run(120)
    silent_ns = START_NS + np.arange(120, 180) * NS_PER_S
    parts.live.take([heart_rates([150] * 60, times_ns=silent_ns)])
    parts.clock.advance(60.0)
    parts.live.refresh()
    assert "too few positions" in await parts.reason()
    parts.runner.activate(load_model(write_model(tmp_path / "m", ranges={"speed_mean_5s": (9.0, 10.0)})))
    parts.live.begin_session()
    parts.run(120)
    assert "not fitted on movement like this" in await parts.reason()


async def test_explanation_when_the_model_brings_no_background_then_it_says_so(parts: Parts, tmp_path: Path) -> None:
    """Rule: without rows to compare with there is no explanation, and the model answers on."""
    parts.runner.activate(load_model(write_model(tmp_path / "m")))
    parts.run(120)
    assert "brings no background rows along" in await parts.reason()


async def test_explanation_when_athlete_or_model_is_unknown_then_it_is_not_found(parts: Parts) -> None:
    """Rule: who is not on the roster, and what does not run, cannot be asked for."""
    for model in ("effort", "nonesuch"):
        with pytest.raises(ConfigError, match=f"no model {model} is active"):
            await parts.explaining.explanation(ATHLETE, model)
    with pytest.raises(ConfigError, match="no such athlete"):
        await parts.explaining.explanation(AthleteId("a99"), "effort")


ANSWER = Explanation(
    athlete="a01", model="effort", version="1.0.1", sent_ns=2, time_ns=1, answer=151.0, unit="bpm", parts=[]
)


@asynccontextmanager
async def page(explanation_of: ExplanationOf) -> AsyncIterator[httpx.AsyncClient]:
    """Ask the route alone."""
    app = FastAPI()
    add_explanations(app, explanation_of)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        yield client


async def test_explanations_page_when_asked_then_the_answer_or_the_reason_is_json() -> None:
    """Rule: 404 for who or what is not here, 409 with a sentence where there is nothing to explain."""

    async def of(athlete: AthleteId, model: str) -> Explanation:
        if athlete != ATHLETE:
            raise ConfigError("athlete", "no such athlete")
        if model != "effort":
            raise ModelError(f"{model} does not answer row by row")
        return ANSWER

    async with page(of) as client:
        found = await client.get("/api/athletes/a01/models/effort/explanation")
        assert msgspec.json.decode(found.content, type=Explanation) == ANSWER
        for stranger in ("a99", "a%20b!"):
            assert (await client.get(f"/api/athletes/{stranger}/models/effort/explanation")).status_code == 404
        refused = await client.get("/api/athletes/a01/models/trajectory/explanation")
        assert (refused.status_code, refused.json()) == (409, {"problem": "trajectory does not answer row by row"})


async def test_explanations_page_when_many_ask_at_once_then_they_take_turns_and_the_line_ends() -> None:
    """Rule: one at a time, so that live answers never wait for two; each in turn, so that no page starves another."""
    go_on, at_once, most = asyncio.Event(), 0, 0

    async def of(_athlete: AthleteId, _model: str) -> Explanation:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await go_on.wait()
        at_once -= 1
        return ANSWER

    async with page(of) as client:
        address = "/api/athletes/a01/models/effort/explanation"
        waiting = [asyncio.create_task(client.get(address)) for _ in range(8)]
        await settled()
        ninth = await client.get(address)
        assert (ninth.status_code, ninth.headers["retry-after"]) == (503, "1")
        go_on.set()
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 8
        assert most == 1
        assert (await client.get(address)).status_code == 200
