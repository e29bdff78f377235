"""The link to the gateway: what a loss looks like, and what is told again after it."""

import asyncio

from playwright.async_api import expect

from edge.messages import Alert, AlertPatch
from tests.e2e.tablet.conftest import Open
from tests.e2e.tablet.gateway import ScriptedGateway
from tests.e2e.tablet.scripted import SECOND_NS, Squad, now_ns

WITHIN_S = 10


def alert_on(squad: Squad, athlete: str, why: str = "94 % of max for 24 s · limit 92 %") -> Alert:
    """An active banner on one athlete, added to the squad's state."""
    alert = Alert(
        alert=f"alert-{athlete}",
        athlete=athlete,
        rule="heart_rate_high",
        severity="banner",
        why=why,
        cause="hr",
        started_ns=now_ns() - 4 * SECOND_NS,
    )
    squad.alerts.append(alert)
    return alert


async def test_link_when_gateway_gone_then_tiles_age_and_header_says_so(
    open_page: Open, gateway: ScriptedGateway
) -> None:
    """With the gateway gone nobody is live, tiles go late and then lost by themselves, and the cause is the link."""
    page = await open_page(width=1180, height=820)
    await expect(page.locator(".tile.fresh")).to_have_count(24)
    await gateway.drop()
    await expect(page.locator(".pill", has_text="no link")).to_be_visible()
    await expect(page.locator(".pill", has_text="live")).to_contain_text("0/24")
    await expect(page.locator(".tile.late")).to_have_count(24, timeout=6_000)
    await expect(page.locator(".tile.lost .why").first).to_have_text("No link", timeout=12_000)
    await expect(page.locator('[data-athlete="a01"] .val')).to_have_text("–")


async def test_link_when_gateway_returns_then_page_recovers(open_page: Open, gateway: ScriptedGateway) -> None:
    """The page connects again within a few seconds and starts over from the new snapshot."""
    page = await open_page()
    await expect(page.locator(".tile")).to_have_count(24)
    await gateway.drop()
    await expect(page.locator(".pill", has_text="no link")).to_be_visible()
    gateway.refusing = False
    await expect(page.locator(".pill", has_text="gateway")).to_be_visible(timeout=WITHIN_S * 1_000)


async def test_banner_when_seen_tapped_then_gateway_hears(
    open_page: Open, gateway: ScriptedGateway, squad: Squad
) -> None:
    """The banner names who and why in a polite live region; "Seen" takes it away and tells the gateway."""
    alert = alert_on(squad, "a17")
    page = await open_page()
    banner = page.locator('[role="status"][aria-live="polite"] .banner')
    await expect(banner).to_contain_text("17 Lindholm")
    await expect(banner).to_contain_text(alert.why)
    await banner.get_by_role("button").click()
    await expect(banner).to_have_count(0)
    await asyncio.wait_for(gateway.said.wait(), WITHIN_S)
    assert gateway.seen == [alert.alert]


async def test_banner_when_seen_without_link_then_told_after_reconnect(
    open_page: Open, gateway: ScriptedGateway, squad: Squad
) -> None:
    """A tap works without a link; the gateway hears of it with the next snapshot."""
    alert = alert_on(squad, "a17")
    page = await open_page()
    await expect(page.locator(".banner")).to_be_visible()
    await gateway.drop()
    await expect(page.locator(".pill", has_text="no link")).to_be_visible()
    await page.locator(".banner button").click()
    assert gateway.seen == []
    gateway.refusing = False
    await asyncio.wait_for(gateway.said.wait(), WITHIN_S)
    assert gateway.seen == [alert.alert]


async def test_banner_when_two_alerts_then_second_waits(
    open_page: Open, gateway: ScriptedGateway, squad: Squad
) -> None:
    """One banner at a time: the second takes its place once the first was seen."""
    alert_on(squad, "a17")
    page = await open_page()
    await expect(page.locator(".banner")).to_contain_text("Lindholm")
    second = alert_on(squad, "a08", "High speed 128 % of plan")
    await gateway.send(AlertPatch(sent_ns=now_ns(), alert=second))
    await expect(page.locator(".pill", has_text="alerts")).to_contain_text("2")
    await expect(page.locator(".banner")).to_have_count(1)
    await page.locator(".banner button").click()
    await expect(page.locator(".banner")).to_contain_text("Tamm")
