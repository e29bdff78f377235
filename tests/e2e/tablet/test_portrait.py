"""Held upright: everything fits, nothing is cut at the side, the bar has two rows where one is too short."""

import msgspec
import pytest
from playwright.async_api import expect

from edge.messages import HealthPatch
from tests.e2e.tablet.conftest import Open
from tests.e2e.tablet.gateway import ScriptedGateway
from tests.e2e.tablet.scripted import Squad, health_of, now_ns
from tests.e2e.tablet.test_captures import WIDE
from tests.e2e.tablet.test_grid import OUTSIDE, OVERFLOWING
from tests.e2e.tablet.test_link import alert_on

OUT = """() => [...document.querySelectorAll('.bar > *, .bar button, .pill, .banner *, .facts *')].filter((el) => {
  const box = el.getBoundingClientRect();
  return box.width > 0 && (box.left < 0 || box.right > innerWidth + 0.5 || box.bottom > innerHeight + 0.5);
}).map((el) => el.textContent)"""


@pytest.mark.parametrize(("width", "height"), [(800, 1280), (820, 1180)])
@pytest.mark.parametrize("address", ["#/", "#/map", "#/alerts", "#/health"])
async def test_bar_when_upright_then_nothing_overflows(
    open_page: Open, squad: Squad, *, address: str, width: int, height: int
) -> None:
    """Every button of the bar and every word of the banner lies inside the screen, without scrolling."""
    alert_on(squad, "a17")
    page = await open_page(address, width=width, height=height)
    await expect(page.locator(".banner")).to_contain_text("94 % of max for 24 s")
    assert await page.evaluate(WIDE) == []
    assert await page.evaluate(OUT) == []


@pytest.mark.parametrize(("width", "height"), [(800, 1280), (820, 1180)])
async def test_grid_when_upright_then_24_whole_tiles(open_page: Open, width: int, height: int) -> None:
    """Four columns show all 24 tiles with their traces, without scrolling."""
    page = await open_page(width=width, height=height)
    await expect(page.locator(".tile .spark").first).to_be_visible()
    assert await page.evaluate(OVERFLOWING) == []
    assert await page.evaluate(OUTSIDE) == 0


async def test_name_when_it_has_a_hyphen_then_no_wider_than_text(
    open_page: Open, gateway: ScriptedGateway, squad: Squad
) -> None:
    """Regression: the number font set a gateway's hyphen as wide as a digit, so that "gw-demo" read "gw - demo"."""
    page = await open_page("#/health")
    health = msgspec.structs.replace(health_of(squad.athletes), gateway="gw-demo")
    await gateway.send(HealthPatch(sent_ns=now_ns(), health=health))
    name = page.locator(".gateway b")
    await expect(name).to_have_text("gw-demo")
    hyphen, digit = await name.evaluate(
        """(el) => ['-', '0'].map((text) => {
          const probe = el.appendChild(document.createElement('span'));
          probe.textContent = text.repeat(20);
          const width = probe.getBoundingClientRect().width;
          probe.remove();
          return width;
        })"""
    )
    assert hyphen < 0.85 * digit
