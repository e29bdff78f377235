"""Team metrics on the map: both teams side by side, named by what is drawn, each with its formula."""

import pytest
from playwright.async_api import expect

from edge.messages import TeamPatch
from tests.e2e.tablet.conftest import Open
from tests.e2e.tablet.gateway import ScriptedGateway
from tests.e2e.tablet.scripted import SECOND_NS, now_ns
from tests.e2e.tablet.scripted_metrics import of_teams
from tests.e2e.tablet.test_captures import shoot

ROWS = 6


@pytest.mark.usefixtures("playing")
async def test_map_when_team_metrics_come_then_both_teams_side_by_side(open_page: Open) -> None:
    """Centroid, length, width, area, stretch, nearest opponent and pitch control of both teams; a tap explains one."""
    page = await open_page("#/map")
    rows = page.locator("[data-team-metric]")
    await expect(rows).to_have_count(ROWS)
    area = page.locator('[data-team-metric="team_hull_area@1"]')
    await expect(area.locator(".v")).to_have_text(["1\u202f740", "1\u202f749"])
    await expect(area).to_have_attribute(
        "aria-label", "Hull area: Circles 1\u202f740 m², Squares 1\u202f749 m², how it is counted"
    )
    extent = page.locator('[data-team-metric="team_extent@1"]')
    await expect(extent).to_contain_text("length, width")
    await expect(extent.locator(".v").first.locator("span")).to_have_text(["52", "50"])
    await page.locator('[data-team-metric="nearest_opponent@1"]').click()
    sheet = page.get_by_role("dialog", name="Nearest opponent")
    await expect(sheet.locator("thead")).to_contain_text("Circles, m")
    await expect(sheet.locator("tbody td")).to_have_text(["6.2", "15.2"])
    await expect(sheet).to_contain_text("Circles: one player without positions")
    await expect(sheet).to_contain_text("nearest_opponent@1")
    await shoot(page, "formula-team-1280")


@pytest.mark.usefixtures("playing")
async def test_map_when_shape_switched_on_then_outlines_and_legend(open_page: Open) -> None:
    """The outline is the gateway's hull; the legend says which hatching belongs to whom; one team can be left out."""
    page = await open_page("#/map")
    await expect(page.locator("[data-team-metric]")).to_have_count(ROWS)
    await expect(page.locator("[data-hull]")).to_have_count(0)
    await page.get_by_role("button", name="Team shape").click()
    await expect(page.locator("[data-hull]")).to_have_count(2)
    await expect(page.locator(".leg")).to_have_text("Circles, hatchedSquares, dashed")
    await expect(page.locator(".counts")).to_be_in_viewport(ratio=1)
    await page.get_by_role("radio", name="Squares").click()
    await expect(page.locator("[data-hull]")).to_have_count(1)
    await expect(page.locator('[data-hull="1"]')).to_be_attached()


async def test_map_when_team_metrics_old_then_no_value_and_no_outline(
    open_page: Open, gateway: ScriptedGateway
) -> None:
    """Team metrics age as everything does: late after 2 s, "–" and no outline after 10 s."""
    page = await open_page("#/map")
    await page.get_by_role("button", name="Team shape").click()
    await gateway.send(TeamPatch(sent_ns=now_ns(), teams=of_teams()))
    teams = page.get_by_role("region", name="Team metrics")
    await expect(teams).to_have_attribute("data-state", "fresh")
    await expect(teams).to_have_attribute("data-state", "late", timeout=6_000)
    await gateway.send(TeamPatch(sent_ns=now_ns() - 15 * SECOND_NS, teams=of_teams()))
    await expect(teams).to_have_attribute("data-state", "lost")
    await expect(page.locator('[data-team-metric="pitch_control@1"] .v')).to_have_text(["–", "–"])
    await expect(page.locator("[data-hull]")).to_have_count(0)


async def test_teams_when_dusk_then_named_by_shape(open_page: Open) -> None:
    """No team is named by a colour that the other theme turns round."""
    page = await open_page("?theme=dusk#/map")
    await expect(page.get_by_role("radio")).to_have_text(["Both teams", "Circles", "Squares"])
