"""Captures of every screen in one realistic training, for people to look at beside the design reference."""

import math

import msgspec
import pytest
from playwright.async_api import Page, expect

from edge.messages import MapPatch, TeamPatch, TilePatch
from tests.e2e.tablet.conftest import ROOT, Open
from tests.e2e.tablet.gateway import ScriptedGateway
from tests.e2e.tablet.scripted import SECOND_NS, Squad, now_ns
from tests.e2e.tablet.scripted_metrics import of_teams
from tests.e2e.tablet.test_grid import set_ages
from tests.e2e.tablet.test_link import alert_on

SCREENS = ROOT / "artifacts" / "screens"
HISTORY_S = 600
LOUD = "a17"

WIDE = """() => [document.documentElement, ...document.querySelectorAll('.scroll, .drawer, .head, .bar')]
  .filter((el) => el.scrollWidth > el.clientWidth + 1)
  .map((el) => `${el.className} ${el.scrollWidth} > ${el.clientWidth}`)"""

CUT = """() => [...document.querySelectorAll('.t-head .name, .t-foot, .t-main')]
  .filter((el) => el.scrollWidth > el.clientWidth).map((el) => el.textContent)"""


async def shoot(page: Page, name: str) -> None:
    """Write one capture."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENS / f"{name}.png")


@pytest.fixture
def training(squad: Squad) -> Squad:
    """Two late, two lost, one part recorded, one attention with its alert, one over plan, three alerts that ended."""
    set_ages(squad)
    tile, athlete = squad.tiles[LOUD], squad.athletes[16]
    bpm = round(athlete.hr_max_bpm * 0.94)
    rise = [round(bpm - 22 * math.exp(-max(0, s - 20) / 11) - (s < 20) * (20 - s) * 0.1, 1) for s in range(60)]
    squad.tiles[LOUD] = msgspec.structs.replace(
        tile, hr_bpm=bpm, zone=5, effort_bpm=bpm - 12, effort_residual=2.6, unusual=True, trace_bpm=rise,
        attention="94 % of max for 24 s", attention_cause="hr",
    )  # fmt: skip
    squad.tiles["a03"] = msgspec.structs.replace(squad.tiles["a03"], coverage=0.91)
    squad.tiles["a08"] = msgspec.structs.replace(
        squad.tiles["a08"], attention="High speed 128 % of plan", attention_cause="speed", plan_percent=128.0
    )
    for i, ended in enumerate(("a05", "a22", "a13")):
        alert = alert_on(squad, ended, "93 % of max for 31 s")
        began_ns = now_ns() - (900 + 240 * i) * SECOND_NS
        squad.alerts[-1] = msgspec.structs.replace(alert, started_ns=began_ns, ended_ns=began_ns + 64 * SECOND_NS)
    squad.alerts.append(msgspec.structs.replace(alert_on(squad, "a08", "High speed 128 % of plan"), severity="badge"))
    squad.alerts.pop(-2)
    alert_on(squad, LOUD)
    return squad


async def tell_past(gateway: ScriptedGateway, squad: Squad) -> None:
    """What a tablet has after ten minutes: heart rate and speed of one athlete, ten seconds of everybody's places."""
    at_ns = now_ns()
    tile, bpm = squad.tiles[LOUD], squad.tiles[LOUD].hr_bpm or 0
    for old_s in range(HISTORY_S, 0, -1):
        rest = 24 * math.exp(-(((old_s - 360) / 55) ** 2))
        wave = 7 * math.sin(old_s / 23) + 4 * math.sin(old_s / 9.1) - min(0, old_s - 30) * 0.1
        speed = 2.6 + 1.9 * math.sin(old_s / 9) + (3.2 if old_s % 83 < 5 else 0) - rest / 12
        heard_ns = at_ns - old_s * SECOND_NS
        past = msgspec.structs.replace(
            tile, hr_ns=heard_ns, position_ns=heard_ns, hr_bpm=bpm - 8 - rest + wave, speed_mps=max(0.2, speed),
            trace_bpm=None,
        )  # fmt: skip
        await gateway.send(TilePatch(sent_ns=now_ns(), tiles=[past]))
    for tenths in range(100, 0, -1):
        await gateway.send(MapPatch(sent_ns=now_ns(), dots=squad.dots(at_ns - tenths * SECOND_NS // 10)))
    await gateway.send(TeamPatch(sent_ns=now_ns(), teams=of_teams()))


@pytest.mark.usefixtures("playing")
@pytest.mark.parametrize(
    ("name", "address", "width", "height"),
    [
        ("live-1280", "#/", 1280, 800),
        ("live-1180", "#/", 1180, 820),
        ("live-dusk-1280", "?theme=dusk#/", 1280, 800),
        ("live-portrait", "#/", 800, 1280),
        ("live-dusk-portrait", "?theme=dusk#/", 820, 1180),
        ("alerts-portrait", "#/alerts", 800, 1280),
        ("health-portrait", "#/health", 800, 1280),
        ("health-dusk-1280", "?theme=dusk#/health", 1280, 800),
        ("alerts-1280", "#/alerts", 1280, 800),
        ("alerts-1180", "#/alerts", 1180, 820),
        ("health-1280", "#/health", 1280, 800),
        ("health-1180", "#/health", 1180, 820),
    ],
)
async def test_capture_when_training_runs_then_banner_and_screen(
    open_page: Open, training: Squad, *, name: str, address: str, width: int, height: int
) -> None:
    """Each screen carries the banner of the one alert that nobody has seen, and nothing overflows to the side."""
    page = await open_page(address, width=width, height=height)
    await expect(page.locator(".banner")).to_contain_text("Lindholm")
    assert await page.evaluate(WIDE) == []
    await shoot(page, name)


@pytest.mark.parametrize(
    ("name", "address", "width", "height"),
    [
        ("drawer-1280", "#/", 1280, 800),
        ("drawer-1180", "#/", 1180, 820),
        ("drawer-dusk-1280", "?theme=dusk#/", 1280, 800),
        ("map-1280", "#/map", 1280, 800),
        ("map-1180", "#/map", 1180, 820),
        ("map-dusk-1280", "?theme=dusk#/map", 1280, 800),
        ("map-drawer-1280", "#/map", 1280, 800),
        ("map-portrait", "#/map", 800, 1280),
        ("map-dusk-portrait", "?theme=dusk#/map", 820, 1180),
        ("drawer-portrait", "#/", 800, 1280),
    ],
)
async def test_capture_when_ten_minutes_received_then_traces_and_trails(
    open_page: Open, gateway: ScriptedGateway, training: Squad, *, name: str, address: str, width: int, height: int
) -> None:
    """After ten minutes the drawer's plot spans them, and the map has full trails; the drawer needs no side scroll."""
    training.tiles = {key: msgspec.structs.replace(t, trace_bpm=None) for key, t in training.tiles.items()}
    whole, training.old_s[LOUD] = training.tiles[LOUD], HISTORY_S + 60
    training.tiles[LOUD] = msgspec.structs.replace(whole, position_ns=None, speed_mps=None)
    page = await open_page(address, width=width, height=height)
    await expect(page.locator(".banner")).to_be_visible()
    training.old_s.pop(LOUD)
    training.tiles[LOUD] = whole
    await tell_past(gateway, training)
    training.alerts.clear()
    await gateway.send(TilePatch(sent_ns=now_ns(), tiles=training.told()))
    if "map" in address:
        await expect(page.locator(".trail path").first).to_be_attached()
        await expect(page.locator("[data-team-metric]")).to_have_count(6)
        await page.get_by_role("button", name="Team shape").click()
        await expect(page.locator("[data-hull]")).to_have_count(2)
    if "drawer" in name:
        opener = '[data-dot="a17"]' if "map" in address else '[data-athlete="a17"] .tile-open'
        await page.locator(opener).dispatch_event("click")
        await expect(page.locator(".drawer canvas")).to_be_visible()
        await expect(page.locator(".drawer .h")).to_contain_text("10 min")
        assert await page.evaluate(WIDE) == []
    await shoot(page, name)


async def test_capture_when_longest_content_then_nothing_cut(open_page: Open, squad: Squad) -> None:
    """Nine letters, 208 beats, 1 240 m and 128 % fit at the smaller size without cutting or touching."""
    squad.athletes = [msgspec.structs.replace(athlete, name="Brannagan") for athlete in squad.athletes]
    for key, tile in squad.tiles.items():
        part = 0.91 if key == "a03" else 0.99
        squad.tiles[key] = msgspec.structs.replace(
            tile,
            hr_bpm=208.0,
            high_speed_m=1_240.0 if key != "a02" else 888.0,
            plan_percent=128.0,
            trimp=128.0,
            coverage=part,
        )
    page = await open_page(width=1180, height=820)
    await expect(page.locator(".tile")).to_have_count(24)
    await shoot(page, "live-stress-1180")
    for metric in ("Intensity", "Volume", "High speed", "Target %"):
        await page.get_by_role("radio", name=metric).click()
        assert await page.evaluate(CUT) == [], metric
        await shoot(page, f"live-{metric.split()[0].lower()}-1180")


@pytest.mark.parametrize(("size", "name"), [(30, "live-30-1280"), (60, "live-60-1280")])
async def test_capture_when_large_squad_then_rows_readable(
    open_page: Open, squad: Squad, *, size: int, name: str
) -> None:
    """Thirty and sixty athletes, with the first tile complete."""
    bigger = Squad(size=size)
    squad.athletes, squad.tiles = bigger.athletes, bigger.tiles
    set_ages(squad)
    page = await open_page()
    await expect(page.locator(".tile .val").first).to_be_visible()
    await shoot(page, name)


async def test_capture_when_link_lost_then_all_late(open_page: Open, gateway: ScriptedGateway, training: Squad) -> None:
    """Without the gateway every tile is late or lost."""
    page = await open_page(width=1180, height=820)
    await expect(page.locator(".tile")).to_have_count(24)
    await gateway.drop()
    await expect(page.locator(".tile.fresh")).to_have_count(0, timeout=6_000)
    await shoot(page, "live-nolink-1180")
