"""Rows of a task on tables: what was known at a time, what came of it, and what plain yardsticks would have said."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.card import DatasetCard
from shared.errors import ConfigError
from shared.features.base import FeatureSet

STRETCHES = 4
"""Equal spans of time that cross-validation leaves out in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRows:
    """n rows: `group` str[n] (whose rows belong together: an athlete, a season, a file); `time_ns` int64[n];
    `stretch` int64[n], the span of time each lies in; `features` float32[n, F] in the order of `feature_set`, NaN where
    unknown; `target` float32[n]; `bars` name -> float32[n], plain yardsticks that were known at the same moment;
    `slices` name -> bool[n], parts that are measured apart; `held_out` bool[n]: never trained on.
    """  # noqa: D205  the shapes are the contract

    feature_set: FeatureSet
    group: NDArray[np.str_]
    time_ns: NDArray[np.int64]
    stretch: NDArray[np.int64]
    features: NDArray[np.float32]
    target: NDArray[np.float32]
    held_out: NDArray[np.bool_]
    bars: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    slices: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time_ns)

    def feature(self, name: str) -> NDArray[np.float32]:
        """Return one feature's column."""
        column: NDArray[np.float32] = self.features[:, self.column(name)]
        return column

    def column(self, name: str) -> int:
        """Return where a feature stands."""
        return [known for known, _ in self.feature_set.features].index(name)

    def where(self, chosen: NDArray[Any]) -> "TaskRows":
        """Return the chosen rows (a mask or indices)."""
        return replace(
            self,
            group=self.group[chosen],
            time_ns=self.time_ns[chosen],
            stretch=self.stretch[chosen],
            features=self.features[chosen],
            target=self.target[chosen],
            held_out=self.held_out[chosen],
            bars={name: bar[chosen] for name, bar in self.bars.items()},
            slices={name: part[chosen] for name, part in self.slices.items()},
        )


def make_task_rows(
    feature_set: FeatureSet,
    *,
    group: NDArray[Any],
    time_ns: NDArray[np.int64],
    features: NDArray[np.floating],
    target: NDArray[np.floating],
    bars: Mapping[str, NDArray[np.floating]],
    slices: Mapping[str, NDArray[np.bool_]] | None = None,
) -> TaskRows:
    """Return the rows that have a target and every yardstick, in order of time and group; nothing is held out yet."""
    usable = np.isfinite(target)
    for bar in bars.values():
        usable &= np.isfinite(bar)
    rows = TaskRows(
        feature_set=feature_set,
        group=group.astype(np.str_),
        time_ns=np.asarray(time_ns, np.int64),
        stretch=np.zeros(len(target), np.int64),
        features=np.asarray(features, np.float32),
        target=np.asarray(target, np.float32),
        held_out=np.zeros(len(target), bool),
        bars={name: np.asarray(bar, np.float32) for name, bar in bars.items()},
        slices=dict(slices or {}),
    ).where(usable)
    return rows.where(np.lexsort((rows.group, rows.time_ns)))


def hold_out_later(rows: TaskRows, *, share: float, embargo_ns: int = 0, each_group: bool = False) -> TaskRows:
    """Return the rows with the last `share` held out: of all of them, or of each group's own time if `each_group`.

    Rows whose target reaches over the cut (`embargo_ns` before it) are left out altogether. Raises: ConfigError when
    there are no rows.
    """
    if not len(rows):
        raise ConfigError(rows.feature_set.set_id, "the files give no usable row")
    held_out, kept = np.zeros(len(rows), bool), np.ones(len(rows), bool)
    stretch = np.zeros(len(rows), np.int64)
    for chosen in [rows.group == name for name in np.unique(rows.group)] if each_group else [np.ones(len(rows), bool)]:
        times = rows.time_ns[chosen]
        cut_ns = int(np.quantile(times, 1.0 - share, method="higher"))
        held_out[chosen] = times >= cut_ns
        kept[chosen] = (times >= cut_ns) | (times < cut_ns - embargo_ns)
        edges = (
            np.quantile(times[times < cut_ns], np.arange(1, STRETCHES) / STRETCHES) if (times < cut_ns).any() else []
        )
        stretch[chosen] = np.searchsorted(edges, times, side="right")
    return replace(rows, held_out=held_out, stretch=stretch).where(kept)


def task_card(rows: TaskRows, *, name: str, version: str, query: str, split: str) -> DatasetCard:
    """Return the card that names these rows by digest."""
    groups = np.unique(rows.group)
    return DatasetCard(
        name=name,
        version=version,
        digest=task_digest(rows),
        feature_set=rows.feature_set.set_id,
        feature_hash=rows.feature_set.schema_hash,
        query=query,
        split=split,
        rows=len(rows),
        held_out_rows=int(rows.held_out.sum()),
        athletes=len(groups),
        held_out_athletes=len(set(groups.tolist()) - set(rows.group[~rows.held_out].tolist())),
        sessions=len(groups),
    )


def task_digest(rows: TaskRows) -> str:
    """Return the hexadecimal SHA-256 over all columns, little-endian; every NaN counts as the same one."""
    digest = hashlib.sha256("\0".join(rows.group.tolist()).encode())
    digest.update(np.ascontiguousarray(rows.time_ns, "<i8").tobytes())
    for column in (rows.features, rows.target, *(rows.bars[name] for name in sorted(rows.bars))):
        digest.update(np.where(np.isnan(column), np.float32(np.nan), column).astype("<f4").tobytes())
    digest.update(np.ascontiguousarray(rows.held_out, np.uint8).tobytes())
    return digest.hexdigest()
