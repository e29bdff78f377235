from collections.abc import Callable

import numpy as np
import pytest

from cloud.datasets.positions import Recording
from cloud.datasets.rows import FEATURES, EffortRows, make_rows
from cloud.datasets.scenes import Field, Scenes
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


@pytest.fixture
def games() -> Callable[..., Scenes]:
    """Make plays of games on a field: two teams and a ball; who defends man runs beside an attacker, who zone stays.

    With `chase` attackers stand still and defenders run up to them and stop, which no straight line knows.
    """

    def make(*, count: int = 12, players: int = 6, steps: int = 60, seed: int = 1, chase: bool = False) -> Scenes:
        rng = np.random.default_rng(seed)
        half, time_s = players // 2, np.arange(steps)[:, None, None] * 0.1
        parts, zone = [], np.arange(count) % 2
        for play in range(count):
            start = rng.uniform((30, 10), (60, 40), (half, 2))
            run = rng.normal(0, 3, (half, 2)) + rng.normal(0, 1, (half, 2)) * time_s
            attack = start + run * time_s
            follow = attack + rng.normal(0, 1, (half, 2)) if not zone[play] else start + rng.normal(0, 0.3, (half, 2))
            if chase:
                attack = np.broadcast_to(start, attack.shape)
                away, far = rng.normal(0, 1, (half, 2)), rng.uniform(10, 20, (half, 1))
                away /= np.linalg.norm(away, axis=1, keepdims=True)
                follow = start + away * np.maximum(far - rng.uniform(4, 7, (half, 1)) * time_s, 0.0)
            defend = np.broadcast_to(follow, attack.shape) + rng.normal(0, 0.01, attack.shape)
            parts.append(np.concatenate([defend, attack, attack[:, :1] + 0.5], axis=1))
        xy_m = np.concatenate(parts).astype(np.float32)
        team = np.tile(np.array([0] * half + [1] * half + [-1], np.int8), (count, 1))
        first = np.arange(count + 1, dtype=np.int64) * steps
        nowhere = np.full(count, -1, np.int64)
        return Scenes(
            field=Field(length_m=109.728, width_m=48.768),
            game=np.array([f"g{play // 2}" for play in range(count)]),
            play=np.array([str(play) for play in range(count)]),
            first=first,
            xy_m=xy_m,
            velocity_mps=np.full_like(xy_m, np.nan),
            facing_rad=rng.uniform(-3, 3, xy_m.shape[:2]).astype(np.float32),
            team=team,
            role=np.where(team == -1, 1, 3).astype(np.int8),
            player=np.tile(np.array([f"p{i}" for i in range(team.shape[1])]), (count, 1)),
            begin=first[:-1] + 12,
            end=first[1:] - 1,
            thrown=nowhere,
            arrived=nowhere,
            leftwards=np.arange(count) % 3 == 0,
            coverage=zone.astype(np.int8),
        )

    return make
