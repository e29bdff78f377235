"""The athlete drawer: why this one, without losing the others."""

import msgspec
import pytest
from playwright.async_api import expect

from edge.messages import TilePatch
from tests.e2e.tablet.conftest import Open, open_drawer
from tests.e2e.tablet.gateway import ScriptedGateway
from tests.e2e.tablet.scripted import Squad, now_ns


def make_unusual(squad: Squad, athlete: str) -> None:
    """The effort model expected 12 beats fewer, for longer than its dwell time."""
    tile = squad.tiles[athlete]
    squad.tiles[athlete] = msgspec.structs.replace(
        tile, effort_bpm=(tile.hr_bpm or 0) - 12, effort_residual=2.6, unusual=True
    )


@pytest.mark.usefixtures("playing")
async def test_drawer_when_tile_tapped_then_grid_stays(open_page: Open, squad: Squad) -> None:
    """The drawer takes 40 % from the right; all tiles stay in place, compact and without scrolling."""
    make_unusual(squad, "a17")
    page = await open_page()
    await open_drawer(page, "a17")
    drawer = page.locator(".drawer")
    await expect(drawer.get_by_role("heading", level=2)).to_contain_text("Lindholm")
    assert abs(await drawer.evaluate("el => el.clientWidth / innerWidth") - 0.40) < 0.01
    await expect(page.locator(".tile")).to_have_count(24)
    assert await page.locator(".grid").evaluate("el => el.scrollHeight <= el.clientHeight + 1")
    await expect(drawer.locator("canvas")).to_be_visible()


@pytest.mark.usefixtures("playing")
async def test_drawer_when_unusual_then_says_so_in_beats(open_page: Open, squad: Squad) -> None:
    """The effort model speaks in beats against what it expected of this athlete."""
    make_unusual(squad, "a05")
    page = await open_page()
    await expect(page.locator('[data-athlete="a05"] .ic-unusual')).to_be_visible()
    await open_drawer(page, "a05")
    await expect(page.locator(".effort b")).to_have_text("Unusual for this athlete: 12 beats above expected")


async def test_drawer_when_other_tile_tapped_then_swaps(open_page: Open) -> None:
    """Tapping another tile swaps the content; the sensors shown are that athlete's."""
    page = await open_page()
    await open_drawer(page, "a01")
    await open_drawer(page, "a02")
    await expect(page.locator(".drawer h2")).to_contain_text("Marek")
    await expect(page.locator(".drawer [data-worn]")).to_have_count(2)


async def test_tile_when_only_one_sensor_then_shows_what_there_is(
    open_page: Open, gateway: ScriptedGateway, squad: Squad
) -> None:
    """Without a strap the tile shows speed; without a tag it shows beats and TRIMP, and no metres."""
    page = await open_page()
    await expect(page.locator(".tile")).to_have_count(24)
    kept = squad.tiles["a07"]
    no_strap = msgspec.structs.replace(
        squad.tiles["a06"], hr_bpm=None, hr_ns=None, zone=None, speed_mps=5.0, position_ns=now_ns(), trace_bpm=None
    )
    no_tag = msgspec.structs.replace(
        kept, speed_mps=None, position_ns=None, distance_m=None, high_speed_m=None, sprint_m=None, trace_bpm=None
    )
    await gateway.send(TilePatch(sent_ns=now_ns(), tiles=[no_strap, no_tag]))
    await expect(page.locator('[data-athlete="a06"] .val')).to_have_text("18")
    await expect(page.locator('[data-athlete="a06"] .unit')).to_have_text("km/h")
    await expect(page.locator('[data-athlete="a07"] .t-foot')).to_have_text(f"{kept.trimp:.0f}TRIMP")
