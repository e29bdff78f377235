"""Health of sensors and radios: what comes how, what is lost, whose clock drifts."""

import re

from playwright.async_api import expect

from tests.e2e.tablet.conftest import Open
from tests.e2e.tablet.test_captures import WIDE, shoot

SECONDS = re.compile(r"^\d s$")


async def test_health_when_strap_silent_then_first_and_named(open_page: Open) -> None:
    """A strap that is connected and says nothing stands first, marked in words."""
    page = await open_page("#/health")
    first = page.locator("[data-sensor]").first
    await expect(first).to_have_attribute("data-sensor", "heart_strap-4")
    await expect(first.locator("mark")).to_have_text("Silent")
    await expect(page.locator('[data-sensor="heart_strap-6"]')).to_contain_text("Broadcasts only · hci1")
    await expect(page.locator('[data-sensor="position_tag-6"]')).to_contain_text("Through broker")
    await expect(page.locator('[data-sensor="heart_strap-8"] td')).to_have_text(
        ["8 Tamm · Heart strapConnected · hci1", SECONDS, "9.5 %", "75 %", "−59 dBm"]
    )


async def test_health_when_row_tapped_then_detail(open_page: Open) -> None:
    """A row opens counts in plain words, the device's clock and what it says of itself; a second tap closes it."""
    page = await open_page("#/health")
    row = page.locator('[data-sensor="heart_strap-4"]').get_by_role("button")
    await row.click()
    await expect(row).to_have_attribute("aria-expanded", "true")
    detail = page.locator(".detail")
    for label, value in (
        ("Unreadable", "0"), ("Impossible values", "3"), ("Reconnected", "0 ×"), ("Clock drift", "+13.3 ppm"),
        ("Clock resets", "1"), ("Manufacturer", "Polar"), ("Model", "H10"), ("Firmware", "5.0.2"),
    ):  # fmt: skip
        await expect(detail.locator("dl > div", has_text=label).locator("dd")).to_have_text(value)
    await shoot(page, "health-detail-1280")
    await row.click()
    await expect(detail).to_have_count(0)
    await page.locator('[data-sensor="position_tag-20"]').get_by_role("button").click()
    await expect(detail.locator("dl > div", has_text="Clock behind").locator("dd")).to_have_text("−7 ms")


async def test_health_when_adapters_told_then_slots_and_problem(open_page: Open) -> None:
    """Each radio says how many connections it holds of those it can, what it hears, and what stops it."""
    page = await open_page("#/health")
    await expect(page.locator('[data-adapter="hci0"] td')).to_have_text(["hci0", "7 of 7", "14"])
    await expect(page.locator('[data-adapter="hci1"]')).to_contain_text("Switched off by the system")
    await expect(page.locator('[data-link="clock"]')).to_contain_text("Gateway clock")


async def test_health_when_an_adapter_has_a_long_name_then_its_numbers_stay_in_sight(open_page: Open) -> None:
    """A name as long as a serial port's path breaks; it pushes nothing over the edge."""
    page = await open_page("#/health")
    table = page.locator("table", has=page.locator("[data-adapter]"))
    await expect(table).to_be_visible()
    await page.locator("[data-adapter] b").first.evaluate(
        "el => el.textContent = 'serial:/dev/serial/by-id/usb-if00-port0'"
    )
    assert await table.evaluate(
        "el => el.getBoundingClientRect().right <= el.parentElement.getBoundingClientRect().right"
    )


async def test_health_when_upright_then_one_column(open_page: Open) -> None:
    """Upright the three columns stand under one another, and nothing overflows to the side."""
    page = await open_page("?theme=dusk#/health", width=800, height=1280)
    await page.locator('[data-sensor="heart_strap-4"]').get_by_role("button").click()
    assert await page.evaluate(WIDE) == []
    lefts = await page.locator(".health > section").evaluate_all("all => all.map((el) => el.getBoundingClientRect().x)")
    assert len(set(lefts)) == 1
    await shoot(page, "health-dusk-portrait")
