"""Rows of the effort model: features and the heart rate that went with them, sorted and split without leaking."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.features.athlete import ATHLETE_EFFORT

FEATURES = tuple(name for name, _ in ATHLETE_EFFORT.features)
MIN_COVERAGE = 0.8
"""Least share of the time seen so far (with the same fading as the features) that must hold positions."""
_COVERAGE_TAU_S = 60.0
HELD_OUT_TIME = 0.25
"""Share of each session's time, its end, that is kept back: a model must do well on what comes later."""
_MIN_ATHLETES_TO_HOLD_OUT = 8
_ONE_ATHLETE_IN = 8
SPLIT = (
    f"held out: the last {HELD_OUT_TIME:.0%} of each session's time, and of {_MIN_ATHLETES_TO_HOLD_OUT} or more "
    f"athletes one in {_ONE_ATHLETE_IN} (smallest SHA-256 of the id)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EffortRows:
    """n rows: `session`, `athlete` str[n]; `time_ns` int64[n]; `features` float32[n, F] in the order of FEATURES;
    `hr_bpm` float32[n]; `held_out` bool[n]; `held_out_athletes` are those of whom nothing is trained on.
    """  # noqa: D205  the shapes are the contract

    session: NDArray[np.str_]
    athlete: NDArray[np.str_]
    time_ns: NDArray[np.int64]
    features: NDArray[np.float32]
    hr_bpm: NDArray[np.float32]
    held_out: NDArray[np.bool_]
    held_out_athletes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.time_ns)

    def feature(self, name: str) -> NDArray[np.float32]:
        """Return one feature's column."""
        return self.features[:, FEATURES.index(name)]

    def where(self, chosen: NDArray[np.bool_]) -> "EffortRows":
        """Return the chosen rows."""
        return replace(
            self,
            session=self.session[chosen],
            athlete=self.athlete[chosen],
            time_ns=self.time_ns[chosen],
            features=self.features[chosen],
            hr_bpm=self.hr_bpm[chosen],
            held_out=self.held_out[chosen],
        )


def make_rows(
    *,
    session: NDArray[Any],
    athlete: NDArray[Any],
    time_ns: NDArray[np.int64],
    features: NDArray[np.floating],
    hr_bpm: NDArray[np.floating],
    coverage: NDArray[np.floating],
) -> EffortRows:
    """Return the usable rows (label present, all features finite, time well covered), each once, sorted and split."""
    label = np.asarray(hr_bpm, np.float64)
    usable = np.isfinite(label) & (coverage >= MIN_COVERAGE) & np.isfinite(features).all(axis=1)
    rows = EffortRows(
        session=session[usable].astype(np.str_),
        athlete=athlete[usable].astype(np.str_),
        time_ns=np.asarray(time_ns, np.int64)[usable],
        features=np.asarray(features, np.float32)[usable],
        hr_bpm=label[usable].astype(np.float32),
        held_out=np.zeros(int(usable.sum()), bool),
    )
    order = np.lexsort((rows.time_ns, rows.athlete, rows.session))
    rows = _reorder(rows, order)
    again = np.zeros(len(rows), bool)
    again[1:] = (
        (rows.session[1:] == rows.session[:-1]) & (rows.athlete[1:] == rows.athlete[:-1]) & (np.diff(rows.time_ns) == 0)
    )
    return split(rows.where(~again))


def split(rows: EffortRows) -> EffortRows:
    """Return the rows with `held_out` marked by the rule in SPLIT."""
    held_out = np.zeros(len(rows), bool)
    for session in np.unique(rows.session):
        chosen = rows.session == session
        times = rows.time_ns[chosen]
        cut_ns = int(times.min()) + int((times.max() - times.min()) * (1.0 - HELD_OUT_TIME))
        held_out |= chosen & (rows.time_ns > cut_ns)
    athletes = sorted(set(rows.athlete.tolist()), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    count = len(athletes) // _ONE_ATHLETE_IN if len(athletes) >= _MIN_ATHLETES_TO_HOLD_OUT else 0
    whole = tuple(sorted(athletes[:count]))
    held_out |= np.isin(rows.athlete, np.array(whole, np.str_))
    return replace(rows, held_out=held_out, held_out_athletes=whole)


def _reorder(rows: EffortRows, order: NDArray[np.intp]) -> EffortRows:
    return replace(
        rows,
        session=rows.session[order],
        athlete=rows.athlete[order],
        time_ns=rows.time_ns[order],
        features=rows.features[order],
        hr_bpm=rows.hr_bpm[order],
        held_out=rows.held_out[order],
    )
