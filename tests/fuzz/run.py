"""Fuzz one family of parsers and say what came of it; exit 1 when anything but a refusal was raised.

PYTHONPATH=. .venv/bin/python tests/fuzz/run.py --family ble --count 1000000 [--seed 1]
"""

import argparse
import sys
import time

from tests.fuzz.engine import fuzz
from tests.fuzz.families import FAMILIES


def main() -> int:
    """Share the inputs among the family's targets, print each target's outcome and the total."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--family", choices=sorted(FAMILIES), required=True)
    parser.add_argument("--count", type=int, default=1_000_000, help="inputs over all targets of the family")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    targets = list(FAMILIES[chosen.family]())
    share, rest = divmod(chosen.count, len(targets))
    inputs = accepted = refused = failures = 0
    began = time.monotonic()
    for number, target in enumerate(targets):
        outcome = fuzz(target, share + (number < rest), chosen.seed)
        inputs += outcome.inputs
        accepted += outcome.accepted
        refused += outcome.refused.total()
        failures += len(outcome.failures)
        print(f"{target.name}: {outcome.inputs} inputs, {outcome.accepted} accepted, {outcome.refused.total()} refused")
        for body, trace in outcome.failures:
            print(f"  FAILED on {body.hex() or 'nothing'}\n{trace}")
    print(
        f"family {chosen.family}, seed {chosen.seed}: {inputs} inputs, {accepted} accepted, {refused} refused, "
        f"{failures} failures, {time.monotonic() - began:.0f} s"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
