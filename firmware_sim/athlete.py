"""Who the simulated athletes are: body, fitness and name, all from the seed."""

from dataclasses import dataclass

import numpy as np

MAX_ATHLETES = 100

NAMES = (
    "Pell", "Marek", "Okonta", "Brannagan", "Hadley", "Varga", "Quist", "Tamm", "Sorel", "Kaito", "Wren", "Isern",
    "Dassel", "Nilo", "Corvin", "Usher", "Lindholm", "Faro", "Yates", "Rowe", "Arden", "Lund", "Bello", "Jovan",
)  # fmt: skip
_ONSETS = ("B", "D", "F", "G", "H", "K", "L", "M", "N", "P", "R", "S", "T", "V", "Br", "Kr", "St", "Tr")
_NUCLEI = ("a", "e", "i", "o", "u", "aa", "ei", "io")
_CODAS = ("ll", "rn", "sk", "nd", "mer", "ven", "ton", "len", "vik", "ros", "dal", "gan")


@dataclass(frozen=True, slots=True, kw_only=True)
class AthleteProfile:
    """One athlete's limits. `vo2max_ml_kg_min` sets how hard a given speed is; the taus are heart-rate kinetics."""

    athlete: str
    number: int
    name: str
    team: int
    sex: str
    speed_max_mps: float
    acceleration_max_mps2: float
    reaction_s: float
    work_rate: float
    vo2max_ml_kg_min: float
    hr_rest_bpm: int
    hr_max_bpm: int
    tau_on_s: float
    tau_off_s: float


def make_athletes(seed: int, teams: tuple[int, ...]) -> tuple[AthleteProfile, ...]:
    """Draw one athlete per entry of `teams` (its team number); the same seed gives the same squad."""
    rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(1,)))
    names = _squad_names(len(teams), rng)
    return tuple(_draw_athlete(rng, index, names[index], team) for index, team in enumerate(teams))


def _draw_athlete(rng: np.random.Generator, index: int, name: str, team: int) -> AthleteProfile:
    female = bool(rng.random() < 0.4)
    fitness = float(np.clip(rng.normal(0.0, 1.0), -2.0, 2.0))
    speed_max_mps = float(np.clip(rng.normal(8.1 if female else 8.7, 0.4), 7.0, 9.5))
    return AthleteProfile(
        athlete=f"a{index + 1:02d}",
        number=index + 1,
        name=name,
        team=team,
        sex="f" if female else "m",
        speed_max_mps=speed_max_mps,
        acceleration_max_mps2=float(rng.uniform(4.0, 5.0)),
        reaction_s=float(rng.uniform(0.2, 0.45)),
        work_rate=float(np.clip(1.0 + 0.05 * fitness + rng.normal(0.0, 0.04), 0.85, 1.15)),
        vo2max_ml_kg_min=(49.0 if female else 55.0) + 4.0 * fitness,
        hr_rest_bpm=round(57.0 - 4.0 * fitness + float(rng.normal(0.0, 3.0))),
        hr_max_bpm=round(float(np.clip(rng.normal(193.0, 6.0), 178.0, 208.0))),
        tau_on_s=float(np.clip(32.0 - 4.0 * fitness + rng.normal(0.0, 3.0), 20.0, 48.0)),
        tau_off_s=float(np.clip(52.0 - 7.0 * fitness + rng.normal(0.0, 5.0), 30.0, 85.0)),
    )


def _squad_names(count: int, rng: np.random.Generator) -> list[str]:
    names = list(NAMES[:count])
    taken = set(NAMES)
    while len(names) < count:
        name = "".join(str(rng.choice(parts)) for parts in (_ONSETS, _NUCLEI, _CODAS))
        if name not in taken:
            taken.add(name)
            names.append(name)
    return names
