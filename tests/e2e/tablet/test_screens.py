"""Field map, alerts and health: what each must show."""

import asyncio

import msgspec
import pytest
from playwright.async_api import expect

from edge.messages import MapPatch
from tests.e2e.tablet.conftest import Open
from tests.e2e.tablet.gateway import ScriptedGateway
from tests.e2e.tablet.scripted import REFUSAL, SECOND_NS, Squad, now_ns
from tests.e2e.tablet.test_link import alert_on

PLAYERS = 22


@pytest.mark.usefixtures("playing")
async def test_map_when_positions_come_then_dots_trails_and_paths(
    open_page: Open,
) -> None:
    """Every player is a dot with a number, a trail and a dotted path that ends in an ellipse; the ball has no path."""
    page = await open_page("#/map")
    await expect(page.locator('[data-dot][role="button"]')).to_have_count(PLAYERS)
    await expect(page.locator('[data-dot="ball"]')).to_have_count(1)
    await expect(page.locator("[data-ahead] ellipse")).to_have_count(PLAYERS)
    await expect(page.locator(".trail path").first).to_be_attached()
    await expect(page.locator(".map")).to_contain_text("22 live")
    await page.get_by_role("button", name="Ahead 2 s").click()
    await expect(page.locator("[data-ahead]")).to_have_count(0)


@pytest.mark.usefixtures("playing")
async def test_map_when_ellipse_drawn_then_holds_eight_of_ten(open_page: Open) -> None:
    """The ellipse is the 80 % region: its half axes are 1.794 standard deviations at 2 s."""
    page = await open_page("#/map")
    ellipse = page.locator('[data-ahead="a01"] ellipse')
    await expect(ellipse).to_be_attached()
    width = await page.locator(".field > svg").evaluate("el => el.clientWidth / 111")
    assert await ellipse.evaluate("el => el.rx.baseVal.value") == pytest.approx(1.794 * 0.06 * 20 * width, rel=0.02)


async def test_map_when_position_old_then_late_and_no_path(
    open_page: Open, gateway: ScriptedGateway, squad: Squad
) -> None:
    """An old position changes the dot's shape, carries its age and draws no path."""
    page = await open_page("#/map")
    await expect(page.locator(".field > svg")).to_be_attached()
    dots = [
        msgspec.structs.replace(dot, time_ns=now_ns() - (5 if i == 0 else 14 if i == 1 else 0) * SECOND_NS)
        for i, dot in enumerate(squad.dots(now_ns()))
    ]
    await gateway.send(MapPatch(sent_ns=now_ns(), dots=dots))
    await expect(page.locator('[data-dot="a01"]')).to_have_attribute("data-state", "late")
    await expect(page.locator('[data-dot="a02"]')).to_have_attribute("data-state", "lost")
    await expect(page.locator('[data-ahead="a01"]')).to_have_count(0)


@pytest.mark.usefixtures("playing")
async def test_map_when_dot_tapped_then_drawer(open_page: Open) -> None:
    """Tapping a dot opens that athlete's drawer beside the field."""
    page = await open_page("#/map")
    await page.locator('[data-dot="a17"]').dispatch_event("click")
    await expect(page.locator(".drawer h2")).to_contain_text("Lindholm")


async def test_alerts_when_active_and_ended_then_listed_with_evidence(
    open_page: Open, gateway: ScriptedGateway, squad: Squad
) -> None:
    """Active above ended, each with its evidence; "Seen" goes to the gateway."""
    active = alert_on(squad, "a17")
    other = alert_on(squad, "a08", "High speed 128 % of plan")
    for i, athlete in enumerate(("a05", "a22", "a13")):
        ended = alert_on(squad, athlete, "93 % of max for 31 s")
        squad.alerts[-1] = msgspec.structs.replace(
            ended, started_ns=now_ns() - (900 + 240 * i) * SECOND_NS, ended_ns=now_ns() - (840 + 240 * i) * SECOND_NS
        )
    page = await open_page("#/alerts")
    await expect(page.locator(".it:not(.done)")).to_have_count(2)
    await expect(page.locator(".it.done")).to_have_count(3)
    await page.locator(f'[data-alert="{active.alert}"]').click()
    await expect(page.locator(".det")).to_contain_text(active.why)
    await page.locator(".det").get_by_role("button", name="Seen").click()
    await asyncio.wait_for(gateway.said.wait(), 10)
    assert gateway.seen == [active.alert]
    assert other.alert not in gateway.seen


async def test_health_when_model_refused_then_reason_shown(open_page: Open) -> None:
    """A refused model keeps its old version, names the candidate, and says why it was turned away."""
    page = await open_page("#/health")
    card = page.locator('[data-model="trajectory"]')
    await expect(card.locator(".gate")).to_have_text("Refused")
    await expect(card).to_contain_text(REFUSAL)
    await expect(card).to_contain_text("2.3.1")
    await expect(card).to_contain_text("2.4.0")
    await expect(page.locator("[data-sensor]")).to_have_count(48)
    await expect(page.locator('[data-link="cloud"]')).to_contain_text("No route to the internet")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
