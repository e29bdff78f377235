"""The built page, a browser and a scripted gateway for each test. Nothing here needs the internet once npm has run."""

import asyncio
import fcntl
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.e2e.tablet.gateway import ScriptedGateway, serving
from tests.e2e.tablet.scripted import Squad
from tests.tools import missing

ROOT = Path(__file__).parents[3]
TABLET = ROOT / "edge" / "tablet"
LOCK = ROOT / "artifacts" / "tablet-build.lock"
BUILD_S = 300

Open = Callable[..., Awaitable[Page]]


def stale(dist: Path) -> bool:
    """True if the build is absent or older than anything it is made of."""
    page = dist / "index.html"
    if not page.exists():
        return True
    made_of = [*(TABLET / "src").rglob("*"), *TABLET.glob("*.json"), *TABLET.glob("*.ts"), TABLET / "index.html"]
    return max(path.stat().st_mtime for path in made_of) > page.stat().st_mtime


async def open_drawer(page: Page, athlete: str) -> None:
    """Tap an athlete's tile beside its numbers."""
    await page.locator(f'[data-athlete="{athlete}"] .tile-open').click(position={"x": 60, "y": 14})


@pytest.fixture(scope="session")
def dist() -> Path:
    built = TABLET / "dist"
    LOCK.parent.mkdir(exist_ok=True)
    # Test workers start together; one builds, the others wait for it.
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stale(built):
            npm = shutil.which("npm") or missing("node and npm")
            for words in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
                subprocess.run([npm, *words], cwd=TABLET, check=True, timeout=BUILD_S, stdout=subprocess.DEVNULL)
    return built


@pytest.fixture
def squad() -> Squad:
    return Squad()


@pytest.fixture
async def gateway(squad: Squad, dist: Path) -> AsyncIterator[ScriptedGateway]:
    async with serving(squad, dist) as running:
        yield running


@pytest.fixture
async def playing(gateway: ScriptedGateway) -> AsyncIterator[None]:
    """The gateway plays tiles and positions for as long as the test lasts."""
    task = asyncio.create_task(gateway.play(), name="scripted stream")
    yield
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium") or missing("chromium")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        await started.close()


@pytest.fixture
async def open_page(browser: Browser, gateway: ScriptedGateway) -> Open:
    async def opened(address: str = "#/", *, width: int = 1280, height: int = 800) -> Page:
        page = await browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
        await page.goto(gateway.url + address)
        await page.evaluate("document.fonts.ready")
        return page

    return opened
