from collections.abc import Callable

import numpy as np
import pytest

from cloud.datasets.positions import Recording
from cloud.datasets.rows import FEATURES, EffortRows, make_rows
from shared.clock import NS_PER_S

START_NS = 1_790_000_000 * NS_PER_S


@pytest.fixture
def rows() -> Callable[..., EffortRows]:
    """Make rows whose heart rate follows speed, with a little noise; `noise_bpm` large leaves nothing to learn."""

    def make(*, athletes: int = 10, seconds: int = 60, noise_bpm: float = 2.0, seed: int = 1) -> EffortRows:
        rng = np.random.default_rng(seed)
        count = athletes * seconds
        features = np.zeros((count, len(FEATURES)), np.float32)
        who = np.repeat(np.arange(athletes), seconds)
        features[:, :9] = rng.uniform(0.0, 6.0, (count, 9))
        features[:, FEATURES.index("elapsed")] = np.tile(np.arange(seconds) / 60.0, athletes) + 1.0
        rest, most = rng.uniform(45, 65, athletes)[who], rng.uniform(175, 205, athletes)[who]
        features[:, FEATURES.index("hr_rest")], features[:, FEATURES.index("hr_max")] = rest, most
        share = 0.2 + 0.1 * features[:, FEATURES.index("speed_mean_30s")]
        hr_bpm = rest + share * (most - rest) + rng.normal(0.0, noise_bpm, count)
        return make_rows(
            session=np.full(count, "s1"),
            athlete=np.array([f"a{i:02d}" for i in who]),
            time_ns=START_NS + np.tile(np.arange(seconds), athletes) * NS_PER_S,
            features=features,
            hr_bpm=hr_bpm,
            coverage=np.ones(count),
        )

    return make


@pytest.fixture
def recording() -> Callable[..., Recording]:
    """Make a session of players who run in circles at their own pace, and a ball that goes from one to the next."""

    def make(
        *, session: str = "s1", players: int = 6, seconds: float = 60.0, seed: int = 1, ball: bool = True
    ) -> Recording:
        rng = np.random.default_rng(seed)
        steps = round(seconds * 10)
        time_s = np.arange(steps)[:, None] * 0.1
        centre, radius = rng.uniform(10, 50, (players, 2)), rng.uniform(3, 10, players)
        angle = rng.uniform(0, 6, players) + time_s * rng.uniform(0.3, 0.6, players)
        xy_m = centre + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
        names = [f"a{i:02d}" for i in range(players)]
        team = [i % 2 for i in range(players)]
        if ball:
            holder = (np.arange(steps) // 30) % players
            place = xy_m[np.arange(steps), holder]
            smooth = np.stack([np.convolve(place[:, i], np.ones(10) / 10, mode="same") for i in range(2)], -1)
            xy_m = np.concatenate([xy_m, smooth[:, None]], 1)
            names.append("ball")
            team.append(-1)
        noisy = xy_m + rng.normal(0, 0.01, xy_m.shape)
        return Recording(
            session=session,
            athletes=tuple(names),
            team=np.array(team, np.int8),
            time_ns=START_NS + np.arange(steps, dtype=np.int64) * (NS_PER_S // 10),
            xy_m=noisy.astype(np.float32),
            hr_bpm=np.full(xy_m.shape[:2], np.nan, np.float32),
        )

    return make
