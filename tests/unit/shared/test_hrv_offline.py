"""The correction of whole RR series: reference values, an independent implementation, real beats."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.metrics.hrv_offline import Artefacts, classify, correct, corrected_runs, runs
from shared.metrics.offline_registry import offline_values
from shared.readings import Quality
from tests.factories import START_NS, profile, readings
from tests.tools import OPEN_DATA, missing

Golden = Callable[[str], dict[str, Any]]
_STRETCH = 300


def rmssd(rr_ms: NDArray[np.float64]) -> float:
    """Return RMSSD."""
    return float(np.sqrt(np.mean(np.diff(rr_ms) ** 2)))


def neurokit(rr_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the intervals that neurokit2 makes of these whole milliseconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, at import
        import neurokit2

        beats = np.concatenate(([0], np.cumsum(rr_ms))).astype(int)
        _, mended = neurokit2.signal_fixpeaks(beats, sampling_rate=1000, iterative=True, method="Kubios")
    return np.diff(np.asarray(mended)).astype(np.float64)


def beats(rr_ms: NDArray[np.float64], **given: Any) -> Any:
    """Return intervals as readings, each at the time of the beat that ends it."""
    times = START_NS + np.round(np.cumsum(rr_ms) * 1e6).astype(np.int64)
    return readings("rr", rr_ms[:, None], times_ns=times, **given)


def test_correction_when_golden_then_equal(golden: Golden) -> None:
    """Rule: series D with its three artefacts, moved beats on whole milliseconds as in the reference, to 1e-6."""
    given = golden("hrv.json")
    wanted = given["D_hand_after_kubios"]
    mended = correct(np.array(given["series_D_ms"], np.float64), whole_ms=True).rr_ms
    assert rmssd(mended) == pytest.approx(wanted["rmssd"], rel=1e-6, abs=5e-5)
    assert np.std(mended, ddof=1) == pytest.approx(wanted["sdnn_ddof1"], rel=1e-6, abs=5e-5)
    assert mended.mean() == pytest.approx(wanted["mean_nn"], rel=1e-6)


def test_correction_when_beats_are_not_cut_to_milliseconds_then_it_is_as_near(golden: Golden) -> None:
    """Rule: without rounding RMSSD differs by under 0.02 % from the reference and is as near the truth."""
    given = golden("hrv.json")
    found = rmssd(correct(np.array(given["series_D_ms"], np.float64)).rr_ms)
    assert found == pytest.approx(given["D_hand_after_kubios"]["rmssd"], rel=2e-4)
    truth, spoilt = given["B_hand_truth"]["rmssd"], given["D_hand_uncorrected"]["rmssd"]
    assert abs(found - truth) < 0.05 * abs(spoilt - truth)


def test_correction_when_series_is_clean_then_nothing_changes(golden: Golden) -> None:
    """Rule: no artefact, no touch."""
    given = golden("hrv.json")
    for name in ("series_A_ms", "series_B_ms"):
        rr_ms = np.array(given[name], np.float64)
        done = correct(rr_ms)
        assert done.beats == 0
        np.testing.assert_array_equal(done.rr_ms, rr_ms)


@pytest.mark.parametrize("name", ["series_A_ms", "series_B_ms", "series_C_artefacts_ms", "series_D_ms"])
def test_correction_when_compared_with_neurokit_then_beat_for_beat_the_same(golden: Golden, name: str) -> None:
    """Rule: an independent implementation of the paper gives the same beats."""
    rr_ms = np.array(golden("hrv.json")[name], np.float64)
    np.testing.assert_array_equal(correct(rr_ms, whole_ms=True).rr_ms, neurokit(rr_ms))


def test_correction_when_on_real_beats_then_neurokit_agrees_in_99_of_100_stretches() -> None:
    """Rule: on day-long recordings with 1-8 % artefacts, stretches of 300 beats come out alike.

    Those that do not hang on ties between whole milliseconds: neurokit2 counts in seconds, where rounding decides.
    """
    import pyarrow.parquet as pq

    files = sorted((OPEN_DATA / "mmash").glob("*/RR.parquet"))[:5]
    if not files:
        missing("open/mmash")
    same = total = 0
    for path in files:
        rr_ms = np.round(pq.read_table(path)["ibi_s"].to_numpy() * 1000.0).astype(np.float64)[: 20 * _STRETCH]
        for stretch in rr_ms.reshape(-1, _STRETCH):
            ours, theirs = correct(stretch, whole_ms=True).rr_ms, neurokit(stretch)
            same += len(ours) == len(theirs) and bool(np.allclose(np.cumsum(ours), np.cumsum(theirs), atol=2.0))
            total += 1
    print(f"{same} of {total} stretches alike")
    assert total == 100
    assert same >= 0.99 * total


def test_beats_when_one_is_missed_extra_or_early_then_named_so() -> None:
    """Rule: the paper's classes; what is missed or extra is put right, an early beat halved at least; seed 12."""
    rng = np.random.default_rng(12)
    clean = 850 + 20 * np.sin(np.arange(200) / 3) + rng.normal(0, 6, 200)
    joined = np.concatenate((clean[:80], [clean[80] + clean[81]], clean[82:]))
    split = np.concatenate((clean[:80], [clean[80] * 0.45, clean[80] * 0.55], clean[81:]))
    early = clean.copy()
    early[80], early[81] = early[80] - 250, early[81] + 250
    assert named(joined).missed == [81]
    assert named(split).extra == [81]
    assert (named(early).long_short, named(early).ectopic) == ([81], [82])
    assert len(named(clean)) == 0
    for spoilt in (joined, split):
        mended = correct(spoilt).rr_ms
        assert len(mended) == len(clean)
        assert rmssd(mended) == pytest.approx(rmssd(clean), rel=0.05)
    assert rmssd(correct(early).rr_ms) < 0.5 * rmssd(early)


def named(rr_ms: NDArray[np.float64]) -> Artefacts:
    """Return what is wrong with intervals."""
    return classify(np.concatenate(([0.0], np.cumsum(rr_ms))))


def test_runs_when_beats_are_missing_or_flagged_then_cut_there() -> None:
    """Rule: nothing bridges a break; a run too short to judge is left out."""
    rr_ms = np.full(100, 800.0)
    block = beats(rr_ms)
    block.time_ns[60:] += 5_000_000_000
    block.quality[30] = Quality.IMPLAUSIBLE
    block.quality[95] = Quality.NO_CONTACT
    assert [len(run) for run in runs(block)] == [30, 29, 35]
    assert corrected_runs(block).covered == pytest.approx(94 * 0.8 / (99 * 0.8 + 5), rel=1e-9)


def test_variability_when_too_little_or_too_much_corrected_then_not_said(golden: Golden) -> None:
    """Rule: under 60 s, or over 5 % of beats corrected: NaN, and a note says which."""
    rr_ms = np.array(golden("hrv.json")["series_D_ms"], np.float64)
    values = offline_values([beats(rr_ms)], profile())
    assert set(values) == {f"{name}_corrected@1" for name in ("rmssd", "sdnn", "pnn50", "ln_rmssd")}
    whole = values["rmssd_corrected@1"]
    assert whole.value == pytest.approx(38.7565, rel=2e-4)
    assert np.log(whole.value) == pytest.approx(values["ln_rmssd_corrected@1"].value)
    assert 0.95 < whole.quality < 1.0
    short = offline_values([beats(rr_ms[:50])], profile())["rmssd_corrected@1"]
    assert np.isnan(short.value)
    assert short.notes == ("43 s of intervals",)
    wild = rr_ms.copy()
    wild[::12] *= 0.6
    spoilt = offline_values([beats(wild)], profile())["rmssd_corrected@1"]
    assert np.isnan(spoilt.value)
    assert "beats corrected" in spoilt.notes[0]


def test_variability_when_nothing_usable_came_then_nothing_is_said() -> None:
    """Rule: flagged intervals only: NaN, no coverage."""
    value = offline_values([beats(np.full(50, 800.0), quality=2)], profile())["sdnn_corrected@1"]
    assert np.isnan(value.value)
    assert value.coverage == 0.0
