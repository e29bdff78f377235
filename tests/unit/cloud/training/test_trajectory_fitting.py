"""Fitting: the same again to the bit, resumed or not; ended by time, NaN or no progress; settings by trial."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cloud.datasets.positions import Recording  # noqa: E402
from cloud.datasets.scenes import Scenes  # noqa: E402
from cloud.training.trajectory.fitting import Options, find_learning_rate, fit  # noqa: E402
from cloud.training.trajectory.lightning_model import rate  # noqa: E402
from cloud.training.trajectory.moments import Moments, of_recordings, of_scenes  # noqa: E402
from cloud.training.trajectory.settings import TrajectorySettings  # noqa: E402
from cloud.training.trajectory.split import Split  # noqa: E402
from cloud.training.trajectory.tune import tune  # noqa: E402
from cloud.training.trajectory.validation import SCORE, validation_errors  # noqa: E402
from shared.clock import ManualClock  # noqa: E402
from shared.errors import ConfigError, ModelIncompatible  # noqa: E402
from shared.features.field import FIELD_GRAPH  # noqa: E402

pytestmark = pytest.mark.train
SMALL = TrajectorySettings(
    width=16, layers=1, heads=2, edge_width=8, edge_values=2, batch=16, steps=8, max_minutes=5, validate_every=2
)
Make = Callable[..., Recording]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def moments(recording: Make) -> Moments:
    """Return the moments of one session."""
    return of_recordings([recording()])


def changed(**changes: object) -> TrajectorySettings:
    """Return the small settings but for some."""
    return msgspec.structs.replace(SMALL, **changes)


def test_fit_when_repeated_then_gives_the_same_weights(moments: Moments) -> None:
    """On a CPU the same seed and data give the same model to the bit; another seed another one."""
    first, second, other = (
        fit(moments, settings, ManualClock()).model.state_dict() for settings in (SMALL, SMALL, changed(seed=8))
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_fit_when_resumed_then_goes_on_as_if_never_stopped(moments: Moments, tmp_path: Path, accumulate: int) -> None:
    """Resumed halfway, with dropout, running mean and falling rate, a run ends at the same weights to the bit."""
    settings = changed(accumulate=accumulate, dropout=0.2, decoder="gmm")
    whole = fit(moments, settings, ManualClock(), options=Options(folder=tmp_path / "whole"), validation=moments)
    half = Options(folder=tmp_path / "half")
    with pytest.raises(_Interrupted):
        fit(moments, settings, ManualClock(), options=half, validation=moments, report=_interrupt_at(4))
    resumed = Options(folder=tmp_path / "half", resume_from=tmp_path / "half" / "last.ckpt")
    told: list[int] = []
    rest = fit(moments, settings, ManualClock(), options=resumed, validation=moments, report=_noted(told))
    assert told == [6, 8]
    assert rest.steps == whole.steps == 8
    last = [torch.load(tmp_path / name / "last.ckpt", weights_only=False) for name in ("whole", "half")]
    assert last[0]["global_step"] == last[1]["global_step"] == 8
    assert all(torch.equal(last[0]["state_dict"][name], last[1]["state_dict"][name]) for name in last[0]["state_dict"])


class _Interrupted(Exception):
    """Somebody pulled the plug."""


def test_fit_when_resumed_after_its_best_then_every_look_tries_its_patience_once(
    moments: Moments, tmp_path: Path
) -> None:
    """A run that is going nowhere ends at the same look, resumed or not, and keeps each checkpoint under one name."""
    settings = changed(learning_rate=3.0, gradient_clip=1e3, warm_up_steps=1, patience=2, steps=40, ema=0.0)
    whole = fit(moments, settings, ManualClock(), validation=moments)
    assert whole.steps == 6, [metrics[SCORE] for _, metrics in whole.found]
    with pytest.raises(_Interrupted):
        fit(
            moments, settings, ManualClock(), validation=moments, options=Options(folder=tmp_path),
            report=_interrupt_at(2),
        )  # fmt: skip
    resumed = Options(folder=tmp_path, resume_from=tmp_path / "last.ckpt")
    assert fit(moments, settings, ManualClock(), validation=moments, options=resumed).steps == whole.steps
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt", "step2.ckpt", "step4.ckpt", "step6.ckpt"}
    assert fit(moments, settings, ManualClock(), validation=moments, options=resumed).steps == whole.steps


def _noted(steps: list[int]) -> Callable[[int, object], None]:
    def report(now: int, _found: object) -> None:
        steps.append(now)

    return report


def _interrupt_at(step: int) -> Callable[[int, object], None]:
    def report(now: int, _found: object) -> None:
        if now > step:
            raise _Interrupted

    return report


def test_fit_when_checkpoint_is_none_then_says_so(moments: Moments, tmp_path: Path) -> None:
    """What cannot be resumed from is named: no file, half of one, other bytes, other tensors, another model's."""
    fit(moments, SMALL, ManualClock(), options=Options(folder=tmp_path))
    whole = (tmp_path / "last.ckpt").read_bytes()
    (tmp_path / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.ckpt").write_text("a")
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.ckpt")
    with zipfile.ZipFile(tmp_path / "zip.ckpt", "w") as file:
        file.writestr("a", "b")
    wrong = "is no checkpoint of a training, or is damaged"
    problems = {"gone": "no such file"} | dict.fromkeys(("half", "text", "other", "zip"), wrong)
    for name, problem in problems.items():
        with pytest.raises(ConfigError, match=rf"{name}\.ckpt: {problem}"):
            fit(moments, SMALL, ManualClock(), options=Options(resume_from=tmp_path / f"{name}.ckpt"))
    with pytest.raises(ConfigError, match=r"last\.ckpt: holds the weights of a model of another configuration"):
        fit(moments, changed(width=32), ManualClock(), options=Options(resume_from=tmp_path / "last.ckpt"))


def test_fit_when_time_is_over_then_stops(moments: Moments) -> None:
    """Fitting ends at the minute it was given, whatever steps are left."""

    class _Passing(ManualClock):
        def mono_ns(self) -> int:
            self.advance(1.0)
            return super().mono_ns()

    assert 1 <= fit(moments, changed(steps=10_000, max_minutes=0.2), _Passing()).steps < 10


def test_fit_when_loss_is_no_number_then_ends_with_a_clear_message(moments: Moments) -> None:
    """A run that diverged says at which step and what to try."""
    with pytest.raises(ModelIncompatible, match=r"training diverged: the loss is nan at step \d+; try a lower"):
        fit(moments, changed(learning_rate=1e30, gradient_clip=1e30, warm_up_steps=0), ManualClock())


def test_fit_when_nothing_gets_better_then_stops_early_and_returns_the_best(
    games: Callable[..., Scenes], tmp_path: Path
) -> None:
    """After `patience` looks without a better one fitting ends; the best weights are returned, the last ones kept."""
    scenes = games(count=12)
    moments = of_scenes(scenes, FIELD_GRAPH)
    settings = changed(inputs="field_graph@1", learning_rate=3.0, gradient_clip=1e3, patience=2, steps=400, ema=0.0)
    found = fit(moments, settings, ManualClock(), validation=moments, options=Options(folder=tmp_path))
    assert found.steps < 400
    scores = [metrics[SCORE] for _, metrics in found.found]
    assert validation_errors(found.model, moments)[SCORE] == pytest.approx(min(scores), rel=1e-4)
    assert len(list(tmp_path.glob("step*.ckpt"))) <= 3
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == found.steps


@pytest.mark.parametrize("backend", ["dense", "sparse"])
def test_fit_when_players_run_up_to_others_and_stop_then_beats_the_linear_forecast(
    games: Callable[..., Scenes], backend: str
) -> None:
    """In a few steps either backend learns something that no straight line knows."""
    moments = of_scenes(games(count=24, chase=True), FIELD_GRAPH)
    settings = changed(
        inputs="field_graph@1", stem="conv", backend=backend, steps=120, learning_rate=5e-3, warm_up_steps=5, ema=0.9,
        validate_every=40, likelihood_weight=0.0, point_weight=1.0, rotate=0.0, drop_graphs=0.0,
    )  # fmt: skip
    found = fit(moments, settings, ManualClock(), validation=moments)
    assert found.found[-1][1][SCORE] < 0.97


def test_fit_when_defence_plays_man_or_zone_then_the_head_learns_to_tell(games: Callable[..., Scenes]) -> None:
    """Who runs beside an attacker plays man, who stays plays zone: the coverage head learns it."""
    moments = of_scenes(games(count=24), FIELD_GRAPH)
    settings = changed(
        inputs="field_graph@1", stem="conv", coverage=True, decoder="gmm", steps=80, learning_rate=5e-3,
        warm_up_steps=5, ema=0.9, batch=32, drop_graphs=0.0,
    )  # fmt: skip
    model = fit(moments, settings, ManualClock()).model
    batch = moments.gather(np.arange(0, len(moments), 7))
    answer = model(batch.history, batch.role, batch.team, batch.mask)
    right = ((answer.coverage_logit > 0).float() == batch.coverage).float().mean()
    assert right > 0.86


def test_rate_when_run_goes_on_then_warms_up_stays_and_falls() -> None:
    """The rate rises over the warm-up, stays, and falls along a half cosine in the last part of the run."""
    settings = changed(warm_up_steps=10, decay=0.5)
    assert rate(0, 0.0, settings) == pytest.approx(0.1)
    assert rate(20, 0.5, settings) == pytest.approx(1.0)
    assert rate(20, 0.75, settings) == pytest.approx(0.51)
    assert rate(20, 1.0, settings) == pytest.approx(0.02)


def test_learning_rate_when_looked_for_then_is_usable(moments: Moments) -> None:
    """The finder proposes a rate between its ends, and leaves no file behind."""
    before = set(Path.cwd().iterdir())
    assert 1e-8 < find_learning_rate(moments, SMALL, ManualClock(), steps=30) < 1.0
    assert set(Path.cwd().iterdir()) == before


def test_tune_when_settings_are_bad_then_finds_better_ones(recording: Make) -> None:
    """The search starts from the given settings and returns what did best on the validation games."""
    parts = _parts(recording)
    bad = changed(learning_rate=1e-4, steps=200, validate_every=50, warm_up_steps=0)
    found = tune(parts, bad, ManualClock(), trials=4)
    assert found.learning_rate > bad.learning_rate
    same = {name: getattr(bad, name) for name in ("learning_rate", "weight_decay", "dropout")}
    assert msgspec.structs.replace(found, **same) == bad


def _parts(recording: Make) -> Split:
    fitting, calibration, test = (of_recordings([recording(seed=seed, seconds=20.0)]) for seed in (1, 2, 3))
    return Split(fitting=fitting, calibration=calibration, test=test, known=())
