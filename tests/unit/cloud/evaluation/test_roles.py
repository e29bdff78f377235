import numpy as np
import pytest

from cloud.datasets.public.football import YARD_M
from cloud.datasets.scenes import ROLES
from cloud.evaluation.protocols import cases_of, trajectory_windows
from cloud.evaluation.roles import by_role
from tests.unit.cloud.evaluation.made import scenes


def test_roles_when_stated_then_each_has_its_own_errors() -> None:
    """Rule: ADE and FDE of a role are those of its players' forecasts alone, beside ridge and the linear control."""
    found = scenes(seed=5)
    windows = trajectory_windows(found, 10)
    cases = cases_of(found, windows)
    role = found.role[windows.scene[cases.window], cases.player]
    steps = np.arange(1, 11) / 10
    # A role that stands at place r of ROLES errs by r yards a second; the baselines by twice and three times that.
    own = role[:, None] * steps * YARD_M
    said = {"model": own, "ridge": 2 * own, "linear_control": 3 * own}
    measured = by_role(found, windows, cases, said, unit_m=YARD_M)
    assert list(measured) == ["QB", "WR", "TE", "OL", "LB", "DB"]
    assert sum(one.forecasts for one in measured.values()) == len(cases)
    for name, one in measured.items():
        assert one.forecasts == int((role == ROLES.index(name)).sum())
        for times, forecast in enumerate(("model", "ridge", "linear_control"), start=1):
            assert one.errors[forecast].ade.value == pytest.approx(times * ROLES.index(name) * steps.mean())
            assert one.errors[forecast].fde.value == pytest.approx(times * ROLES.index(name))


def test_roles_when_none_is_stated_then_there_are_none() -> None:
    """Rule: recordings without roles have no table by role."""
    found = scenes(seed=5)
    found.role[:] = ROLES.index("unknown")
    windows = trajectory_windows(found, 5)
    cases = cases_of(found, windows)
    zero = np.zeros((len(cases), 5))
    assert by_role(found, windows, cases, dict.fromkeys(("model", "ridge", "linear_control"), zero), unit_m=1.0) == {}
