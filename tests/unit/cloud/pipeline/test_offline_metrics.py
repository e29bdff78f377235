"""What the pipeline adds to a session's metrics once all of it is there."""

import numpy as np
import pytest

from cloud.pipeline.features import derive
from shared.ids import AthleteId
from shared.readings import select
from tests.factories import ATHLETE, START_NS, heart_rates, readings


def test_session_when_it_has_rr_intervals_then_corrected_variability_stands_beside_the_live_one() -> None:
    """Rule: whole-session metrics are rows like any other, whatever blocks the session comes in (seed 6)."""
    rng = np.random.default_rng(6)
    rr_ms = 850 + 40 * np.sin(np.arange(300) / 4) + rng.normal(0, 8, 300)
    spoilt = np.concatenate((rr_ms[:100], [rr_ms[100] + rr_ms[101]], rr_ms[102:]))
    block = readings("rr", spoilt[:, None], times_ns=START_NS + np.round(np.cumsum(spoilt) * 1e6).astype(np.int64))
    parts = [select(block, slice(200, 299)), select(block, slice(0, 220))]
    found = derive([*parts, heart_rates(np.full(255, 70))], AthleteId(ATHLETE), None).metrics
    truth, uncorrected = (float(np.sqrt(np.mean(np.diff(rr) ** 2))) for rr in (rr_ms, spoilt))
    assert found["rmssd_corrected@1"].value == pytest.approx(truth, rel=0.1)
    assert uncorrected > 1.5 * truth
    assert "rmssd@1" in found
    assert "best_power@1" not in found
