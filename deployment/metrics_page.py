"""Writes docs/metrics.md from the metrics' own descriptions; with --check only says whether it is up to date."""

import argparse
import sys
from pathlib import Path

from shared.metrics.page import page

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if the page is out of date")
    parser.add_argument("--out", type=Path, default=PAGE, help="where the page lies (default: docs/metrics.md)")
    given = parser.parse_args()
    text = page()
    if not given.check:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text, encoding="utf-8")
        return 0
    if given.out.exists() and given.out.read_text(encoding="utf-8") == text:
        return 0
    print(f"{given.out} is out of date: run python deployment/metrics_page.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
