"""What a model must pass before it may run here."""

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge.inference.gate import check_golden, check_in_subprocess, check_model
from edge.inference.session import LoadedModel, load_model
from shared.clock import SystemClock
from shared.errors import ModelIncompatible
from shared.model_card import GoldenVector, file_sha256, tensor, write_card
from tests.factories import effort_inputs, model_card, tamper, write_model

FEATURES = {"features": tensor(effort_inputs())}
COLUMN = np.full((2, 1), 13.0, np.float32)


def test_gate_when_a_model_is_as_its_card_says_then_it_passes(tmp_path: Path, system_clock: SystemClock) -> None:
    """Rule: digest, features, golden vectors and latency all hold."""
    verdict = check_model(write_model(tmp_path), system_clock)
    assert (verdict.passed, verdict.reason) == (True, "")
    assert verdict.latency_ms_p99 is not None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"feature_hash": "0" * 64}, "has schema"),
        ({"feature_set": "athlete_effort@9"}, "not known here"),
        ({"body": "always_nan"}, "not a finite number"),
        ({"body": "flat"}, r"output prediction has shape \(2,\), not \(2, 1\)"),
        ({"sha256": "0" * 64}, "does not match the digest"),
        ({"latency_budget_ms": 1e-6}, "over the budget"),
        ({"golden": []}, "no golden vectors"),
        ({"inputs": ["history"]}, r"inputs are \['history'\], those of athlete_effort@1 are \['features'\]"),
        ({"outputs": ["speed"]}, r"outputs are \['speed'\], those of athlete_effort@1 are \['prediction'\]"),
        ({"outputs": ["prediction", "prediction"]}, "outputs are"),
        ({"body": "renamed"}, "not those on its card"),
        ({"name": "trajectory"}, "a model named trajectory does not run on athlete_effort@1; effort does"),
        ({"card_version": 2}, "version 2"),
    ],
)
def test_gate_when_a_model_does_not_fit_then_it_is_refused_with_the_reason(
    tmp_path: Path, system_clock: SystemClock, given: dict[str, Any], reason: str
) -> None:
    """Rule: whatever is wrong is the verdict's reason, never a crash."""
    verdict = check_model(write_model(tmp_path, **given), system_clock)
    assert not verdict.passed
    assert re.search(reason, verdict.reason), verdict.reason


def test_gate_when_outputs_differ_from_the_golden_vector_then_it_is_refused(
    tmp_path: Path, system_clock: SystemClock
) -> None:
    """Rule: this machine must compute what the training machine computed."""
    folder = write_model(tmp_path, slope=1.0)
    write_card(model_card(file_sha256(folder / "model.onnx"), slope=1.001), folder / "card.json")
    assert "differs from its golden vector" in check_model(folder, system_clock).reason


def test_gate_when_a_golden_vector_does_not_fit_the_model_then_it_is_refused(
    tmp_path: Path, system_clock: SystemClock
) -> None:
    """Rule: inputs that the runtime refuses are a reason, not a crash."""
    narrow = tensor(effort_inputs()[:, :3])
    vector = GoldenVector(inputs={"features": narrow}, outputs={"prediction": narrow})
    verdict = check_model(write_model(tmp_path, golden=[vector]), system_clock)
    assert "does not run" in verdict.reason


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            {
                "body": "renamed",
                "outputs": ["speed"],
                "golden": [GoldenVector(inputs=FEATURES, outputs={"speed": tensor(COLUMN)})],
            },
            r"outputs are \['speed'\]",
        ),
        (
            {
                "body": "two_columns",
                "golden": [GoldenVector(inputs=FEATURES, outputs={"prediction": tensor(np.hstack((COLUMN, COLUMN)))})],
            },
            r"output prediction has shape \(2, 2\), not \(2, 1\)",
        ),
    ],
)
def test_gate_when_model_card_and_golden_vectors_agree_on_another_output_then_it_is_refused(
    tmp_path: Path, system_clock: SystemClock, given: dict[str, Any], reason: str
) -> None:
    """Rule: a model gives what its feature set promises the gateway, not what it likes."""
    verdict = check_model(write_model(tmp_path, **given), system_clock)
    assert not verdict.passed
    assert re.search(reason, verdict.reason), verdict.reason


def with_golden(folder: Path, outputs: dict[str, Any], **card: Any) -> LoadedModel:
    """Return a good model whose card has these golden outputs."""
    good = load_model(write_model(folder))
    golden = [GoldenVector(inputs=FEATURES, outputs={name: tensor(array) for name, array in outputs.items()})]
    return LoadedModel(
        card=msgspec.structs.replace(good.card, golden=golden, **card), features=good.features, session=good.session
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_gate_when_a_golden_vector_is_not_finite_then_it_is_refused(tmp_path: Path, value: float) -> None:
    """Rule: a comparison with no number proves nothing."""
    with pytest.raises(ModelIncompatible, match="holds a value that is not a finite number"):
        check_golden(with_golden(tmp_path, {"prediction": np.array([[13.0], [value]], np.float32)}))


def test_gate_when_the_tolerance_is_no_number_then_it_is_refused(tmp_path: Path) -> None:
    """Rule: only a difference known to be within the tolerance passes."""
    with pytest.raises(ModelIncompatible, match="differs from its golden vector"):
        check_golden(with_golden(tmp_path, {"prediction": COLUMN}, golden_tolerance=float("nan")))


@pytest.mark.parametrize("outputs", [{}, {"prediction": COLUMN, "speed": COLUMN}])
def test_gate_when_a_golden_vector_has_not_the_cards_outputs_then_it_is_refused(
    tmp_path: Path, outputs: dict[str, Any]
) -> None:
    """Rule: every output is compared; a vector without outputs compares nothing."""
    with pytest.raises(ModelIncompatible, match="golden vector has outputs"):
        check_golden(with_golden(tmp_path, outputs))


def test_gate_when_the_file_was_changed_then_it_is_refused(tmp_path: Path, system_clock: SystemClock) -> None:
    """Rule: one bit is enough."""
    tamper(write_model(tmp_path) / "model.onnx")
    assert "does not match the digest" in check_model(tmp_path, system_clock).reason


def test_gate_when_the_file_is_no_model_then_it_is_refused(tmp_path: Path, system_clock: SystemClock) -> None:
    """Rule: a signed file that the runtime cannot load is a reason too."""
    for body in (b"", b"no model at all", b"\x08\x0a" * 50):
        write_model(tmp_path)
        (tmp_path / "model.onnx").write_bytes(body)
        write_card(model_card(file_sha256(tmp_path / "model.onnx")), tmp_path / "card.json")
        assert not check_model(tmp_path, system_clock).passed


def test_gate_when_files_are_missing_then_it_is_refused(tmp_path: Path, system_clock: SystemClock) -> None:
    """Rule: half a model is none."""
    assert "cannot be read" in check_model(tmp_path, system_clock).reason
    (write_model(tmp_path) / "model.onnx").unlink()
    assert "does not match" in check_model(tmp_path, system_clock).reason


async def test_gate_when_run_in_its_own_process_then_the_verdict_is_the_same(tmp_path: Path) -> None:
    """Rule: a model that harms its process harms nothing else; the verdict crosses as JSON."""
    assert (await check_in_subprocess(write_model(tmp_path / "good"))).passed
    refused = await check_in_subprocess(write_model(tmp_path / "bad", body="always_nan"))
    assert "not a finite number" in refused.reason


async def test_gate_when_the_machine_is_too_busy_for_the_check_then_it_is_no_verdict(tmp_path: Path) -> None:
    """Rule: what this machine has no time for says nothing about the model."""
    with pytest.raises(TimeoutError, match=r"longer than 0\.01 s"):
        await check_in_subprocess(write_model(tmp_path), limit_s=0.01)
