"""Faults on request: seeded, pure, and only what was asked for."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from shared.errors import ConfigError

_SILENCE_S = (1.0, 6.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRates:
    """How often: `duplicate` and `corrupt` per frame; `dropout` and `disconnect` per sensor and second.

    A drop-out silences its sensor for 1-6 s. `drift_ppm` bounds each tag's own clock rate error.
    """

    duplicate: float = 0.0
    corrupt: float = 0.0
    dropout: float = 0.0
    disconnect: float = 0.0
    drift_ppm: float = 0.0


def parse_faults(texts: Sequence[str]) -> FaultRates:
    """Read `name=number` settings.

    Raises: ConfigError naming the known faults, or the wrong value.
    """
    known = [field.name for field in fields(FaultRates)]
    values: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in known:
            raise ConfigError("--fault", f"{name!r} is not a fault; known are {', '.join(known)}")
        try:
            values[name] = float(number)
        except ValueError as exc:
            raise ConfigError("--fault", f"{text!r} is not {name}=NUMBER") from exc
        if not (values[name] >= 0.0 and (name == "drift_ppm" or values[name] <= 1.0)):
            raise ConfigError("--fault", f"{text!r}: {name} must be between 0 and 1" + " (any size for drift_ppm)")
    return FaultRates(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What happens to one frame."""

    silent: bool = False
    duplicate: bool = False
    corrupt: bool = False
    disconnect: bool = False


class SensorFaults:
    """The faults of one sensor: its own random stream, so that other sensors do not change it."""

    def __init__(self, rates: FaultRates, *, seed: int, sensor: str, period_s: float) -> None:
        self._rates = rates
        self._period_s = period_s
        key = zlib.crc32(sensor.encode())
        self._rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(4, key)))
        self._rate_error = float(self._rng.uniform(-rates.drift_ppm, rates.drift_ppm)) * 1e-6
        self._silent_until_s = -1.0

    def judge(self, time_s: float) -> Verdict:
        """Decide about the frame due at `time_s`; call once per frame, in order of time."""
        rates = self._rates
        draws = self._rng.random(4)
        if time_s < self._silent_until_s:
            return Verdict(silent=True)
        if draws[0] < rates.dropout * self._period_s:
            self._silent_until_s = time_s + float(self._rng.uniform(*_SILENCE_S))
            return Verdict(silent=True)
        return Verdict(
            duplicate=bool(draws[1] < rates.duplicate),
            corrupt=bool(draws[2] < rates.corrupt),
            disconnect=bool(draws[3] < rates.disconnect * self._period_s),
        )

    def drifted_ns(self, t_ns: int, since_start_ns: int) -> int:
        """Return what the sensor's own clock shows at `t_ns`, having been right at the start."""
        return t_ns + round(since_start_ns * self._rate_error)

    def corrupt(self, body: bytes) -> bytes:
        """Damage a frame so that a careful decoder can tell: cut it short, or set a high bit in an ASCII body."""
        if body[:1] == b"{" and self._rng.random() < 0.5:
            at = int(self._rng.integers(len(body)))
            return body[:at] + bytes([body[at] | 0x80]) + body[at + 1 :]
        keep = int(self._rng.integers(0, max(1, len(body) - 1))) if body[:1] == b"{" else 1
        return body[:keep]
