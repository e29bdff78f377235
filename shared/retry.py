"""How long to wait before trying again. The loop belongs to the caller."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential back-off with full jitter (Brooker, AWS Architecture Blog 2015).

    Attempt k waits uniform(0, min(cap_s, base_s * 2**k)), so that many clients never return together.
    """

    base_s: float = 0.5
    cap_s: float = 300.0

    def delay_s(self, attempt: int, rng: random.Random, *, at_least_s: float = 0.0) -> float:
        """Return the wait before attempt `attempt` (0 is the first retry); `at_least_s` is a server's Retry-After.

        A server that is busy tells many clients the same: they are spread over as long again.
        """
        ceiling = min(self.cap_s, self.base_s * 2.0 ** min(attempt, 32))
        return at_least_s + rng.uniform(0, max(ceiling, at_least_s))
