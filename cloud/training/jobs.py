"""Training jobs as commands run them: data set, run of the tracker, model on disk."""

from pathlib import Path

from cloud.datasets.build import effort_from_files, effort_from_table, write_dataset
from cloud.datasets.card import DatasetCard
from cloud.datasets.rows import EffortRows
from cloud.settings import Layout
from cloud.training.artifacts import Artifacts, Trained
from cloud.training.effort import NAME, train_effort
from cloud.training.tracker import ExperimentTracker
from shared.clock import Clock


def effort_data(layout: Layout, files: list[Path]) -> tuple[EffortRows, DatasetCard]:
    """Return the effort rows of `files`, or of the features table when there are none, and write them as a data set."""
    rows, card = effort_from_files(files) if files else effort_from_table(layout)
    write_dataset(layout, rows, card)
    return rows, card


def run_effort(
    layout: Layout, clock: Clock, rows: EffortRows, data: DatasetCard, *, seed: int, track: bool = True
) -> Trained:
    """Train the effort model inside a run of the tracker.

    Raises: ModelIncompatible as `train_effort`.
    """
    if not track:
        return train_effort(rows, data, artifacts=Artifacts(layout), clock=clock, seed=seed)
    with ExperimentTracker(layout) as tracker:
        tracker.start_run(NAME, run_tags(data.reference, data.digest, data.feature_hash, seed))
        trained = train_effort(rows, data, artifacts=Artifacts(layout), clock=clock, seed=seed)
        tracker.log_parameters(trained.parameters)
        tracker.log_metrics(trained.card.metrics)
        tracker.log_metrics({f"baseline.{name}": value for name, value in trained.card.baseline.items()})
        tracker.save_model(trained.folder, NAME)
    return trained


def run_tags(data_set: str, data_digest: str, feature_hash: str, seed: int) -> dict[str, str]:
    """Return the tags that every run carries."""
    return {"data_set": data_set, "data_digest": data_digest, "feature_hash": feature_hash, "seed": str(seed)}
