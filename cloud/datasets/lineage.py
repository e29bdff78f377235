"""Lineage: which data sets were made from what, as OpenLineage events, one JSON object a line of a file."""

import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    InputDatasetFacet,
    data_quality_assertions_dataset,
    dataset_version_dataset,
    error_message_run,
    output_statistics_output_dataset,
)
from openlineage.client.serde import Serde

from cloud.datasets.card import DatasetCard
from cloud.datasets.validate.report import ValidationReport
from cloud.datasets.validate.rules import RULES
from cloud.settings import Layout
from shared.clock import NS_PER_S, Clock

NAMESPACE = "sideline"
PRODUCER = "urn:sideline:cloud"


@dataclass(slots=True)
class Outcome:
    """What a job read and made; its body fills in what is not known before."""

    inputs: list[InputDataset] = field(default_factory=list)
    outputs: list[OutputDataset] = field(default_factory=list)

    def made(self, card: DatasetCard) -> None:
        """Say that the job made this data set."""
        version = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=f"{card.version}-{card.digest}")
        counted = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=card.rows)
        self.outputs.append(
            OutputDataset(
                namespace=NAMESPACE,
                name=card.name,
                facets={"version": version},
                outputFacets={"outputStatistics": counted},
            )
        )


class Lineage:
    """Appends events to `<cloud folder>/lineage/events.jsonl`."""

    def __init__(self, layout: Layout, clock: Clock) -> None:
        self.path = layout.root / "lineage" / "events.jsonl"
        self._clock = clock

    @contextmanager
    def job(self, name: str, inputs: Sequence[InputDataset]) -> Iterator[Outcome]:
        """Write the start of a job and its end: complete with what the body made, or failed with why."""
        job, run, outcome = Job(namespace=NAMESPACE, name=name), Run(runId=str(uuid.uuid4())), Outcome([*inputs])
        self._write(RunState.START, run, job, inputs, [])
        try:
            yield outcome
        finally:
            fault = sys.exception()
            if fault is not None:
                why = error_message_run.ErrorMessageRunFacet(message=str(fault), programmingLanguage="python")
                run = Run(runId=run.runId, facets={"errorMessage": why})
            state = RunState.COMPLETE if fault is None else RunState.FAIL
            self._write(state, run, job, outcome.inputs, outcome.outputs if fault is None else [])

    def _write(
        self, state: RunState, run: Run, job: Job, inputs: Sequence[InputDataset], outputs: Sequence[OutputDataset]
    ) -> None:
        at = datetime.fromtimestamp(self._clock.utc_ns() / NS_PER_S, UTC)
        event = RunEvent(
            eventTime=at.isoformat(),
            eventType=state,
            run=run,
            job=job,
            inputs=list(inputs),
            outputs=list(outputs),
            producer=PRODUCER,
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(Serde.to_json(event) + "\n")


def from_files(files: Sequence[str], validation: ValidationReport | None) -> list[InputDataset]:
    """Return files as inputs, each with the rules it was held to and whether it kept them."""
    reports = {} if validation is None else {report.file: report for report in validation.files}
    inputs = []
    for file in files:
        facets: dict[str, InputDatasetFacet] = {}
        if file in reports:
            held = [
                data_quality_assertions_dataset.Assertion(
                    assertion=rule.name, success=rule.name not in reports[file].broken
                )
                for rule in RULES.values()
            ]
            facets["dataQualityAssertions"] = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
                assertions=held
            )
        inputs.append(InputDataset(namespace="file", name=file, inputFacets=facets))
    return inputs


def from_table(table: str, version: str) -> InputDataset:
    """Return one version of a table as an input."""
    facet = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=version)
    return InputDataset(namespace=NAMESPACE, name=table, facets={"version": facet})
