"""Health of the store: its fill and what that gives up, what is missing and why, and what the cloud has."""

import msgspec
import pytest
from playwright.async_api import expect

from edge.health_messages import SessionEntry
from edge.messages import HealthPatch
from edge.store.pressure import WATERMARKS_PERCENT, Level
from tests.e2e.tablet.conftest import TABLET, Open
from tests.e2e.tablet.gateway import ScriptedGateway
from tests.e2e.tablet.scripted import SECOND_NS, Squad, health_of, now_ns
from tests.e2e.tablet.test_captures import WIDE, shoot

WORDS = (TABLET / "src" / "lib" / "words.ts").read_text(encoding="utf-8")


def test_words_when_the_gateway_names_a_level_then_the_tablet_has_words_for_it() -> None:
    """Rule: both sides know the same watermarks and levels."""
    assert f"WATERMARKS = [{', '.join(f'{mark:g}' for mark in WATERMARKS_PERCENT.values())}] as const" in WORDS
    for level in Level:
        assert f"  {level.name.lower()}: " in WORDS


async def test_health_when_store_has_room_then_fill_and_marks_are_said(open_page: Open) -> None:
    """Rule: the fill stands in figures and in words, with the three watermarks on its bar."""
    page = await open_page("#/health")
    fill = page.locator(".fill")
    await expect(fill.locator(".line")).to_have_text("2.5 % full212 MB of 8.6 GB")
    await expect(fill.locator(".marks span")).to_have_text(["70", "85", "95"])
    await expect(fill.locator(".passed")).to_have_count(0)
    await expect(fill).to_contain_text("Everything is kept")


async def test_health_when_others_fill_the_disk_then_the_room_is_what_it_leaves(
    open_page: Open, gateway: ScriptedGateway, squad: Squad
) -> None:
    """Rule: with less room on the disk than the quota, the fill is told of that room."""
    page = await open_page("#/health")
    health = health_of(squad.athletes)
    store = msgspec.structs.replace(health.store, pressure="thin_imu", pressure_percent=71.0)
    await gateway.send(HealthPatch(sent_ns=now_ns(), health=msgspec.structs.replace(health, store=store)))
    await expect(page.locator(".fill .line")).to_have_text("71 % full212 MB of 299 MB on this disk")


@pytest.mark.parametrize(
    ("percent", "pressure", "said", "passed"),
    [
        (72.4, "thin_imu", "Filling: one in four readings of raw motion is kept", 1),
        (88.0, "thin_positions", "Nearly full: no raw motion, and one in five positions is kept", 2),
        (97.0, "essential", "Full: neither raw motion nor positions are kept", 3),
    ],
)
async def test_health_when_store_fills_then_what_is_given_up_is_said(
    open_page: Open, gateway: ScriptedGateway, squad: Squad, percent: float, pressure: str, said: str, passed: int
) -> None:
    """Rule: from each watermark on, words say what is left out, and the bar shows which marks are passed."""
    page = await open_page("#/health")
    health = health_of(squad.athletes)
    store = msgspec.structs.replace(
        health.store, pressure=pressure, pressure_percent=percent, database_bytes=round(85_899_345 * percent)
    )
    health = msgspec.structs.replace(health, store=store)
    await gateway.send(HealthPatch(sent_ns=now_ns(), health=health))
    await expect(page.locator(".fill p")).to_have_text(said)
    await expect(page.locator(".fill .passed")).to_have_count(passed)
    await expect(page.get_by_role("meter", name="Store")).to_have_attribute("aria-valuenow", f"{percent:g}")
    if passed == 3:
        await shoot(page, "health-store-full-1280")


async def test_health_when_sessions_are_told_then_what_the_cloud_has_is_said(open_page: Open) -> None:
    """Rule: each session says whether it is complete in the cloud, how much is to go, or that it is gone from here."""
    page = await open_page("#/health")
    states = page.locator("[data-session] .state")
    await expect(states).to_have_text(
        ["26 batches to go", "12 batches to go", "Complete in cloud", "Complete in cloud, removed from this gateway"]
    )
    await expect(page.locator("[data-session] .done svg")).to_have_count(2)
    await expect(page.locator("[data-session]").first.locator("b")).to_contain_text("–now")
    await expect(page.locator("[data-session]").nth(2).locator(".much")).to_have_text("503\u202f000 readings, 52 MB")
    await expect(page.locator("[data-session]").last.locator(".much")).to_have_text("689\u202f000 readings")
    await page.locator("[data-session]").last.scroll_into_view_if_needed()
    await shoot(page, "health-sessions-1280")


async def test_health_when_all_is_sent_but_not_counted_then_it_is_not_called_complete(
    open_page: Open, gateway: ScriptedGateway, squad: Squad
) -> None:
    """Rule: only the gateway's word `complete` makes a tick; nothing unsent is not enough."""
    page = await open_page("#/health")
    session = SessionEntry(
        started_ns=now_ns() - 7_200 * SECOND_NS, ended_ns=now_ns(), readings=10, size_bytes=1_000, unsent_batches=0,
        complete=False, removed=False,
    )  # fmt: skip
    gone = msgspec.structs.replace(session, started_ns=session.started_ns - SECOND_NS, removed=True)
    health = msgspec.structs.replace(health_of(squad.athletes), sessions=[session, gone])
    await gateway.send(HealthPatch(sent_ns=now_ns(), health=health))
    await expect(page.locator("[data-session] .state")).to_have_text(
        ["Sent, the cloud's count is awaited", "Removed from this gateway"]
    )
    await expect(page.locator("[data-session] .done")).to_have_count(0)


async def test_health_when_readings_are_missing_then_thinned_and_dropped_are_told_apart(open_page: Open) -> None:
    """Rule: what was kept thinner, given up and never received are three words, each with reason and count."""
    page = await open_page("#/health")
    rows = page.locator("[data-gap]")
    await expect(rows.nth(0)).to_contain_text("Heart rateMissed out of range")
    await expect(rows.nth(1)).to_contain_text("Motion (IMU)Thinned store is over 70 % full")
    await expect(rows.nth(2)).to_contain_text("All streamsDropped store could not keep up")
    await expect(rows.nth(1).locator("td").nth(1)).to_have_text("48\u202f000")
    await expect(page.get_by_role("heading", name="Gaps")).to_contain_text("243 missing, 48\u202f000 thinned")
    assert await page.evaluate(WIDE) == []
