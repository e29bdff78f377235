"""Bronze objects to coarse elements: one Arrow blob per (file, sensor), or a dead letter that says why not."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam.pvalue import TaggedOutput

from cloud.ingest.content import SUMMARY, decode_summary
from cloud.ingest.ledger import BronzeObject
from cloud.pipeline.blobs import arrived, pack
from cloud.pipeline.plan import Plan
from cloud.pipeline.sessions import Interval, intervals
from shared.batch import SessionSummary
from shared.errors import DecodeError
from shared.parquet_codec import decode_parquet
from shared.readings import Readings

BLOBS, EXTENTS, SUMMARIES, PROCESSED, DEAD = "blobs", "extents", "summaries", "processed", "dead"


def read_object(numbered: tuple[int, BronzeObject], plan: Plan) -> Iterator[Any]:
    """Yield what one object holds, tagged: blobs by (stream, sensor), extents and summaries by gateway, its record."""
    arrival, bronze = numbered
    record = {
        "gateway": bronze.gateway,
        "epoch": bronze.epoch,
        "batch_seq": bronze.seq,
        "content": bronze.content,
        "object": bronze.object,
        "sha256": bronze.sha256,
        "run": plan.run,
    }
    rows = 0
    try:
        body = _read_body(bronze, plan)
        if bronze.content == SUMMARY:
            yield TaggedOutput(SUMMARIES, (bronze.gateway, _summary(body)))
        else:
            blocks = decode_parquet(body)
            rows = sum(len(block) for block in blocks)
            yield from _blobs(blocks, bronze, arrival)
            yield TaggedOutput(EXTENTS, (bronze.gateway, _extent(blocks, plan.session_gap_ns)))
    except DecodeError as exc:
        yield TaggedOutput(DEAD, {**record, "reason": exc.reason})
    yield TaggedOutput(PROCESSED, {**record, "rows": rows, "received_ns": bronze.received_ns})


def _read_body(bronze: BronzeObject, plan: Plan) -> bytes:
    try:
        body = (Path(plan.objects_root) / bronze.object).read_bytes()
    except FileNotFoundError as exc:
        raise DecodeError("object is missing") from exc
    if hashlib.sha256(body).hexdigest() != bronze.sha256:
        raise DecodeError("object differs from its digest")
    return body


def _summary(body: bytes) -> SessionSummary:
    return decode_summary(body)


def _blobs(blocks: list[Readings], bronze: BronzeObject, arrival: int) -> Iterator[Any]:
    by_sensor: dict[tuple[str, str], list[pa.Table]] = defaultdict(list)
    for block in blocks:
        rows = arrived(block, gateway=bronze.gateway, epoch=bronze.epoch, batch_seq=bronze.seq, arrival=arrival)
        by_sensor[block.stream, block.sensor].append(rows)
    for key, tables in by_sensor.items():
        yield TaggedOutput(BLOBS, (key, pack(pa.concat_tables(tables).combine_chunks())))


def _extent(blocks: list[Readings], gap_ns: int) -> list[Interval]:
    if not blocks:
        return []
    return intervals(np.concatenate([block.time_ns for block in blocks]), gap_ns)
