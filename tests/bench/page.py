"""tests/bench/RESULTS.md: sections that each belong to one command, which rewrites its own and leaves the others.

What a command measured is also kept as JSON in artifacts/bench/, part by part, so that one part can be measured again.
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "tests" / "bench" / "RESULTS.md"
ARTIFACTS = ROOT / "artifacts" / "bench"
_TITLE = "# Measured\n"


def keep(command: str, part: str, measured: Any) -> None:
    """Keep one part of what a command measured; its other parts stay as they are."""
    found = kept(command)
    found[part] = measured
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    (ARTIFACTS / f"{command}.json").write_text(json.dumps(found, indent=1) + "\n")


def kept(command: str) -> dict[str, Any]:
    """Return what a command has measured so far, by part."""
    file = ARTIFACTS / f"{command}.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def write_section(command: str, text: str, page: Path = RESULTS) -> None:
    """Put a command's section into the page, in the place of its older one or at the end."""
    begin, end = f"<!-- {command}: begin -->\n", f"<!-- {command}: end -->\n"
    old = page.read_text() if page.exists() else _TITLE
    section = f"{begin}\n{text.strip()}\n\n{end}"
    if begin in old and end in old:
        before, rest = old.split(begin, 1)
        new = before + section + rest.split(end, 1)[1]
    else:
        new = f"{old.rstrip()}\n\n{section}"
    page.write_text(new)
