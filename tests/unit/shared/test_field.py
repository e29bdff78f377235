"""`field_graph@1`: columns that stay numbers, and inputs with who is there throughout."""

import numpy as np

from shared.features.field import FIELD_GRAPH, field_columns, field_inputs
from shared.features.team import HISTORY


def test_columns_when_velocity_is_not_stated_then_it_is_the_step() -> None:
    """A missing velocity is the step up to the frame, 0 in a scene's first; a jump is bounded; facing is a vector."""
    xy_m = np.zeros((6, 1, 2), np.float32)
    xy_m[:, 0, 0] = [0.0, 0.5, 1.0, 9.0, 9.5, 50.0]
    velocity = np.full((6, 1, 2), np.nan, np.float32)
    velocity[2] = (1.0, 2.0)
    facing = np.array([[0.0], [np.pi / 2], [np.nan], [np.pi], [0.0], [0.0]], np.float32)
    found = field_columns(xy_m, velocity, facing, np.array([0, 3, 6, 6]))[:, 0]
    np.testing.assert_allclose(found[:, 2], [0.0, 5.0, 1.0, 0.0, 5.0, 30.0], atol=1e-4)
    np.testing.assert_allclose(found[:, 3], [0.0, 0.0, 2.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(found[:4, 4:], [[1, 0], [0, 1], [0, 0], [-1, 0]], atol=1e-6)


def test_inputs_when_somebody_is_not_there_throughout_then_masked() -> None:
    """Who lacks a frame of the last second, or is nobody, is masked and all zeros; shapes are those of the set."""
    columns = np.ones((20, 4, 6), np.float32)
    columns[5, 1, 0] = np.nan
    team = np.array([[0, 1, -1, -2]] * 2, np.int8)
    inputs = field_inputs(columns, np.zeros_like(team), team, np.array([10, 19]))
    assert inputs["mask"].tolist() == [[1, 0, 1, 0], [1, 1, 1, 0]]
    assert not inputs["history"][0, 1].any()
    for name, shape in FIELD_GRAPH.inputs:
        assert inputs[name].shape == (2, 4, *shape)
        assert inputs[name].dtype == np.float32
    assert inputs["history"].shape[2] == HISTORY
