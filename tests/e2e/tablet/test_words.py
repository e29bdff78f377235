"""Words on the screen: never medical, never a forecast about a person's body."""

import re

from tests.e2e.tablet.conftest import TABLET

FORBIDDEN = re.compile(r"risk|injur|safe|diagnos|predict", re.IGNORECASE)


def test_words_when_sources_read_then_no_forbidden_word() -> None:
    """No source line of the page holds a forbidden word, so no string of the screen can."""
    sources = [path for path in (TABLET / "src").rglob("*") if path.suffix in {".ts", ".svelte", ".css"}]
    found = [
        f"{path.relative_to(TABLET)}:{number}: {line.strip()}"
        for path in sources
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert len(sources) > 20
    assert found == []
