"""Colour means heart-rate zone: the built page carries the palette that was measured for contrast."""

import json

import pytest

from tests.e2e.tablet.conftest import ROOT, Open
from tests.tools import missing

GOLDEN = ROOT.parent / "shared" / "golden" / "palette_contrast.json"
READ = """() => [1, 2, 3, 4, 5].map((n) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--z${n}`).trim().toUpperCase())"""


@pytest.fixture
def recommended() -> list[str]:
    """The zone fills chosen by measurement, zone 1 first."""
    if not GOLDEN.exists():
        missing(f"{GOLDEN.name} beside the repository")
    measured: dict[str, dict[str, list[str]]] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return measured["RECOMMENDED"]["zones_Z1..Z5"]


@pytest.mark.parametrize("theme", ["sun", "dusk"])
async def test_palette_when_built_then_equals_measured_colours(
    open_page: Open, recommended: list[str], theme: str
) -> None:
    """The five zone fills equal the recommended palette, in both themes."""
    page = await open_page(f"?theme={theme}#/")
    assert await page.evaluate(READ) == recommended
