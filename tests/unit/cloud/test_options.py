"""Weeks on the command line."""

import pytest
import typer

from cloud.options import parse_weeks


@pytest.mark.parametrize(
    ("words", "weeks"),
    [(["1", "2", "3"], [1, 2, 3]), (["1-3", "7"], [1, 2, 3, 7]), (["2,1", "2"], [1, 2]), ([], None), ([" 4 "], [4])],
)
def test_weeks_when_given_as_words_then_sorted_numbers(words: list[str], weeks: list[int] | None) -> None:
    """Weeks come as single words, ranges or lists."""
    assert parse_weeks(words) == weeks


@pytest.mark.parametrize("word", ["x", "1-", "-1", "1-b", "1.5", "0", "9-3"])
def test_weeks_when_wrong_then_refused(word: str) -> None:
    """What is no week is named."""
    with pytest.raises(typer.BadParameter, match="no week"):
        parse_weeks([word])


def test_weeks_when_words_follow_no_option_then_refused() -> None:
    """A word that somebody left over is no week."""
    assert parse_weeks(["1"], ["2", "3"]) == [1, 2, 3]
    with pytest.raises(typer.BadParameter, match="'5' belongs to no option"):
        parse_weeks(None, ["5"])
