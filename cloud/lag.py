"""How long readings took from the sensor to the cloud, from the tables alone."""

import msgspec
import numpy as np
import pyarrow as pa

from cloud.pipeline.tables import OBJECTS, open_table, read_table, readings_table
from cloud.settings import Layout
from shared.clock import NS_PER_S
from shared.quantities import STREAMS

_BATCH = ["gateway", "epoch", "batch_seq"]


class Arrival(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Readings in the tables, and percentiles of the seconds from each reading's time to its batch's receipt."""

    readings: int
    p50_s: float | None
    p99_s: float | None


def arrival(layout: Layout) -> Arrival:
    """Measure every reading in the tables.

    Raises: StoreError when the tables cannot be read.
    """
    root = str(layout.tables)
    received = read_table(root, OBJECTS, open_table(root, OBJECTS).version(), columns=[*_BATCH, "received_ns"])
    seconds = [_seconds(root, stream, received) for stream in STREAMS]
    lags = np.concatenate(seconds)
    if not len(lags):
        return Arrival(readings=0, p50_s=None, p99_s=None)
    p50, p99 = np.percentile(lags, [50, 99])
    return Arrival(readings=len(lags), p50_s=round(float(p50), 3), p99_s=round(float(p99), 3))


def _seconds(root: str, stream: str, received: pa.Table) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    name = readings_table(stream)
    rows = read_table(root, name, open_table(root, name).version(), columns=[*_BATCH, "time_ns"])
    joined = rows.join(received, keys=_BATCH, join_type="inner")
    return np.asarray((joined["received_ns"].to_numpy() - joined["time_ns"].to_numpy()) / NS_PER_S, np.float64)
