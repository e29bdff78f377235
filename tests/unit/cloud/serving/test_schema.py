"""Types made from feature sets, and the arrays that inputs become."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from cloud.serving.schema import MAX_PLAYERS, schema
from shared.features.athlete import ATHLETE_EFFORT
from shared.features.games import GAME_OUTCOME
from shared.features.registry import FEATURE_SETS
from shared.features.team import HISTORY, TEAM_GRAPH

EFFORT, GRAPH = schema(ATHLETE_EFFORT), schema(TEAM_GRAPH)
ROW = {name: float(number) for number, (name, _) in enumerate(ATHLETE_EFFORT.features)}


def graph(players: int) -> dict[str, Any]:
    return {
        "history": [[[float(player), float(step)] for step in range(HISTORY)] for player in range(players)],
        "team": [-1.0, *([0.0] * (players - 1))],
        "mask": [1.0] * players,
    }


@pytest.mark.parametrize("features", FEATURE_SETS.values(), ids=lambda features: features.set_id)
def test_schema_when_made_then_every_name_is_a_field_with_its_unit(features: Any) -> None:
    """Each feature set gives a request of its own model with its names."""
    made = schema(features)
    published = made.request.model_json_schema()
    assert published["properties"]["model"]["const"] == features.model
    (fields,) = (part["properties"] for name, part in published["$defs"].items() if name.endswith("Input"))
    assert list(fields) == [name for name, _ in (features.features if made.rows else features.inputs)]
    if made.rows:
        assert [field["description"] for field in fields.values()] == [f"unit: {u}" for _, u in features.features]


def test_arrays_when_names_come_in_another_order_then_columns_keep_theirs() -> None:
    """A row is told by its names, not by their order."""
    call = EFFORT.request.model_validate({"model": "effort", "inputs": [dict(reversed(ROW.items())), ROW]})
    (array,) = EFFORT.arrays(call.batch()).values()
    assert array.dtype == np.float32
    assert array.tolist() == [list(ROW.values())] * 2


def test_arrays_when_value_is_unknown_then_it_is_nan_where_the_set_says_so() -> None:
    """Null stands for unknown where the feature set's note speaks of NaN, and is refused elsewhere."""
    outcome = schema(GAME_OUTCOME)
    row = {name: None if name == "rest_days" else 1.0 for name, _ in GAME_OUTCOME.features}
    (array,) = outcome.arrays(outcome.request.model_validate({"model": "strategy", "input": row}).batch()).values()
    assert np.isnan(array[0]).tolist() == [name == "rest_days" for name, _ in GAME_OUTCOME.features]
    with pytest.raises(ValidationError, match="valid number"):
        EFFORT.request.model_validate({"model": "effort", "input": {**ROW, "elapsed": None}})


def test_arrays_when_graphs_differ_in_size_then_the_smaller_are_filled_up_with_masked_players() -> None:
    """Players that are not there have mask 0 and zeros everywhere."""
    call = GRAPH.request.model_validate({"model": "trajectory", "inputs": [graph(2), graph(3)]})
    arrays = GRAPH.arrays(call.batch())
    assert {name: array.shape for name, array in arrays.items()} == {
        "history": (2, 3, HISTORY, 2),
        "team": (2, 3),
        "mask": (2, 3),
    }
    assert arrays["mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert not arrays["history"][0, 2].any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"elapsed": "3"}, "valid number"),
        ({"elapsed": True}, "valid number"),
        ({"elapsed": float("nan")}, "finite"),
        ({"elapsed": float("inf")}, "finite"),
        ({"elapsed": 1e39}, "less than or equal"),
        ({"elapsed": None}, "valid number"),
        ({"speed": 1.0}, "Extra inputs"),
    ],
    ids=str,
)
def test_row_when_a_value_is_wrong_then_it_is_named(change: dict[str, Any], said: str) -> None:
    """Strings, booleans, what is no float32 and unknown names are refused at their place."""
    with pytest.raises(ValidationError, match=said) as error:
        EFFORT.request.model_validate({"model": "effort", "input": ROW | change})
    assert error.value.errors()[0]["loc"] == ("input", *change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mask": [1.0]}, "history 2, team 2, mask 1"),
        ({"history": [[[0.0, 0.0]] * 10] * 2}, "at least 11 items"),
        ({"history": [[[0.0, 0.0, 0.0]] * 11] * 2}, "at most 2 items"),
        (graph(MAX_PLAYERS + 1), f"at most {MAX_PLAYERS} items"),
        ({"history": [], "team": [], "mask": []}, "at least 1 item"),
    ],
    ids=["mask", "short", "wide", "crowd", "nobody"],
)
def test_graph_when_a_shape_is_wrong_then_it_is_named(change: dict[str, Any], said: str) -> None:
    """All lists speak of the same players, 1 to 64, and of 11 frames of x and y."""
    with pytest.raises(ValidationError, match=said):
        GRAPH.request.model_validate({"model": "trajectory", "input": graph(2) | change})


@pytest.mark.parametrize("given", [{}, {"input": ROW, "inputs": [ROW]}, {"inputs": []}], ids=["none", "both", "empty"])
def test_request_when_not_one_of_input_and_inputs_then_it_is_refused(given: dict[str, Any]) -> None:
    """One input or a list with something in it."""
    with pytest.raises(ValidationError, match=r"either `input`|at least 1 item"):
        EFFORT.request.model_validate({"model": "effort", **given})
