"""The live grid: everybody at a glance, nothing to scroll, every age told."""

import msgspec
import pytest
from playwright.async_api import expect

from edge.messages import TilePatch
from tests.e2e.tablet.conftest import Open
from tests.e2e.tablet.gateway import ScriptedGateway
from tests.e2e.tablet.scripted import Squad, now_ns

OVERFLOWING = """() => [...document.querySelectorAll('main, main *, .head')]
  .filter((el) => el.scrollHeight > el.clientHeight + 1 && getComputedStyle(el).overflowY.match(/auto|scroll/))
  .map((el) => el.className)"""
OUTSIDE = """() => [...document.querySelectorAll('.tile')].filter((el) => {
  const box = el.getBoundingClientRect();
  return box.bottom > innerHeight - 72 || box.right > innerWidth || box.top < 56;
}).length"""


def set_ages(squad: Squad) -> None:
    """Number 6 is 5 s old, 11 lost its strap 38 s ago, 20 left 14 s ago, the rest are fresh."""
    for athlete, old_s, contact in (("a06", 5, True), ("a18", 8, True), ("a11", 38, False), ("a20", 14, True)):
        tile = squad.tiles[athlete]
        heard = [*(tile.trace_bpm or [])[old_s:], *([None] * old_s)]
        squad.old_s[athlete] = old_s
        squad.tiles[athlete] = msgspec.structs.replace(tile, contact=contact, trace_bpm=heard)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1180, 820)])
async def test_grid_when_24_athletes_then_no_scroll(open_page: Open, width: int, height: int) -> None:
    """24 tiles fit both tablets without scrolling, and no tile hides behind header or bar."""
    page = await open_page(width=width, height=height)
    await expect(page.locator(".tile")).to_have_count(24)
    assert await page.evaluate(OVERFLOWING) == []
    assert await page.evaluate(OUTSIDE) == 0


@pytest.mark.parametrize(("size", "scrolls"), [(30, False), (60, True)])
async def test_grid_when_more_athletes_then_30_fit_and_60_scroll(
    open_page: Open, squad: Squad, *, size: int, scrolls: bool
) -> None:
    """Up to 30 tiles fit in five rows; beyond, the grid scrolls and tiles keep their size."""
    bigger = Squad(size=size)
    squad.athletes, squad.tiles = bigger.athletes, bigger.tiles
    page = await open_page()
    await expect(page.locator(".tile")).to_have_count(size)
    assert (await page.evaluate(OVERFLOWING) != []) is scrolls
    assert await page.locator(".tile").first.evaluate("el => el.clientHeight") > 110


@pytest.mark.usefixtures("playing")
async def test_tile_when_age_grows_then_late_and_lost(open_page: Open, squad: Squad) -> None:
    """Heart rate is late above 3 s and lost above 10 s: then "–", the last value small, and the cause."""
    set_ages(squad)
    page = await open_page()
    await expect(page.locator('[data-athlete="a01"]')).to_have_attribute("data-state", "fresh")
    await expect(page.locator('[data-athlete="a06"]')).to_have_attribute("data-state", "late")
    lost = page.locator('[data-athlete="a11"]')
    await expect(lost).to_have_attribute("data-state", "lost")
    await expect(lost.locator(".val")).to_have_text("–")
    await expect(lost.locator(".last")).to_have_text(f"{squad.tiles['a11'].hr_bpm:.0f}")
    await expect(lost.locator(".why")).to_have_text("Strap off?")
    await expect(page.locator('[data-athlete="a20"] .why')).to_have_text("Out of range")


async def test_tile_when_nothing_comes_then_ages_by_itself(open_page: Open) -> None:
    """A tile turns late on the tablet's own clock, with no message from the gateway."""
    page = await open_page()
    tile = page.locator('[data-athlete="a01"]')
    await expect(tile).to_have_attribute("data-state", "fresh")
    await expect(tile).to_have_attribute("data-state", "late", timeout=6_000)


async def test_tile_when_part_recorded_then_lower_bound_and_pie(open_page: Open, squad: Squad) -> None:
    """Under 95 % coverage totals are lower bounds and the share of plan gives way to the recorded share."""
    squad.tiles["a03"] = msgspec.structs.replace(squad.tiles["a03"], coverage=0.91, high_speed_m=446.0)
    page = await open_page()
    foot = page.locator('[data-athlete="a03"] .t-foot > .item')
    await expect(foot.nth(0)).to_have_text("≥446m")
    await expect(foot.nth(1)).to_have_text("91%")


async def test_tile_when_patch_comes_then_digits_swap(open_page: Open, gateway: ScriptedGateway, squad: Squad) -> None:
    """A patch replaces the athlete's values on the next tick."""
    page = await open_page()
    await expect(page.locator(".tile")).to_have_count(24)
    patched = msgspec.structs.replace(squad.tiles["a02"], hr_bpm=199.0, zone=5, hr_ns=now_ns(), trace_bpm=None)
    await gateway.send(TilePatch(sent_ns=now_ns(), tiles=[patched]))
    await expect(page.locator('[data-athlete="a02"] .val')).to_have_text("199")
    await expect(page.locator('[data-athlete="a02"] .zone')).to_have_text("Z5")


async def test_metric_when_switched_then_big_value_changes(open_page: Open, squad: Squad) -> None:
    """The switch changes what every tile shows big: beats, kilometres, metres at high speed, share of plan."""
    page = await open_page()
    value = page.locator('[data-athlete="a04"] .val')
    tile = squad.tiles["a04"]
    await expect(value).to_have_text(f"{tile.hr_bpm:.0f}")
    for name, text in (
        ("Volume", f"{(tile.distance_m or 0) / 1000:.1f}"),
        ("High speed", f"{tile.high_speed_m:.0f}"),
        ("Target %", f"{tile.plan_percent:.0f}"),
    ):
        await page.get_by_role("radio", name=name).click()
        await expect(value).to_have_text(text)


async def test_keyboard_when_arrows_and_enter_then_moves_and_opens(open_page: Open) -> None:
    """Arrow keys move in the grid, Enter opens the drawer, Esc closes it and gives the focus back."""
    page = await open_page()
    await page.locator('[data-athlete="a01"] .tile-open').focus()
    for key in ("ArrowRight", "ArrowDown", "Enter"):
        await page.keyboard.press(key)
    await expect(page.locator(".drawer")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator(".drawer")).to_have_count(0)
    assert await page.evaluate("document.activeElement.ariaLabel") is not None
