"""Models off the event loop: every request is answered, swaps fall between runs, shadows change nothing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.inference.runner import Runner
from edge.inference.session import LoadedModel, load_model
from shared.clock import SystemClock
from tests.factories import effort_inputs, write_model


@pytest.fixture
def runner(system_clock: SystemClock) -> Iterator[Runner]:
    running = Runner(system_clock)
    yield running
    running.close()


def model(folder: Path, *, slope: float = 1.0, version: str = "1.0.0", body: str = "linear") -> LoadedModel:
    """Return a loaded model."""
    return load_model(write_model(folder / version, slope=slope, version=version, body=body))


async def ask(runner: Runner, *, fill: float = 1.0) -> float | None:
    """Return one prediction."""
    outputs = await runner.infer("effort", {"features": effort_inputs(1, fill=fill)})
    return None if outputs is None else float(outputs["prediction"][0, 0])


async def test_runner_when_there_is_no_model_then_there_is_no_answer(runner: Runner) -> None:
    """Rule: an empty slot answers None and counts nothing."""
    assert await ask(runner) is None
    assert runner.counts("effort") == (0, 0)
    assert runner.card("effort") is None


@pytest.mark.parametrize("body", ["linear", "slow"])
async def test_runner_when_models_are_swapped_under_load_then_every_request_is_answered(
    runner: Runner, tmp_path: Path, body: str
) -> None:
    """Rule: answered == requested over all swaps, each answer is wholly one version's, in order."""
    first = model(tmp_path, slope=1.0, version="1.0.0", body=body)
    second = model(tmp_path, slope=2.0, version="2.0.0")
    runner.activate(first)
    answers = []
    for request in range(120):
        answers.append(asyncio.create_task(ask(runner)))
        await asyncio.sleep(0)
        if request % 40 == 39:
            runner.activate(second if request % 80 == 39 else first)
    values = await asyncio.gather(*answers)
    assert runner.counts("effort") == (120, 120)
    assert values == [pytest.approx(13.0)] * 40 + [pytest.approx(26.0)] * 40 + [pytest.approx(13.0)] * 40


async def test_runner_when_a_shadow_runs_then_the_answers_do_not_change(runner: Runner, tmp_path: Path) -> None:
    """Rule: a shadow sees the same inputs; its outputs, its failures and its end change no answer."""
    runner.activate(model(tmp_path, slope=1.0, version="1.0.0"))
    before = [await ask(runner, fill=fill) for fill in (1.0, -1.0)]
    stats = runner.shadow(model(tmp_path, version="2.0.0", body="nan_below_zero"))
    beside = [await ask(runner, fill=fill) for fill in (1.0, -1.0)]
    assert beside == before
    assert (stats.runs, stats.failures) == (2, 1)
    assert list(stats.disagreement) == [0.0]
    runner.end_shadow("effort")
    assert [await ask(runner, fill=fill) for fill in (1.0, -1.0)] == before
    assert stats.runs == 2
    assert runner.counts("effort") == (6, 6)


async def test_runner_when_outputs_are_not_finite_then_there_is_no_answer_and_it_is_counted(
    runner: Runner, tmp_path: Path
) -> None:
    """Rule: a prediction that is no number is shown to nobody."""
    runner.activate(model(tmp_path, body="nan_below_zero"))
    assert await ask(runner) == pytest.approx(13.0)
    assert await ask(runner, fill=-1.0) is None
    stats = runner.stats("effort")
    assert stats is not None
    assert (stats.failures, stats.problem) == (1, "output is not a finite number on live data")
    assert runner.counts("effort") == (2, 1)


async def test_runner_when_an_output_has_another_shape_on_live_data_then_it_is_a_counted_failure(
    runner: Runner, tmp_path: Path
) -> None:
    """Rule: who asks gets the promised names and shapes or None; the count makes the gateway revert."""
    runner.activate(model(tmp_path, body="two_rows"))
    assert await runner.infer("effort", {"features": effort_inputs(2)}) is not None
    assert await ask(runner) is None
    stats = runner.stats("effort")
    assert stats is not None
    assert (stats.failures, stats.problem) == (1, "output prediction has shape (2, 1), not (1, 1)")


async def test_runner_when_inputs_do_not_fit_then_it_is_a_counted_failure_not_a_crash(
    runner: Runner, tmp_path: Path
) -> None:
    """Rule: what the runtime refuses is the model's failure; the gateway goes on."""
    runner.activate(model(tmp_path))
    assert await runner.infer("effort", {"features": np.zeros((1, 3), np.float32)}) is None
    assert await runner.infer("effort", {"other": np.zeros((1, 3), np.float32)}) is None
    stats = runner.stats("effort")
    assert stats is not None
    assert stats.failures == 2
    assert await ask(runner) == pytest.approx(13.0)


async def test_runner_when_the_active_model_is_replaced_then_another_versions_shadow_runs_on(
    runner: Runner, tmp_path: Path
) -> None:
    """Rule: a revert during a shadow run does not end the shadow; activating the shadow's version does."""
    runner.activate(model(tmp_path, version="2.0.0"))
    candidate = model(tmp_path, version="3.0.0")
    stats = runner.shadow(candidate)
    runner.activate(model(tmp_path, version="1.0.0"))
    await ask(runner)
    assert stats.runs == 1
    runner.activate(candidate)
    await ask(runner)
    assert stats.runs == 1


async def test_runner_when_a_slot_is_emptied_then_it_answers_no_more(runner: Runner, tmp_path: Path) -> None:
    """Rule: with nothing to go back to, no model answers."""
    runner.activate(model(tmp_path))
    runner.deactivate("effort")
    assert await ask(runner) is None
