"""Training jobs as commands run them: data set, run of the tracker, model on disk."""

from pathlib import Path

from cloud.datasets.build import EFFORT_TABLE, effort_from_files, effort_from_table, write_dataset
from cloud.datasets.card import DatasetCard
from cloud.datasets.lineage import Lineage, from_files, from_table
from cloud.datasets.rows import EffortRows
from cloud.datasets.task_rows import TaskRows
from cloud.settings import Layout
from cloud.training.artifacts import Artifacts, Trained
from cloud.training.tabular.effort import EFFORT, task_rows
from cloud.training.tabular.road import EXPLANATION_FILE, train
from cloud.training.tabular.sources import read_source
from cloud.training.tabular.task import Task
from cloud.training.tracker import ExperimentTracker
from shared.clock import Clock


def effort_data(layout: Layout, clock: Clock, files: list[Path]) -> tuple[EffortRows, DatasetCard]:
    """Return the effort rows of `files`, or of the features table when there are none, and write them as a data set.

    What came from what is written down.
    """
    with Lineage(layout, clock).job("dataset effort", from_files([str(file) for file in files], None)) as outcome:
        rows, card = effort_from_files(files) if files else effort_from_table(layout)
        if not files:  # which version it was is known once it has been read
            outcome.inputs.append(from_table(EFFORT_TABLE, card.version))
        write_dataset(layout, rows, card)
        outcome.made(card)
    return rows, card


def task_data(layout: Layout, clock: Clock, name: str, files: list[Path]) -> tuple[Task, TaskRows, DatasetCard]:
    """Return a task with its rows out of `files`, and write down what came from what.

    Raises: ConfigError naming the file and what is wrong with it.
    """
    inputs = from_files([str(file) for file in files], None)
    with Lineage(layout, clock).job(f"dataset {name}", inputs) as outcome:
        source, rows, card = read_source(name, files)
        outcome.made(card)
    return source.task, rows, card


def run_effort(
    layout: Layout,
    clock: Clock,
    rows: EffortRows,
    data: DatasetCard,
    *,
    seed: int,
    track: bool = True,
    explain: bool = False,
) -> Trained:
    """Train the effort model inside a run of the tracker.

    Raises: ModelIncompatible as `train`.
    """
    return run_task(layout, clock, EFFORT, task_rows(rows), data, seed=seed, track=track, explain=explain)


def run_task(
    layout: Layout,
    clock: Clock,
    task: Task,
    rows: TaskRows,
    data: DatasetCard,
    *,
    seed: int,
    track: bool,
    explain: bool,
) -> Trained:
    """Train a model on tables, inside a run of the tracker unless told otherwise.

    Raises: ModelIncompatible as `train`.
    """
    if not track:
        return train(task, rows, data, artifacts=Artifacts(layout), clock=clock, seed=seed, explain=explain)
    with ExperimentTracker(layout, clock) as tracker:
        tracker.start_run(task.name, run_tags(data.reference, data.digest, data.feature_hash, seed))
        trained = train(task, rows, data, artifacts=Artifacts(layout), clock=clock, seed=seed, explain=explain)
        tracker.log_parameters(trained.parameters)
        tracker.log_metrics(trained.card.metrics)
        tracker.log_metrics({f"baseline.{name}": value for name, value in trained.card.baseline.items()})
        if explain:
            tracker.log_artifact(trained.folder / EXPLANATION_FILE)
        tracker.save_model(trained.folder, task.name)
    return trained


def run_tags(data_set: str, data_digest: str, feature_hash: str, seed: int) -> dict[str, str]:
    """Return the tags that every run carries."""
    return {"data_set": data_set, "data_digest": data_digest, "feature_hash": feature_hash, "seed": str(seed)}
