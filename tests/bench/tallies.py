"""How fast readings are tallied, in blocks of several sizes: `python tests/bench/tallies.py`."""

import time

import numpy as np

from shared.ids import SensorId
from shared.quantities import STREAMS
from shared.tally import tallies
from tests.factories import readings

READINGS = 200_000
ROUNDS = 7


def main() -> None:
    """Print millions of readings a CPU second, the best of some rounds."""
    rng = np.random.default_rng(0)
    for stream in ("position", "imu", "rr"):
        columns = len(STREAMS[stream].quantities)
        for size in (READINGS, 500, 10):
            blocks = [
                readings(stream, rng.uniform(0, 50, (size, columns)), sensor=SensorId(f"s-{n % 60}"), first=n * size)
                for n in range(READINGS // size)
            ]
            best_s = float("inf")
            for _ in range(ROUNDS):
                started_s = time.process_time()
                tallies(blocks)
                best_s = min(best_s, time.process_time() - started_s)
            print(f"{stream:10} blocks of {size:>7,}: {READINGS / best_s / 1e6:6.1f} M readings a CPU second")


if __name__ == "__main__":
    main()
