"""Takes the README's pictures from a running demo: starts one, waits until there is something to see, and stops it.

.venv/bin/python deployment/screenshots.py [--after 330]
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from demo_processes import answers, free_port
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "screens"
SCREENS = {"live": "#/", "map": "#/map", "health": "#/health"}
START_S = 60.0


def main() -> None:
    """Start a demo, take the pictures, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--after", type=float, default=330.0, help="seconds of training before the pictures")
    after_s = parser.parse_args().after
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("error: no chromium\n  → install it, for instance: apt install chromium")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        words = ["--port", str(port), "--data-dir", folder]
        demo = subprocess.Popen([sys.executable, str(ROOT / "deployment" / "demo.py"), *words])
        try:
            wait_for(port)
            take(chromium, f"http://127.0.0.1:{port}", after_s)
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait()


def wait_for(port: int) -> None:
    """Wait until the page answers."""
    bound = time.monotonic() + START_S
    while not answers(port):
        if time.monotonic() > bound:
            sys.exit("error: the demo did not start")
        time.sleep(0.2)


def take(chromium: str, url: str, after_s: float) -> None:
    """Open the page as a tablet would, wait, and photograph each screen."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{url}/#/")
        page.wait_for_timeout(after_s * 1000)
        for name, route in SCREENS.items():
            page.goto(f"{url}/{route}")
            # Trails on the map are ten seconds long.
            page.wait_for_timeout(12_000 if name == "map" else 2_000)
            page.screenshot(path=FOLDER / f"demo-{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
