"""The retraining job: what gateways sent becomes a signed model, in one process, once or again and again."""

from collections.abc import Callable

import msgspec

from cloud.pipeline.main import run_pipeline
from cloud.registry.release import open_repository, release
from cloud.registry.store import mark_released
from cloud.settings import CloudSettings, Layout
from cloud.training.artifacts import Artifacts, read_artifact
from cloud.training.jobs import effort_data, run_effort
from cloud.training.tabular.effort import EFFORT
from shared.clock import NS_PER_S, Clock
from shared.errors import SidelineError
from shared.log import FailureLog, get_logger
from shared.model_card import ModelCard
from shared.release import card_target

NAME = EFFORT.name


class Retrained(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one run did and the seconds each part took.

    `version` is None when there was nothing new to release: the data had been trained on before.
    """

    model: str
    version: str | None
    data_set_version: str
    data_digest: str
    rows: int
    pipeline_s: float
    trained_s: float
    released_s: float
    metrics: dict[str, float]
    baseline: dict[str, float]

    def sentence(self) -> str:
        """Return the run in one line."""
        if self.version is None:
            return f"{self.model}: nothing new in data set {self.data_set_version}"
        return (
            f"{self.model} {self.version} released: data set {self.data_set_version} with {self.rows} rows, "
            f"pipeline {self.pipeline_s:.1f} s, training {self.trained_s:.1f} s, release {self.released_s:.1f} s"
        )


def retrain_once(settings: CloudSettings, layout: Layout, clock: Clock, *, seed: int, track: bool = True) -> Retrained:
    """Run pipeline, data set, training and release; a data set that was trained on before is not trained on again.

    Raises: ModelIncompatible when there is too little data or the model is not better than its baseline; it is then
    saved and not released.
    """
    began_ns = clock.mono_ns()
    run_pipeline(layout, clock, session_gap_s=settings.session_gap_s, beam_options=[])
    piped_ns = clock.mono_ns()
    rows, data = effort_data(layout, clock, [])
    card = _trained_before(layout, data.digest, seed)
    if card is None:
        card = run_effort(layout, clock, rows, data, seed=seed, track=track).card
    trained_ns = clock.mono_ns()
    released = None
    # What was signed before stays as operators left it: they may have rolled it back.
    if open_repository(layout, clock).read(card_target(NAME, card.version)) is None:
        released = release(layout, clock, NAME, version=card.version)
        if track:
            mark_released(layout, released)
    return Retrained(
        model=NAME,
        version=released.version if released else None,
        data_set_version=data.version,
        data_digest=data.digest,
        rows=data.rows,
        pipeline_s=_seconds(began_ns, piped_ns),
        trained_s=_seconds(piped_ns, trained_ns),
        released_s=_seconds(trained_ns, clock.mono_ns()),
        metrics=card.metrics,
        baseline=card.baseline,
    )


def _trained_before(layout: Layout, digest: str, seed: int) -> ModelCard | None:
    """Return the card of the newest model if it was trained on these rows with this seed."""
    artifacts = Artifacts(layout)
    if not artifacts.versions(NAME):
        return None
    card = read_artifact(artifacts.folder(NAME, artifacts.newest(NAME)))
    return card if (card.data_digest, card.seed) == (digest, seed) else None


async def retrain_every(
    settings: CloudSettings,
    layout: Layout,
    clock: Clock,
    *,
    seconds: float,
    seed: int,
    track: bool,
    say: Callable[[Retrained], None],
) -> None:
    """Retrain, wait, and again, until cancelled. A run that fails is logged; the next may have the data it lacked."""
    failures = FailureLog(get_logger("retrain"), "retraining failed")
    while True:
        try:
            done = retrain_once(settings, layout, clock, seed=seed, track=track)
        except SidelineError as exc:
            failures.failed(str(exc))
        else:
            failures.recovered()
            say(done)
        await clock.sleep(seconds)


def _seconds(begin_ns: int, end_ns: int) -> float:
    return round((end_ns - begin_ns) / NS_PER_S, 3)
