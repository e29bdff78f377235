"""What a run reports besides its rows: small counted facts that travel to the commit like everything else."""

from collections import Counter
from collections.abc import Iterable

DUPLICATES = "duplicates"
SKIPPED = "skipped"

Fact = tuple[str, str, int]


def fact(kind: str, name: str, count: int) -> Fact:
    """Return one fact: `count` more of `name`."""
    return kind, name, count


def total(facts: Iterable[Fact], kind: str) -> dict[str, int]:
    """Return the sums of one kind by name."""
    sums: Counter[str] = Counter()
    for known, name, count in facts:
        if known == kind:
            sums[name] += count
    return dict(sorted(sums.items()))
