"""What one row of the fault matrix is: a fault, how often, what is checked, and a control that must fail."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Try = Callable[[int, int, Path], "Outcome"]
"""`(count, seed, folder)`: put the fault `count` times, all chance from `seed`, all files in `folder`."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it. `failures` are words that name what was lost and how to see it again; none is the pass."""

    tried: int
    failures: list[str] = field(default_factory=list)
    notes: dict[str, float] = field(default_factory=dict)
    """Counts worth telling: readings checked, kills that met a commit. Sums over the portions of a run."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One row. `control` does the same to a variant that is known to lose: without failures there, we see nothing."""

    name: str
    row: int
    """Number of the row in the table of results."""
    fault: str
    checked: str
    count: int
    portion: int
    """The full run is cut into portions of as many, each with a seed of its own, so that it can go on after a stop."""
    slice_count: int
    """What the tests run each time."""
    run: Try
    control: Try | None
    control_count: int
    control_fault: str = ""
    """What the control does otherwise, in words: `synchronous=NORMAL`."""
    why_no_control: str = ""
