"""The exported file against the trained model, on rows chosen to tell them apart; nobody may use a file before."""

import numpy as np
from numpy.typing import NDArray

from cloud.training.export import OnnxModel
from cloud.training.tabular.export import INPUT, OUTPUT, edges
from cloud.training.tabular.model import TabularModel
from shared.errors import ModelIncompatible

_USUAL = 1e-5
_FAR = 1e-3
_MAX_SHARE_FAR = 1e-3
_USUAL_QUANTILE = 0.999
_ROWS = 4000
_NEVER_SEEN = 977.0
_EVEN = 0.5
Rows = NDArray[np.float32]


def check_parity(
    model: TabularModel, exported: bytes, known: Rows, *, span: float, seed: int, categories: int = 0
) -> float:
    """Compare the file with the model on probes made from `known` [n, F]; return the largest gap in units of `span`.

    `span` is the width of the prediction's natural range, 1 for a probability; the last `categories` columns are codes.
    Raises: ModelIncompatible when on any kind of row the 99.9th percentile of the gap is over 1e-5 of the span, more
    than one row in a thousand is over 1e-3 of it, or a probability falls on the other side of one half.
    """
    loaded = OnnxModel(exported)
    return max(
        _gap(model, loaded, kind, features, span)
        for kind, features in probes(model, known, categories=categories, seed=seed).items()
    )


def probes(model: TabularModel, known: Rows, *, categories: int, seed: int) -> dict[str, Rows]:
    """Return rows by kind: known, fresh, single, zero, on the trees' edges, with gaps, and with codes never seen."""
    rng = np.random.default_rng(seed)
    numbers = known.shape[1] - categories
    drawn = known[rng.integers(0, len(known), _ROWS)]
    fresh = drawn.copy()
    spread = np.nan_to_num(known[:, :numbers]).std(axis=0) + np.float32(1e-3)
    fresh[:, :numbers] += (rng.normal(0.0, 0.5, (_ROWS, numbers)) * spread).astype(np.float32)
    found = {"known": drawn, "fresh": fresh, "single": drawn[:1], "zero": np.zeros_like(drawn[:1])}
    found["unknown value"] = _with_gaps(drawn, rng, numbers, model)
    if categories:
        strange = drawn.copy()
        strange[:, numbers:] = _NEVER_SEEN
        found["code never seen"] = strange
    boundary = [edge for edge in edges(model.estimator) if edge[0] < numbers]
    if boundary:
        found["boundary"] = _on_edges(drawn, boundary, rng)
    return found


def _with_gaps(drawn: Rows, rng: np.random.Generator, numbers: int, model: TabularModel) -> Rows:
    """Return rows in which a fifth of all numbers is unknown; an anchor is part of the answer and always known."""
    gaps = drawn.copy()
    unknown = rng.random((len(drawn), numbers)) < 0.2
    for anchor in (model.zero, model.full):
        if anchor is not None:
            unknown[:, anchor] = False
    gaps[:, :numbers][unknown] = np.nan
    return gaps


def _on_edges(drawn: Rows, boundary: list[tuple[int, float]], rng: np.random.Generator) -> Rows:
    """Return rows with one value on a tree's edge, or the nearest float32 on either side of it."""
    picked = rng.integers(0, len(boundary), len(drawn))
    column = np.array([boundary[i][0] for i in picked])
    value = np.array([boundary[i][1] for i in picked], np.float32)
    towards = np.array([-np.inf, 0.0, np.inf], np.float32)[rng.integers(0, 3, len(drawn))]
    on_edge = drawn.copy()
    on_edge[np.arange(len(drawn)), column] = np.where(np.isinf(towards), np.nextafter(value, towards), value)
    return on_edge


def _gap(model: TabularModel, loaded: OnnxModel, kind: str, features: Rows, span: float) -> float:
    expected, got = model.predict(features), loaded.run({INPUT: features})[OUTPUT]
    if got.shape != (len(features), 1):
        raise ModelIncompatible(f"the ONNX model answers {len(features)} rows with shape {got.shape}")
    gap = np.abs(got[:, 0].astype(np.float64) - expected) / span
    if not np.isfinite(gap).all():
        raise ModelIncompatible(f"on {kind} rows an answer is not a finite number")
    far, usual = float(np.mean(gap > _FAR)), float(np.quantile(gap, _USUAL_QUANTILE))
    if far > _MAX_SHARE_FAR or usual > _USUAL:
        raise ModelIncompatible(
            f"the ONNX model differs from the trained one on {kind} rows: {far:.2%} by over {_FAR:g} of the range, "
            f"99.9th percentile {usual:.3g}, at most {gap.max():.3g}"
        )
    decided = np.abs(expected - _EVEN) > _USUAL
    if model.probability and not np.array_equal((got[:, 0] >= _EVEN)[decided], (expected >= _EVEN)[decided]):
        raise ModelIncompatible(f"the ONNX model decides otherwise than the trained one on {kind} rows")
    return float(gap.max(initial=0.0))
