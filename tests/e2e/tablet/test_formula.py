"""Each number opens its formula: what it is, how it is counted, and how much of it was recorded for this athlete."""

import msgspec
import pytest
from playwright.async_api import Page, expect

from edge.messages import AthleteMetrics, TilePatch
from tests.e2e.tablet.conftest import Open, open_drawer
from tests.e2e.tablet.gateway import ScriptedGateway
from tests.e2e.tablet.scripted import Squad, now_ns
from tests.e2e.tablet.scripted_metrics import FORMULA, of_athlete
from tests.e2e.tablet.test_captures import shoot

SMALL = """() => [...document.querySelectorAll('dialog button, .metrics button, .totals button')]
  .filter((el) => { const box = el.getBoundingClientRect(); return box.height < 47.5 || box.width < 47.5; })
  .map((el) => el.textContent)"""
# A number's target is larger than its digits: what a finger meets decides, not the box of the text.
REACH = """(el) => {
  const box = el.getBoundingClientRect();
  const hits = (dx, dy) => document.elementFromPoint(box.x + dx, box.y + dy)?.closest('button') === el;
  let top = box.height / 2, bottom = top, left = box.width / 2, right = left;
  while (hits(box.width / 2, top - 1)) top -= 1;
  while (hits(box.width / 2, bottom + 1)) bottom += 1;
  while (hits(left - 1, box.height / 2)) left -= 1;
  while (hits(right + 1, box.height / 2)) right += 1;
  return [right - left + 1, bottom - top + 1];
}"""


async def sheet_of(page: Page, athlete: str, of: str) -> None:
    """Tap the first number of a quantity on an athlete's tile."""
    await page.locator(f'[data-athlete="{athlete}"] [data-of="{of}"]').first.click()
    await expect(page.get_by_role("dialog")).to_be_visible()


async def test_tile_when_total_tapped_then_formula_of_the_newest_version(open_page: Open) -> None:
    """High speed on a tile opens the newest version of its metric, with the bands that it sums marked."""
    page = await open_page()
    await sheet_of(page, "a17", "speed_band_distance")
    sheet = page.get_by_role("dialog", name="Distance by speed")
    await expect(sheet).to_contain_text("17 Lindholm")
    await expect(sheet).to_contain_text(FORMULA)
    await expect(sheet).to_contain_text("each reading holds until the next")
    await expect(sheet).to_contain_text("speed_band_distance@2")
    await expect(sheet.locator(".big")).to_contain_text("840")
    await expect(sheet.locator("tr.marked th")).to_have_text(["High speed", "Sprint"])
    assert await page.locator(".drawer").count() == 0
    await expect(sheet.get_by_role("button", name="Open Lindholm")).to_be_visible()
    await shoot(page, "formula-1280")


@pytest.mark.usefixtures("playing")
async def test_tile_when_heart_rate_tapped_then_says_who_measured_it_and_when(open_page: Open) -> None:
    """A plain reading explains itself: which sensor, how old, when it is late and lost."""
    page = await open_page("?theme=dusk#/")
    await sheet_of(page, "a05", "heart_rate")
    sheet = page.get_by_role("dialog", name="Heart rate")
    await expect(sheet).to_contain_text("Heart strap heart_strap-5. Reading 1 s old.")
    await expect(sheet).to_contain_text("Late after 3 s")
    await shoot(page, "formula-dusk-1280")


async def test_tile_when_share_of_plan_tapped_then_says_of_what(
    open_page: Open, gateway: ScriptedGateway, squad: Squad
) -> None:
    """The share of plan names the plan; without a strap the big number is speed and explains that."""
    page = await open_page()
    await sheet_of(page, "a02", "plan")
    await expect(page.get_by_role("dialog")).to_contain_text("The plan of Match prep: 6\u202f500 m.")
    await page.keyboard.press("Escape")
    bare = msgspec.structs.replace(squad.tiles["a02"], hr_bpm=None, hr_ns=None, zone=None, position_ns=now_ns())
    await gateway.send(TilePatch(sent_ns=now_ns(), tiles=[bare]))
    await sheet_of(page, "a02", "speed")
    await expect(page.get_by_role("dialog", name="Speed")).to_contain_text("Position tag position_tag-2")


async def test_formula_when_closed_then_focus_returns(open_page: Open) -> None:
    """Escape closes the sheet and not the drawer, ✕ does too, and the number has the focus again."""
    page = await open_page()
    await open_drawer(page, "a01")
    number = page.locator(".totals").get_by_role("button", name="TRIMP")
    await number.click()
    await expect(page.get_by_role("dialog", name="TRIMP (Banister)")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(number).to_be_focused()
    await number.press("Enter")
    await page.get_by_role("dialog").get_by_role("button", name="Close").click()
    await expect(number).to_be_focused()
    await expect(page.locator(".drawer")).to_be_visible()


async def test_formula_when_only_keyboard_then_reached_and_read(open_page: Open) -> None:
    """Tab goes from a tile to its numbers and Enter opens one; each says whose it is and what tapping does."""
    page = await open_page()
    await page.locator('[data-athlete="a01"] .tile-open').focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Tab")
    # The tab stop moved with the arrow: the next stop is the big number of the second tile.
    label = await page.evaluate("document.activeElement.ariaLabel")
    assert label.startswith("Marek, Heart rate: ")
    assert label.endswith("how it is counted")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog", name="Heart rate")).to_be_visible()
    assert await page.evaluate("document.activeElement.closest('dialog') !== null")


async def test_formula_when_opened_from_tile_then_leads_to_athlete(open_page: Open) -> None:
    """A coach who meant the athlete is one tap away."""
    page = await open_page()
    await sheet_of(page, "a17", "heart_rate")
    await page.get_by_role("button", name="Open Lindholm").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.locator(".drawer h2")).to_contain_text("Lindholm")
    await expect(page.locator(".drawer .close")).to_be_focused()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1180, 820), (800, 1280)])
async def test_numbers_when_measured_then_large_enough_for_a_finger(open_page: Open, width: int, height: int) -> None:
    """Every number of a tile, row and button of a sheet is a target of at least 48 px."""
    page = await open_page(width=width, height=height)
    for number in await page.locator('[data-athlete="a05"] [data-of]').all():
        w, h = await number.evaluate(REACH)
        assert min(w, h) >= 47, await number.get_attribute("aria-label")
    await sheet_of(page, "a05", "speed_band_distance")
    assert await page.evaluate(SMALL) == []
    box = await page.get_by_role("dialog").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= height


async def test_formula_when_catalogue_lacks_it_then_says_so(open_page: Open, squad: Squad) -> None:
    """A number that the gateway does not describe claims no formula."""
    squad.metrics = []
    page = await open_page()
    await sheet_of(page, "a17", "speed_band_distance")
    await expect(page.get_by_role("dialog")).to_contain_text("does not describe this number")


async def test_drawer_when_open_then_all_metrics_in_groups(open_page: Open, gateway: ScriptedGateway) -> None:
    """All metrics with unit and decimals; part recorded, doubtful and missing ones say why."""
    page = await open_page()
    await open_drawer(page, "a17")
    metrics = page.get_by_role("region", name="All metrics")
    await expect(metrics.locator("h4")).to_have_text(["Heart", "Movement", "Power", "Recovery"])
    await expect(metrics.locator('[data-metric="trimp_edwards@1"] b')).to_have_text("188.3AU")
    await expect(metrics.locator('[data-metric="distance@2"]')).to_contain_text("91 % recorded")
    await expect(metrics.locator('[data-metric="trimp_banister@1"]')).to_contain_text("quality 88 %")
    missing = metrics.locator('[data-metric="rmssd@1"]')
    await expect(missing.locator("b")).to_have_text("–")
    await expect(missing).to_contain_text("fewer than 60 s of beat intervals")
    await expect(metrics.locator('[data-metric="efforts@1"]')).to_contain_text("Decelerations")
    assert set(gateway.asked) == {"a17"}
    await missing.click()
    sheet = page.get_by_role("dialog", name="RMSSD")
    await expect(sheet).to_contain_text("Task Force 1996")
    await expect(sheet).to_contain_text("0 % of the time")
    await page.keyboard.press("Escape")
    await metrics.locator('[data-metric="hr_recovery_60s@1"]').scroll_into_view_if_needed()
    await shoot(page, "drawer-metrics-1280")


async def test_drawer_when_metrics_change_then_shown_within_seconds(open_page: Open, gateway: ScriptedGateway) -> None:
    """The list is asked for again and again while the drawer is open, and no longer once it is closed."""
    page = await open_page()
    await open_drawer(page, "a17")
    distance = page.locator('[data-metric="distance@2"] b')
    await expect(distance).to_have_text("6\u202f104m")
    gateway.metrics_of = lambda athlete, sent_ns: longer(of_athlete(athlete, sent_ns))
    await expect(distance).to_have_text("6\u202f200m")
    await page.keyboard.press("Escape")
    await expect(page.locator(".drawer")).to_have_count(0)
    await open_drawer(page, "a02")
    await expect(page.locator('[data-metric="distance@2"]')).to_be_visible()
    asked = len(gateway.asked)
    assert gateway.asked[-1] == "a02"
    await expect(page.locator('[data-metric="distance@2"] b')).to_have_text("6\u202f200m")
    async with page.expect_response("**/api/athletes/a02/metrics"):
        pass
    assert set(gateway.asked[asked:]) <= {"a02"}


async def test_drawer_when_gateway_does_not_answer_then_values_marked_stale(
    open_page: Open, gateway: ScriptedGateway
) -> None:
    """Values without a new answer keep their age and the reason; they come alive again with the next answer."""
    page = await open_page()
    await open_drawer(page, "a17")
    when = page.locator(".metrics .when")
    await expect(when).to_have_text("now")
    gateway.answer_status = 500
    await expect(when).to_contain_text("The gateway could not answer (500).", timeout=8_000)
    await expect(page.locator(".metrics .row.stale")).to_have_count(10)
    gateway.answer_status = 200
    await expect(when).to_have_text("now")
    await expect(page.locator(".metrics .row.stale")).to_have_count(0)


async def test_formula_when_all_was_recorded_then_the_pie_is_full(open_page: Open, gateway: ScriptedGateway) -> None:
    """100 % recorded is a full disc: an empty one is the sign of a lost sensor."""
    gateway.metrics_of = lambda athlete, sent_ns: whole(of_athlete(athlete, sent_ns))
    page = await open_page()
    await open_drawer(page, "a17")
    await page.locator('[data-metric="distance@2"] button, button[data-metric="distance@2"]').first.click()
    slice_of_pie = page.get_by_role("dialog").locator(".ic-pie path")
    assert await slice_of_pie.evaluate(
        "el => Math.round(el.getBBox().width) + ' ' + Math.round(el.getBBox().height)"
    ) == ("12 12")


def whole(answer: AthleteMetrics) -> AthleteMetrics:
    """The same, recorded all the time."""
    metrics = [msgspec.structs.replace(now, coverage=1.0) for now in answer.metrics]
    return msgspec.structs.replace(answer, metrics=metrics)


def longer(answer: AthleteMetrics) -> AthleteMetrics:
    """The same with 6 200 m."""
    return msgspec.structs.replace(
        answer,
        metrics=[
            msgspec.structs.replace(now, values=[6_200.0]) if now.metric == "distance@2" else now
            for now in answer.metrics
        ],
    )
