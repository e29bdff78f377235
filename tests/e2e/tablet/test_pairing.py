"""Pairing and swapping: hold a strap near the gateway, tap it, choose who wears it, confirm."""

import msgspec
import pytest
from playwright.async_api import Page, expect

from edge.messages import Assign, AssignedPatch, HealthPatch
from tests.e2e.tablet.conftest import Open, open_drawer
from tests.e2e.tablet.gateway import ScriptedGateway
from tests.e2e.tablet.scripted import Squad, health_of, now_ns
from tests.e2e.tablet.test_captures import shoot


async def test_pairing_when_strap_held_near_then_given_to_the_chosen(open_page: Open, gateway: ScriptedGateway) -> None:
    """Strongest first; the sheet says who wore it before; the gateway is told once, and ten seconds undo it."""
    page = await open_page("#/health")
    pair = page.get_by_role("button", name="Pair a sensor")
    await pair.click()
    near = page.locator("[data-near]")
    await expect(near).to_have_count(2)
    await expect(near.first).to_contain_text("Polar H10 5A31")
    await expect(near.first).to_contain_text("worn by nobody")
    await shoot(page, "pairing-near-1280")
    await near.nth(1).click()
    await expect(page.locator(".step")).to_contain_text("Until now: 5 Hadley.")
    await shoot(page, "pairing-who-1280")
    await page.locator('[data-choose="a17"]').click()
    await expect(page.locator(".step")).to_contain_text("5 Hadley wore it until now.")
    assert gateway.assigned == []
    await shoot(page, "pairing-confirm-1280")
    await page.get_by_role("button", name="Confirm").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(pair).to_be_focused()
    assert gateway.assigned == [Assign(sensor="heart_strap-5", athlete="a17")]
    await expect(page.locator('[data-sensor="heart_strap-5"]')).to_contain_text("17 Lindholm")
    await expect(page.locator(".notice")).to_contain_text("heart_strap-5 is on 17 Lindholm")
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator('[data-sensor="heart_strap-5"]')).to_contain_text("5 Hadley")
    assert gateway.assigned[1:] == [Assign(sensor="heart_strap-5", athlete="a05")]


async def test_pairing_when_list_changes_then_follows(open_page: Open, gateway: ScriptedGateway, squad: Squad) -> None:
    """The list is live: empty says what to do, and a strap appears as soon as the gateway hears it near."""
    squad.health = msgspec.structs.replace(health_of(squad.athletes), near=[])
    page = await open_page("#/health", width=800, height=1280)
    await page.get_by_role("button", name="Pair a sensor").click()
    await expect(page.get_by_role("dialog")).to_contain_text("None near yet")
    await gateway.send(HealthPatch(sent_ns=now_ns(), health=health_of(squad.athletes)))
    await expect(page.locator("[data-near]")).to_have_count(2)
    await shoot(page, "pairing-portrait")


async def test_swap_when_confirmed_then_new_one_on_and_old_one_off(open_page: Open, gateway: ScriptedGateway) -> None:
    """From the drawer: the new strap goes on first, then the old one comes off; undo reverses both."""
    page = await open_page("?theme=dusk#/")
    await open_drawer(page, "a17")
    await page.get_by_role("button", name="Swap strap").click()
    await page.locator('[data-near="strap-new"]').click()
    step = page.locator(".step")
    await expect(step).to_contain_text("Nobody wore it before.")
    await expect(step).to_contain_text("Heart strap heart_strap-17 comes off Lindholm.")
    await shoot(page, "swap-dusk-1280")
    await page.get_by_role("button", name="Confirm").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    told = [Assign(sensor="strap-new", athlete="a17"), Assign(sensor="heart_strap-17", athlete=None)]
    assert gateway.assigned == told
    await expect(page.locator('[data-worn="heart_strap-17"]')).to_have_count(0)
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator('[data-worn="heart_strap-17"]')).to_be_visible()
    assert gateway.assigned[2:] == [
        Assign(sensor="strap-new", athlete=None),
        Assign(sensor="heart_strap-17", athlete="a17"),
    ]


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "does not know this athlete"), (400, "did not accept this sensor"), (503, "could not do this (503)")],
)
async def test_pairing_when_gateway_refuses_then_says_why_and_stays(
    open_page: Open, gateway: ScriptedGateway, status: int, words: str
) -> None:
    """A refusal is said in plain words; the choice stays, so that it can be tried again."""
    gateway.answer_status = status
    page = await open_page("#/health")
    await choose(page, "strap-new", "a03")
    await page.get_by_role("button", name="Confirm").click()
    await expect(page.get_by_role("alert")).to_contain_text(words)
    gateway.answer_status = 200
    await page.get_by_role("button", name="Confirm").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert gateway.assigned == [Assign(sensor="strap-new", athlete="a03")]


async def test_take_off_when_tapped_then_asks_first(open_page: Open, gateway: ScriptedGateway) -> None:
    """One tap never takes a sensor off: the answer that changes nothing has the focus, the other one does it."""
    page = await open_page()
    await open_drawer(page, "a17")
    acts = page.locator(".drawer .acts").first
    await acts.get_by_role("button", name="Take off").click()
    await expect(acts.get_by_role("button", name="Keep")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(acts.get_by_role("button", name="Take off")).to_be_focused()
    assert gateway.assigned == []
    await acts.get_by_role("button", name="Take off").click()
    await acts.get_by_role("button", name="Take off Lindholm").click()
    await expect(page.locator('[data-worn="heart_strap-17"]')).to_have_count(0)
    assert gateway.assigned == [Assign(sensor="heart_strap-17", athlete=None)]


async def test_assignment_when_made_on_another_tablet_then_shown_here(
    open_page: Open, gateway: ScriptedGateway
) -> None:
    """Every tablet learns of a change by whichever tablet."""
    page = await open_page("#/health")
    row = page.locator('[data-sensor="heart_strap-8"]')
    await expect(row).to_contain_text("8 Tamm")
    await gateway.send(AssignedPatch(sent_ns=now_ns(), sensor="heart_strap-8", athlete="a24"))
    await expect(row).to_contain_text("24 Jovan")
    await gateway.send(AssignedPatch(sent_ns=now_ns(), sensor="heart_strap-8", athlete=None))
    await expect(row).to_contain_text("Nobody")


async def choose(page: Page, sensor: str, athlete: str) -> None:
    """Pair a sensor, up to the confirmation."""
    await page.get_by_role("button", name="Pair a sensor").click()
    await page.locator(f'[data-near="{sensor}"]').click()
    await page.locator(f'[data-choose="{athlete}"]').click()
