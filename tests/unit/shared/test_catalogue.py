"""Every metric is described, once, and the page says what the code does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.metrics.base import Profile
from shared.metrics.catalogue import CATALOGUE
from shared.metrics.page import page
from shared.quantities import STREAMS
from tests.tools import ROOT

ALL = [metric for metrics in CATALOGUE.values() for metric in metrics]
every_metric = pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.metric_id)


def command(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run the page's command."""
    return subprocess.run(
        [sys.executable, "deployment/metrics_page.py", *words],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_page_when_metrics_change_then_it_does() -> None:
    """Rule: docs/metrics.md is what the registries say; `python deployment/metrics_page.py` makes it so."""
    written = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert written == page(), "docs/metrics.md is out of date: run python deployment/metrics_page.py"


def test_page_when_made_then_each_metric_has_one_section_with_its_formula() -> None:
    """Rule: every metric of every kind, once."""
    sections = re.findall(r"^### (\S+)$", page(), flags=re.MULTILINE)
    assert sections == [metric.metric_id for metric in ALL]
    for metric in ALL:
        section = page().partition(f"### {metric.metric_id}\n")[2].partition("\n##")[0]
        for text in (metric.title, metric.formula, metric.rules, metric.source):
            assert text.replace("|", "\\|") in section, metric.metric_id


def test_page_command_when_out_of_date_then_it_says_what_to_run(tmp_path: Path) -> None:
    """Rule: the check fails on any difference and names the command; the command mends it."""
    there = tmp_path / "metrics.md"
    there.write_text("old", encoding="utf-8")
    stale = command("--check", "--out", str(there))
    assert (stale.returncode, "run python deployment/metrics_page.py" in stale.stdout) == (1, True)
    assert command("--out", str(there)).returncode == 0
    assert command("--check", "--out", str(there)).returncode == 0


def test_metrics_when_listed_then_no_id_stands_twice() -> None:
    """Rule: one id, one formula, over all kinds."""
    ids = [metric.metric_id for metric in ALL]
    assert len(ids) == len(set(ids))


@every_metric
def test_metric_when_described_then_completely(metric: object) -> None:
    """Rule: id with version, words for people, a formula of one line, streams and fields that exist."""
    described = {name: getattr(metric, name) for name in ("title", "unit", "formula", "rules", "source")}
    assert all(described.values()), described
    assert all("\n" not in text for text in described.values())
    assert re.fullmatch(r"[a-z][a-z0-9_]*@[1-9][0-9]*", getattr(metric, "metric_id", ""))
    labels = getattr(metric, "labels", ())
    assert labels
    assert len(set(labels)) == len(labels)
    assert 0 <= getattr(metric, "decimals", -1) <= 4
    assert set(getattr(metric, "streams", ())) <= set(STREAMS)
    assert set(getattr(metric, "needs", ())) <= set(Profile.__dataclass_fields__)


def test_words_when_metrics_are_described_then_they_claim_nothing_about_bodies() -> None:
    """Rule: what people read of a metric speaks of what was done, not of what may happen to them."""
    assert not re.search(r"risk|injur|diagnos|predict|danger|safe", page(), re.IGNORECASE)
