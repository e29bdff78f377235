import pyarrow as pa
import pytest

from cloud.verify import PositionLine, Token, compare_positions, compare_sequences, read_truth
from shared.errors import ConfigError
from shared.readings import Quality


def line(n: int, **changes: object) -> PositionLine:
    values = {"sensor": "tag-1", "boot": "b", "n": n, "t_ns": n, "acked": True, "fault": None, "x_mm": n, "y_mm": -n}
    return PositionLine(**(values | changes))


def rows(*numbers: int, x_m: float | None = None, late_ns: int = 0, quality: int = 0, boot: str = "b") -> pa.Table:
    return pa.table(
        {
            "sensor": ["tag-1"] * len(numbers),
            "origin": [boot] * len(numbers),
            "sequence": list(numbers),
            "time_ns": [n + late_ns for n in numbers],
            "x_m": [n / 1000 if x_m is None else x_m for n in numbers],
            "y_m": [-n / 1000 for n in numbers],
            "quality": [quality] * len(numbers),
        }
    )


def counts(lines: list[PositionLine], table: pa.Table) -> dict[str, int]:
    return {k: v for k, v in compare_positions(lines, table, time_tolerance_ms=1.0).counts.items() if v}


def test_positions_when_all_are_there_once_then_all_found() -> None:
    """Equal by value: nothing lost, doubled or wrong."""
    assert counts([line(1), line(2)], rows(1, 2)) == {"expected": 2, "found": 2}


def test_positions_when_one_is_absent_then_lost_and_named() -> None:
    """A loss is named by sensor, power-on and number."""
    tally = compare_positions([line(1), line(2)], rows(1), time_tolerance_ms=1.0)
    assert (tally.counts["lost"], tally.examples) == (1, ["position tag-1 boot b n 2"])


def test_positions_when_a_row_stands_twice_then_duplicate() -> None:
    """Two rows of one identity are one duplicate."""
    assert counts([line(1)], rows(1, 1)) == {"expected": 1, "found": 1, "duplicates": 1}


def test_positions_when_sent_twice_then_expected_once() -> None:
    """The second copy on the air is no second reading."""
    assert counts([line(1), line(1, fault="duplicate")], rows(1)) == {"expected": 1, "found": 1}


def test_positions_when_only_a_corrupt_copy_was_sent_then_it_must_be_absent() -> None:
    """A damaged frame is no reading; found all the same it is unexpected."""
    assert counts([line(1, fault="corrupt")], rows()) == {}
    assert counts([line(1, fault="corrupt")], rows(1)) == {"unexpected": 1}
    assert counts([line(1, fault="corrupt"), line(1, fault="duplicate")], rows(1)) == {"expected": 1, "found": 1}


def test_positions_when_not_acknowledged_then_may_be_absent() -> None:
    """Only what was acknowledged was promised."""
    assert counts([line(1, acked=False)], rows()) == {}
    assert counts([line(1, acked=False)], rows(1)) == {}


def test_positions_when_a_value_or_trusted_time_differs_then_mismatched() -> None:
    """Values are compared to the millimetre; a time that the gateway replaced is not compared."""
    assert counts([line(1)], rows(1, x_m=0.002))["mismatched"] == 1
    assert counts([line(1)], rows(1, late_ns=2_000_000))["mismatched"] == 1
    assert "mismatched" not in counts([line(1)], rows(1, late_ns=2_000_000, quality=Quality.CLOCK_CORRECTED))


def test_positions_when_rows_are_of_another_power_on_then_passed_over() -> None:
    """Tables hold many runs; the truth speaks of one."""
    assert counts([line(1)], rows(1, boot="other")) == {"expected": 1, "lost": 1}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([60, 61, 61, 62], {"expected": 4, "found": 4}),
        ([60, 61, 62], {"expected": 4, "found": 3, "lost": 1}),
        ([60, 61, 61, 61, 62], {"expected": 4, "found": 4, "unexpected": 1}),
        ([60, 61, 99, 62], {"expected": 4, "found": 4, "mismatched": 1}),
        ([], {"expected": 4, "lost": 4}),
    ],
)
def test_sequences_when_compared_then_losses_and_changes_show(found: list[int], expected: dict[str, int]) -> None:
    """Values repeat, so they are matched in order."""
    truth = {"hr": [Token(value) for value in (60, 61, 61, 62)]}
    tally = compare_sequences(truth, {"hr": (found, 0)})
    assert {k: v for k, v in tally.counts.items() if v} == expected


def test_sequences_when_an_optional_value_is_absent_then_nothing_is_lost() -> None:
    """A notification sent twice may count once or twice."""
    truth = {"hr": [Token(60), Token(60, optional=True), Token(61)]}
    for found in ([60, 61], [60, 60, 61]):
        assert compare_sequences(truth, {"hr": (found, 0)}).counts["lost"] == 0


def test_truth_when_a_line_is_wrong_then_config_error_names_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The error says where."""
    path = tmp_path_factory.mktemp("truth") / "truth.jsonl"
    path.write_text('{"kind":"noise"}\n')
    with pytest.raises(ConfigError, match=r"truth\.jsonl:1"):
        read_truth(path)
