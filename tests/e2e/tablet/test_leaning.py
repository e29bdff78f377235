"""What the effort model leans on: asked for by a tap, in words about the model."""

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.tablet.conftest import Open, open_drawer
from tests.e2e.tablet.gateway import ScriptedGateway
from tests.e2e.tablet.test_captures import WIDE, shoot

pytestmark = pytest.mark.usefixtures("playing")


async def lean(page: Page, athlete: str) -> Locator:
    """Open an athlete's drawer and, in it, what the effort model leans on."""
    await open_drawer(page, athlete)
    await page.get_by_text("What this leans on").click()
    return page.locator(".drawer details")


async def test_leaning_when_drawer_opens_then_nothing_is_asked_before_the_tap(
    open_page: Open, gateway: ScriptedGateway
) -> None:
    """An explanation costs the gateway hundreds of answers: none is made that nobody reads."""
    page = await open_page()
    await open_drawer(page, "a17")
    await expect(page.get_by_text("What this leans on")).to_be_visible()
    async with page.expect_response("**/api/athletes/a17/metrics"):
        pass
    assert gateway.explained == []


@pytest.mark.parametrize(
    ("name", "address", "width", "height"),
    [
        ("leaning-1280", "#/", 1280, 800),
        ("leaning-dusk-1180", "?theme=dusk#/", 1180, 820),
        ("leaning-portrait", "#/", 800, 1280),
    ],
)
async def test_leaning_when_tapped_then_the_largest_inputs_with_values_and_units(
    open_page: Open, gateway: ScriptedGateway, *, name: str, address: str, width: int, height: int
) -> None:
    """The five inputs that move the answer most, largest first, the others in one line, and no claim about causes."""
    page = await open_page(address, width=width, height=height)
    panel = await lean(page, "a17")
    await expect(panel.locator("tbody tr")).to_have_count(5)
    await expect(panel.locator("p").first).to_contain_text("Effort model: 179 bpm from its inputs")
    first = panel.locator("tbody tr").first
    await expect(first.locator("th")).to_have_text("Speed over about 60 s3.4 m/s")
    await expect(first.locator("td")).to_have_text("+23 bpm")
    await expect(panel.locator('[data-feature="hr_rest"] td')).to_have_text("−2 bpm")
    await expect(panel.locator('[data-feature="hr_rest"] small')).to_have_text("56 bpm")
    await expect(panel).to_contain_text("8 other inputs, at most 2 bpm each")
    await expect(panel).to_contain_text("it names no cause")
    assert gateway.explained == [("a17", "effort")]
    assert await page.evaluate(WIDE) == []
    for target in (panel.locator("summary"), panel.get_by_role("button")):
        box = await target.bounding_box()
        assert box is not None
        assert box["height"] >= 47.5
    await panel.evaluate("el => el.scrollIntoView()")
    await shoot(page, name)


async def test_leaning_when_there_is_nothing_to_explain_then_the_gateways_reason(
    open_page: Open, gateway: ScriptedGateway
) -> None:
    """The gateway's own sentence stands there; asking again shows the answer once there is one."""
    gateway.refusal = "effort is asked once positions have come for 60 s"
    page = await open_page()
    panel = await lean(page, "a17")
    await expect(panel.get_by_role("status")).to_have_text("Effort is asked once positions have come for 60 s.")
    gateway.refusal = None
    again = panel.get_by_role("button", name="Ask again")
    await again.focus()
    await page.keyboard.press("Enter")
    await expect(panel.locator("tbody tr")).to_have_count(5)
    await expect(again).to_be_focused()  # who goes by keyboard keeps their place
    assert len(gateway.explained) == 2


async def test_leaning_when_another_athlete_is_opened_then_it_is_closed_again(
    open_page: Open, gateway: ScriptedGateway
) -> None:
    """One athlete's answer is never shown beside another's number."""
    page = await open_page()
    panel = await lean(page, "a17")
    await expect(panel.locator("tbody tr")).to_have_count(5)
    await open_drawer(page, "a02")
    await expect(page.locator(".drawer h2")).to_contain_text("Marek")
    await expect(panel.locator("tbody tr")).to_have_count(0)
    assert gateway.explained == [("a17", "effort")]
