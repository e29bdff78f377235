"""A few minutes of the fault matrix with fixed seeds; `make faults` runs all of it."""

from pathlib import Path

import pytest

from tests.faults.arm import Arm
from tests.faults.matrix import ARMS

SEED = 20261121


@pytest.mark.timeout(300)
@pytest.mark.parametrize("arm", [pytest.param(arm, id=arm.name) for arm in ARMS])
def test_fault_when_put_a_few_times_then_nothing_is_lost(arm: Arm, tmp_path: Path) -> None:
    """The row's promise holds for a slice of its count."""
    outcome = arm.run(arm.slice_count, SEED, tmp_path)
    assert outcome.tried >= arm.slice_count
    assert outcome.failures == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("arm", [pytest.param(arm, id=arm.name) for arm in ARMS if arm.control])
def test_fault_when_put_to_a_variant_that_loses_then_the_loss_is_seen(arm: Arm, tmp_path: Path) -> None:
    """A row that cannot see a loss proves nothing."""
    assert arm.control is not None
    assert arm.control(arm.control_count, SEED, tmp_path).failures
