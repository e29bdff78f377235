"""Team metrics: of everybody's positions at one moment, and their mean over a session.

Everyone with a position on the pitch counts, goalkeepers too; who stands over 2 m outside does not. A team of fewer
than three such players has no shape: the moment is left out and the coverage falls.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shared.features.team import BALL_TEAM
from shared.ids import AthleteId
from shared.metrics.base import MetricValue
from shared.metrics.pitch_control import Pitch, advantage, control

TEAMS = (0, 1)
MIN_PLAYERS = 3
MARGIN_M = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamFrame:
    """Everybody at one moment: row i of the arrays is `athletes[i]`.

    `xy_m` and `velocity_mps` are float64[n, 2], `team` int64[n] (0, 1, or -1 for the ball), `mask` bool[n] marks whose
    position is known.
    """

    time_ns: int
    athletes: tuple[AthleteId, ...]
    xy_m: NDArray[np.float64]
    velocity_mps: NDArray[np.float64]
    team: NDArray[np.int64]
    mask: NDArray[np.bool_]

    def of(self, team: int) -> NDArray[np.float64]:
        """Return the known positions of a team, float64[players, 2]."""
        found: NDArray[np.float64] = self.xy_m[self.mask & (self.team == team)]
        return found

    def ball(self) -> NDArray[np.float64] | None:
        """Return where the ball is, float64[2], or None."""
        known = self.of(BALL_TEAM)
        return known[0] if len(known) else None


def on_pitch(frame: TeamFrame, pitch: Pitch) -> TeamFrame:
    """Return the frame without those who stand beside the pitch."""
    low, high = -MARGIN_M, np.array([pitch.length_m, pitch.width_m]) + MARGIN_M
    inside = ((frame.xy_m >= low) & (frame.xy_m <= high)).all(axis=1)
    return replace(frame, mask=frame.mask & inside)


def hull(xy_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of the convex hull of points float64[n, 2], counter-clockwise (Andrew's monotone chain)."""
    points = sorted(set(map(tuple, xy_m.tolist())))
    if len(points) < 3:
        return np.array(points, np.float64).reshape(-1, 2)
    corners: list[tuple[float, ...]] = []
    for chain in (points, points[::-1]):
        side: list[tuple[float, ...]] = []
        for point in chain:
            while len(side) > 1 and _turn(side[-2], side[-1], point) <= 0:
                side.pop()
            side.append(point)
        corners += side[:-1]
    return np.array(corners, np.float64)


def area_m2(corners_m: NDArray[np.float64]) -> float:
    """Return the area of a polygon float64[n, 2] (shoelace formula)."""
    x, y = corners_m.T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def _turn(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamState:
    """One team's sums so far: over `counted` of `frames`; `most` players were there at once, `present` in sum."""

    team: int
    pitch: Pitch
    sums: tuple[float, ...]
    frames: int = 0
    counted: int = 0
    present: int = 0
    most: int = 0


class TeamMetric(ABC):
    """A metric of one team at a moment; over a session its value is the mean of the moments, one per second."""

    metric_id: str
    title: str
    unit: str
    decimals: int
    labels: tuple[str, ...]
    formula: str
    rules: str
    source: str
    opponents = False
    """Whether the other team must be there too."""

    @abstractmethod
    def measure(self, frame: TeamFrame, team: int, pitch: Pitch) -> tuple[float, ...]:
        """Return the values of a team that is there (`is_there`)."""

    def is_there(self, frame: TeamFrame, team: int) -> bool:
        """Return whether enough players have a position."""
        sides = TEAMS if self.opponents else (team,)
        return all(len(frame.of(side)) >= MIN_PLAYERS for side in sides)

    def start(self, team: int, pitch: Pitch) -> TeamState:
        """Return the state before any frame."""
        return TeamState(team=team, pitch=pitch, sums=(0.0,) * len(self.labels))

    def update(self, state: TeamState, frame: TeamFrame) -> TeamState:
        """Return the state after one more frame, which holds only those on the pitch."""
        present = len(frame.of(state.team))
        state = replace(state, frames=state.frames + 1, most=max(state.most, present))
        if not self.is_there(frame, state.team):
            return state
        values = self.measure(frame, state.team, state.pitch)
        return replace(
            state,
            sums=tuple(total + value for total, value in zip(state.sums, values, strict=True)),
            counted=state.counted + 1,
            present=state.present + present,
        )

    def value(self, state: TeamState) -> MetricValue:
        """Return the mean over the frames that count; coverage is their share.

        Quality is the mean share of the most players that were there at once.
        """
        if not state.counted:
            return MetricValue(values=(math.nan,) * len(self.labels), coverage=0.0)
        return MetricValue(
            values=tuple(total / state.counted for total in state.sums),
            coverage=state.counted / state.frames,
            quality=state.present / (state.counted * state.most),
        )

    def now(self, frame: TeamFrame, team: int, pitch: Pitch) -> MetricValue:
        """Return the value at one moment; quality is the share of the team's members that have a position."""
        if not self.is_there(frame, team):
            return MetricValue(values=(math.nan,) * len(self.labels), coverage=0.0)
        members = int((frame.team == team).sum())
        return MetricValue(values=self.measure(frame, team, pitch), coverage=1.0, quality=len(frame.of(team)) / members)


_SHAPE_RULES = (
    "once a second; everyone with a position on the pitch (2 m margin) counts, goalkeepers too; "
    "moments with fewer than 3 players lower the coverage"
)


class Centroid(TeamMetric):
    """Where the team is."""

    metric_id = "team_centroid@1"
    title = "Centre of the team"
    unit = "m"
    decimals = 1
    labels = ("x", "y")
    formula = "mean of x and y over the players"
    rules = _SHAPE_RULES
    source = "Sampaio & Maçãs 2012, Int J Sports Med 33:395"

    def measure(self, frame: TeamFrame, team: int, pitch: Pitch) -> tuple[float, ...]:  # noqa: ARG002
        """Return the mean position."""
        x_m, y_m = frame.of(team).mean(axis=0)
        return float(x_m), float(y_m)


class StretchIndex(TeamMetric):
    """How far players are from their centre."""

    metric_id = "stretch_index@1"
    title = "Stretch index"
    unit = "m"
    decimals = 1
    labels = ("stretch",)
    formula = "mean distance of the players from their centroid"
    rules = _SHAPE_RULES
    source = "Bourbousson 2010, J Sports Sci 28:349"

    def measure(self, frame: TeamFrame, team: int, pitch: Pitch) -> tuple[float, ...]:  # noqa: ARG002
        """Return the mean distance from the centroid."""
        xy_m = frame.of(team)
        return (float(np.hypot(*(xy_m - xy_m.mean(axis=0)).T).mean()),)


class Extent(TeamMetric):
    """Length along the pitch and width across it."""

    metric_id = "team_extent@1"
    title = "Length and width"
    unit = "m"
    decimals = 1
    labels = ("length", "width")
    formula = "max − min of x; max − min of y"
    rules = _SHAPE_RULES
    source = "Folgado 2014, Eur J Sport Sci 14:S487"

    def measure(self, frame: TeamFrame, team: int, pitch: Pitch) -> tuple[float, ...]:  # noqa: ARG002
        """Return the extent along x and y."""
        length_m, width_m = np.ptp(frame.of(team), axis=0)
        return float(length_m), float(width_m)


class HullArea(TeamMetric):
    """The area that the team spans."""

    metric_id = "hull_area@1"
    title = "Area of the team"
    unit = "m²"
    decimals = 0
    labels = ("area",)
    formula = "area of the convex hull of the players"
    rules = _SHAPE_RULES + "; players in one line span 0"
    source = "Moura 2012, Sports Biomech 11:85"

    def measure(self, frame: TeamFrame, team: int, pitch: Pitch) -> tuple[float, ...]:  # noqa: ARG002
        """Return the hull's area."""
        return (area_m2(hull(frame.of(team))),)


class NearestOpponent(TeamMetric):
    """How close the nearest opponent is."""

    metric_id = "nearest_opponent@1"
    title = "Nearest opponent"
    unit = "m"
    decimals = 1
    labels = ("mean", "closest")
    formula = "mean, and least, over the players of the distance to the nearest opponent"
    rules = _SHAPE_RULES + " of either team"
    source = "Silva 2014, Hum Mov Sci 37:14"
    opponents = True

    def measure(self, frame: TeamFrame, team: int, pitch: Pitch) -> tuple[float, ...]:  # noqa: ARG002
        """Return the mean and the least distance to the nearest opponent."""
        between = frame.of(team)[:, None] - frame.of(1 - team)[None]
        nearest_m = np.hypot(between[..., 0], between[..., 1]).min(axis=1)
        return float(nearest_m.mean()), float(nearest_m.min())


class PitchControl(TeamMetric):
    """How much of the pitch the team controls."""

    metric_id = "pitch_control@1"
    title = "Pitch control"
    unit = "%"
    decimals = 0
    labels = ("area", "mean")
    formula = (
        "of 50×32 cells, area: share with Σ own influence > Σ opponents' influence; "
        "mean: mean of σ(Σ own − Σ opponents'); Gaussian influence, 4–10 m"
    )
    rules = (
        _SHAPE_RULES
        + " of either team; the radius grows from 4 m at the ball to 10 m from 18 m on; without a ball 10 m; "
        "velocity over 0.5 s; in the mean, places that nobody reaches count half: it stays near 50"
    )
    source = "Fernández & Bornn 2018, MIT Sloan Sports Analytics Conference"
    opponents = True

    def measure(self, frame: TeamFrame, team: int, pitch: Pitch) -> tuple[float, ...]:
        """Return the share of the pitch that is the team's, and the mean of its control, in percent."""
        players = frame.mask & (frame.team != BALL_TEAM)
        ahead = advantage(
            pitch.cells(), frame.xy_m[players], frame.velocity_mps[players], frame.team[players], frame.ball()
        )
        if team != 0:
            ahead = -ahead
        area = float(np.count_nonzero(ahead > 0) + 0.5 * np.count_nonzero(ahead == 0))
        return 100.0 * area / len(ahead), 100.0 * float(control(ahead).mean())


TEAM_METRICS: tuple[TeamMetric, ...] = (
    Centroid(),
    StretchIndex(),
    Extent(),
    HullArea(),
    NearestOpponent(),
    PitchControl(),
)
