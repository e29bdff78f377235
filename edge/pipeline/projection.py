"""From latitude and longitude to metres on the pitch, by the pitch's four corners. Pure.

Near the pitch the earth is flat: degrees become metres east and north of the corners' middle by the WGS 84 radii of
curvature there (M along the meridian, N across it). A least-squares affine map then takes the four corners to the
rectangle: six numbers from eight, so that the residuals tell how far the corners are from a rectangle.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.pipeline.validate import implausible
from edge.settings import SessionSettings
from shared.errors import ConfigError
from shared.quantities import STREAMS
from shared.readings import Readings

# WGS 84: semi-major axis and first eccentricity squared (NIMA TR8350.2).
_A_M: Final = 6_378_137.0
_E2: Final = 6.694379990141e-3
# A phone at a corner is off by a few metres; a wrong corner by tens.
MAX_SIDE_ERROR: Final = 0.10
MAX_RESIDUAL_M: Final = 2.0
FULL_DOUBT_M: Final = 10.0
"""Accuracy at which a projected position has quality 0; at 0 m it has quality 1, linear between."""
_SETTING: Final = "session.pitch_corners"
_SIDES: Final = (
    (0, 1, "first side (along x)"), (1, 2, "second side (along y)"), (2, 3, "third side (along x)"),
    (3, 0, "fourth side (along y)"), (0, 2, "diagonal from the origin"), (1, 3, "diagonal from the end of x"),
)  # fmt: skip
_STEPS: Final = tuple(quantity.resolution for quantity in STREAMS["position"].quantities)


@dataclass(frozen=True, slots=True, kw_only=True)
class PitchCalibration:
    """The map from a place to the pitch: x, y = matrix · (east, north) + offset, in metres.

    `residual_m` is how far each corner lands from its own corner of the rectangle.
    """

    lat_deg: float
    lon_deg: float
    metres_per_degree: tuple[float, float]
    """North per degree of latitude, east per degree of longitude."""
    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    residual_m: tuple[float, float, float, float]

    def place(self, lat_deg: NDArray[np.float64], lon_deg: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return x and y in metres, float64[n, 2]."""
        east_north = _plane(self.lat_deg, self.lon_deg, self.metres_per_degree, lat_deg, lon_deg)
        placed: NDArray[np.float64] = east_north @ self.matrix.T + self.offset
        return placed

    def project(self, block: Readings) -> Readings:
        """Return a `location` block as a `position` block: same identity, times, clocks and wearer.

        Quality falls with the accuracy that the device states; what the location was flagged with stays.
        """
        x_y = self.place(block.column("lat_deg"), block.column("lon_deg"))
        share = np.clip(1 - block.column("accuracy_m") / FULL_DOUBT_M, 0, 1)
        values = np.column_stack((x_y, share))
        for column, step in enumerate(_STEPS):
            values[:, column] = np.round(values[:, column] / step) * step
        return replace(block, stream="position", values=values, quality=block.quality | implausible("position", values))


def pitch_calibration(session: SessionSettings) -> PitchCalibration | None:
    """Return the session's calibration, or None where it has no corners. Raises: ConfigError."""
    if session.pitch_corners is None:
        return None
    return calibrate(session.pitch_corners, session.pitch_length_m, session.pitch_width_m)


def with_positions(blocks: Sequence[Readings], calibration: PitchCalibration | None) -> list[Readings]:
    """Return the blocks, and behind them a position block for each location block, if the pitch is calibrated."""
    if calibration is None:
        return list(blocks)
    return [*blocks, *(calibration.project(block) for block in blocks if block.stream == "location")]


def calibrate(corners: Sequence[tuple[float, float]], length_m: float, width_m: float) -> PitchCalibration:
    """Fit the map of a pitch from (latitude, longitude) of origin, end of x, opposite corner and end of y.

    Raises: ConfigError when a side or diagonal is over 10 % off, the corners run clockwise, or a corner lands more
    than 2 m from its place: corners out of order, a wrong sign, another pitch.
    """
    lat, lon = np.array([corner[0] for corner in corners]), np.array([corner[1] for corner in corners])
    lat_deg, lon_deg = float(lat.mean()), float(lon[0] + _turned(lon - lon[0]).mean())
    scale = _metres_per_degree(lat_deg)
    east_north = _plane(lat_deg, lon_deg, scale, lat, lon)
    _check_shape(east_north, length_m, width_m)
    wanted = np.array([(0.0, 0.0), (length_m, 0.0), (length_m, width_m), (0.0, width_m)])
    known = np.column_stack((east_north, np.ones(4)))
    solved, *_ = np.linalg.lstsq(known, wanted, rcond=None)
    residual = np.hypot(*(known @ solved - wanted).T)
    if residual.max() > MAX_RESIDUAL_M:
        raise ConfigError(
            _SETTING, f"corner {int(residual.argmax()) + 1} lands {residual.max():.1f} m from its place: no rectangle"
        )
    first, second, third, fourth = residual.tolist()
    return PitchCalibration(
        lat_deg=lat_deg,
        lon_deg=lon_deg,
        metres_per_degree=scale,
        matrix=solved[:2].T,
        offset=solved[2],
        residual_m=(first, second, third, fourth),
    )


def _metres_per_degree(lat_deg: float) -> tuple[float, float]:
    """Return metres per degree of latitude and of longitude, from the radii of curvature M and N."""
    sine = math.sin(math.radians(lat_deg))
    root = math.sqrt(1 - _E2 * sine**2)
    meridian_m, normal_m = _A_M * (1 - _E2) / root**3, _A_M / root
    return math.radians(meridian_m), math.radians(normal_m * math.cos(math.radians(lat_deg)))


def _plane(
    lat_deg: float,
    lon_deg: float,
    metres_per_degree: tuple[float, float],
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
) -> NDArray[np.float64]:
    north, east = metres_per_degree
    return np.column_stack((_turned(lon - lon_deg) * east, (lat - lat_deg) * north))


def _turned(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return differences of longitude in -180..180: a pitch may lie on the date line."""
    return (degrees + 180) % 360 - 180


def _check_shape(east_north: NDArray[np.float64], length_m: float, width_m: float) -> None:
    diagonal_m = math.hypot(length_m, width_m)
    for (start, end, words), wanted_m in zip(
        _SIDES, (length_m, width_m, length_m, width_m, diagonal_m, diagonal_m), strict=True
    ):
        found_m = float(np.hypot(*(east_north[end] - east_north[start])))
        if not abs(found_m - wanted_m) <= MAX_SIDE_ERROR * wanted_m:
            raise ConfigError(
                _SETTING,
                f"the {words} is {found_m:.1f} m, the pitch's is {wanted_m:.1f} m; wanted are [latitude, longitude] of "
                "the origin, the end of x, the opposite corner and the end of y",
            )
    east, north = east_north.T
    if float(np.sum(east * np.roll(north, -1) - np.roll(east, -1) * north)) <= 0:
        raise ConfigError(
            _SETTING, "the corners run clockwise, which mirrors the pitch: exchange the second and the fourth"
        )
