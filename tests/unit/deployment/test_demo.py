"""What the demo refuses before it starts, and what its report says; the whole demo runs in tests/e2e."""

import importlib
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tools import ROOT


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The demo's modules, which are programs beside each other and no package."""
    monkeypatch.syspath_prepend(ROOT / "deployment")
    names = ("demo_options", "demo_processes", "demo_report")
    return Namespace(**{name.removeprefix("demo_"): importlib.import_module(name) for name in names})


def options(**given: Any) -> Namespace:
    """Return options that are good but for what is given."""
    good = {"seconds": 25.0, "report": None, "athletes": 4, "recording": [], "port": 0, "seed": 7}
    return Namespace(**(good | given))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"port": 70_000}, "no port 70000"),
        ({"seconds": -1.0}, "no length of time"),
        ({"seconds": float("nan")}, "no length of time"),
        ({"athletes": 0}, "no squad"),
        ({"seed": -1}, "below 0"),
        ({"recording": ["/none.tsv"]}, "no recording"),
        ({"report": Path("/none/report.json")}, "no folder /none"),
        ({"report": Path("/")}, "is a folder"),
        ({"report": Path("/tmp/report.json"), "seconds": 0.0}, "needs an end"),  # noqa: S108  never written
    ],
)
def test_options_when_one_cannot_be_then_it_is_refused_with_a_way_out(
    demo: Any, given: dict[str, Any], problem: str
) -> None:
    """One clear line before anything starts."""
    demo.options.check(options())
    with pytest.raises(demo.processes.DemoError, match=problem) as caught:
        demo.options.check(options(**given))
    assert caught.value.way_out


def test_folder_when_another_demo_runs_in_it_then_it_is_refused_and_left_alone(demo: Any, tmp_path: Path) -> None:
    """Regression: a second demo deleted the data of the first."""
    with demo.options.claim(tmp_path / "demo"):
        (tmp_path / "demo" / "truth.jsonl").write_text("{}")
        with pytest.raises(demo.processes.DemoError, match="another demo is running"):
            demo.options.claim(tmp_path / "demo")
        assert (tmp_path / "demo" / "truth.jsonl").exists()
    with demo.options.claim(tmp_path / "demo"):
        assert not (tmp_path / "demo" / "truth.jsonl").exists()


def test_folder_when_it_holds_something_else_or_is_a_file_then_it_is_refused(demo: Any, tmp_path: Path) -> None:
    """The demo clears its own folder only."""
    (tmp_path / "thesis.txt").write_text("mine")
    for folder, problem in ((tmp_path, "holds something else"), (tmp_path / "thesis.txt", "cannot be used")):
        with pytest.raises(demo.processes.DemoError, match=problem):
            demo.options.claim(folder)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("version", "active", "expected"),
    [
        ("1.0.1", "1.0.1", (3.0, 2.0, 1.0)),
        ("1.0.1", "1.0.0", (3.0, 2.0, None)),
        (None, "1.0.0", (None, None, None)),
        (None, None, (None, None, None)),
    ],
)
def test_report_when_a_part_did_not_take_place_then_its_time_is_null(
    demo: Any, version: str | None, active: str | None, expected: tuple[float | None, ...]
) -> None:
    """A model counts as activated only if the retrained version is the one that answers."""
    done = {"data_set_version": "d", "data_digest": "x", "trained_s": 3.0, "released_s": 2.0, "version": version}
    models = [{"name": "effort", "version": active, "active_since_ns": 1_000_000_000}]
    said = demo.report.retraining(done, 0, models)
    assert (said["retrained"]["trained_s"], said["released_s"], said["activated_s"]) == expected
