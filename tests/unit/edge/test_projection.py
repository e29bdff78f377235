"""From places to the pitch: accuracy against geodesy done another way, and corners that cannot be right."""

import math
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.pipeline.intake import Intake
from edge.pipeline.projection import calibrate, pitch_calibration
from edge.pipeline.roster import Wearers
from edge.settings import SessionSettings
from shared.clock import NS_PER_S, ManualClock
from shared.errors import ConfigError
from shared.ids import SensorId
from shared.readings import Quality
from shared.roster import Assignment, Roster
from tests.factories import START_NS, frame, readings, roster_athlete

LENGTH_M, WIDTH_M = 105.0, 68.0
PITCH = np.array([(0.0, 0.0), (LENGTH_M, 0.0), (LENGTH_M, WIDTH_M), (0.0, WIDTH_M)])
SEED = 8428
SPHERE_M = 6_371_008.8
A_M, E2 = 6_378_137.0, 6.69437999014e-3

Corners = list[tuple[float, float]]


def on_sphere(origin: tuple[float, float], x_y_m: NDArray[np.float64], turn_deg: float) -> NDArray[np.float64]:
    """Return [lat, lon] of points of a pitch on a sphere: great circles from the origin, as the haversine has it."""
    x, y = x_y_m.T
    bearing = np.pi / 2 - (np.arctan2(y, x) + math.radians(turn_deg))
    angle = np.hypot(x, y) / SPHERE_M
    lat0, lon0 = np.radians(origin)
    lat = np.arcsin(np.sin(lat0) * np.cos(angle) + np.cos(lat0) * np.sin(angle) * np.cos(bearing))
    lon = lon0 + np.arctan2(np.sin(bearing) * np.sin(angle) * np.cos(lat0), np.cos(angle) - np.sin(lat0) * np.sin(lat))
    return np.degrees(np.column_stack((lat, lon)))


def on_ellipsoid(origin: tuple[float, float], x_y_m: NDArray[np.float64], turn_deg: float) -> NDArray[np.float64]:
    """Return [lat, lon] of points of a plane that touches WGS 84 at the origin, through earth-centred coordinates."""
    turn = math.radians(turn_deg)
    east = x_y_m[:, 0] * math.cos(turn) - x_y_m[:, 1] * math.sin(turn)
    north = x_y_m[:, 0] * math.sin(turn) + x_y_m[:, 1] * math.cos(turn)
    lat0, lon0 = np.radians(origin)
    normal = A_M / math.sqrt(1 - E2 * math.sin(lat0) ** 2)
    start = normal * np.array(
        [math.cos(lat0) * math.cos(lon0), math.cos(lat0) * math.sin(lon0), (1 - E2) * math.sin(lat0)]
    )
    to_east = np.array([-math.sin(lon0), math.cos(lon0), 0.0])
    to_north = np.array([-math.sin(lat0) * math.cos(lon0), -math.sin(lat0) * math.sin(lon0), math.cos(lat0)])
    x, y, z = (start + np.outer(east, to_east) + np.outer(north, to_north)).T
    across = np.hypot(x, y)
    lat = np.arctan2(z, across * (1 - E2))
    for _ in range(5):  # converges by a factor of e² a step
        lat = np.arctan2(z + E2 * A_M / np.sqrt(1 - E2 * np.sin(lat) ** 2) * np.sin(lat), across)
    return np.degrees(np.column_stack((lat, np.arctan2(y, x))))


def corners_of(places: NDArray[np.float64]) -> Corners:
    """Return corners as the settings have them, with 7 decimals as people copy them from a map."""
    return [(round(float(lat), 7), round(float(lon), 7)) for lat, lon in places]


@pytest.mark.parametrize("origin", [(51.5, -0.1), (-33.9, 151.2), (0.0, 0.0), (64.1, -21.9), (1.3, 179.9996)])
@pytest.mark.parametrize("turn_deg", [0.0, 37.0, 90.0, -135.0])
@pytest.mark.parametrize("earth", [on_sphere, on_ellipsoid])
def test_projection_when_points_of_a_pitch_are_known_then_it_finds_them_within_a_decimetre(
    origin: tuple[float, float], turn_deg: float, earth: object
) -> None:
    """Rule: under 0.1 m anywhere on 105 × 68 m, whichever way it lies, on the sphere's geometry and on WGS 84's."""
    assert callable(earth)
    rng = np.random.default_rng(SEED)
    points = rng.uniform((-5, -5), (LENGTH_M + 5, WIDTH_M + 5), size=(500, 2))
    pitch = calibrate(corners_of(earth(origin, PITCH, turn_deg)), LENGTH_M, WIDTH_M)
    places = earth(origin, points, turn_deg)
    wrong_m = np.hypot(*(pitch.place(places[:, 0], places[:, 1]) - points).T)
    print("worst", wrong_m.max(), "m; residual", max(pitch.residual_m), "m")
    assert wrong_m.max() < 0.1
    assert max(pitch.residual_m) < 0.05


def test_calibration_when_corners_are_a_metre_off_then_the_residual_says_so() -> None:
    """Rule: one corner off by 4 m is spread over the fit and reported: a quarter at each corner."""
    moved = PITCH + np.array([(0, 0), (0, 0), (4.0, 0), (0, 0)])
    pitch = calibrate(corners_of(on_ellipsoid((51.5, -0.1), moved, 20)), LENGTH_M, WIDTH_M)
    assert pitch.residual_m == pytest.approx((1.0,) * 4, abs=0.05)


@pytest.mark.parametrize("order", [order for order in permutations(range(4)) if order != (0, 1, 2, 3)])
def test_calibration_when_corners_are_in_another_order_then_it_is_refused(order: tuple[int, ...]) -> None:
    """Rule: of the 24 orders only those that turn the pitch by 180° look right; all others are an error."""
    corners = corners_of(on_ellipsoid((51.5, -0.1), PITCH, 20))
    turned = [corners[at] for at in order]
    if order == (2, 3, 0, 1):
        assert max(calibrate(turned, LENGTH_M, WIDTH_M).residual_m) < 0.05
        return
    with pytest.raises(ConfigError, match=r"session\.pitch_corners"):
        calibrate(turned, LENGTH_M, WIDTH_M)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: [(lat, -lon) for lat, lon in c], "clockwise"),
        (lambda c: [(-lat, lon) for lat, lon in c], "clockwise"),
        (lambda c: [(-c[0][0], c[0][1]), *c[1:]], "first side"),
        (lambda c: [(c[0][0], -c[0][1]), *c[1:]], "first side"),
        (lambda c: [(lon, lat) for lat, lon in c], "first side"),
        (lambda c: [c[0], c[0], c[2], c[3]], r"first side .* 0\.0 m"),
    ],
)
def test_calibration_when_a_sign_or_a_corner_is_wrong_then_the_error_says_what(change: object, words: str) -> None:
    """Rule: a wrong sign, exchanged numbers or a corner given twice never make a map."""
    assert callable(change)
    corners = corners_of(on_ellipsoid((51.5, -0.1), PITCH, 0))
    with pytest.raises(ConfigError, match=words):
        calibrate(change(corners), LENGTH_M, WIDTH_M)


@pytest.mark.parametrize(("length_m", "width_m", "fits"), [(100, 64, True), (90, 60, False), (105, 80, False)])
def test_calibration_when_the_pitch_has_another_size_then_over_a_tenth_is_refused(
    *, length_m: float, width_m: float, fits: bool
) -> None:
    """Rule: the rectangle stated in the settings holds to ±10 %."""
    corners = corners_of(on_ellipsoid((51.5, -0.1), PITCH, 0))
    if fits:
        assert calibrate(corners, length_m, width_m).residual_m is not None
    else:
        with pytest.raises(ConfigError, match="side"):
            calibrate(corners, length_m, width_m)


def test_calibration_when_the_shape_is_no_rectangle_then_it_is_refused() -> None:
    """Rule: sides within a tenth, and still a crooked figure: a diagonal or the residual tells."""
    crooked = PITCH + np.array([(9, 5), (0, -5), (9, 5), (0, -5)])
    with pytest.raises(ConfigError, match=r"diagonal|rectangle|side"):
        calibrate(corners_of(on_ellipsoid((51.5, -0.1), crooked, 0)), LENGTH_M, WIDTH_M)


def test_projection_when_a_block_is_projected_then_identity_times_and_flags_stay() -> None:
    """Rule: the position is the same reading in other units; quality falls with the stated accuracy."""
    origin = (51.5, -0.1)
    pitch = calibrate(corners_of(on_ellipsoid(origin, PITCH, 0)), LENGTH_M, WIDTH_M)
    places = on_ellipsoid(origin, np.array([(10.0, 20.0), (52.5, 34.0), (1000.0, 0.0), (5.0, 5.0)]), 0)
    rows = [(places[i, 0], places[i, 1], np.nan, accuracy_m) for i, accuracy_m in enumerate((0.0, 2.5, 2.5, np.nan))]
    block = readings("location", rows, first=7, quality=[0, Quality.BACKLOG, 0, 0])
    placed = pitch.project(block)
    assert (placed.stream, placed.sensor, placed.origin, placed.athlete) == (
        "position", block.sensor, block.origin, block.athlete,
    )  # fmt: skip
    assert placed.sequence.tolist() == block.sequence.tolist()
    assert placed.time_ns.tolist() == block.time_ns.tolist()
    assert placed.values[0] == pytest.approx([10, 20, 1], abs=0.1)
    assert placed.values[:3, 2] == pytest.approx([1, 0.75, 0.75])
    assert math.isnan(placed.values[3, 2])
    assert placed.quality.tolist() == [0, Quality.BACKLOG, Quality.IMPLAUSIBLE, 0]


def test_intake_when_the_pitch_is_calibrated_then_the_position_stands_beside_the_location() -> None:
    """Rule: what was measured is kept; the position is added, for the same wearer, at the same time."""
    corners = corners_of(on_ellipsoid((51.5, -0.1), PITCH, 30))
    first, second, third, fourth = corners
    calibration = pitch_calibration(SessionSettings(pitch_corners=(first, second, third, fourth)))
    wearers = Wearers(Roster(athletes=[roster_athlete("a01")], assignments=[Assignment(sensor="phone", athlete="a01")]))
    lat, lon = on_ellipsoid((51.5, -0.1), np.array([(30.0, 40.0)]), 30)[0]
    body = f'{{"_type":"location","lat":{lat},"lon":{lon},"tst":{START_NS // NS_PER_S},"acc":4}}'.encode()
    sent = frame(body, sensor=SensorId("phone"), channel="owntracks", clock=ManualClock(utc_ns=START_NS))
    blocks, rejected = Intake(wearers, "boot-7", calibration).take([sent])
    assert (rejected, [block.stream for block in blocks]) == ([], ["location", "position"])
    location, position = blocks
    assert position.values[0] == pytest.approx([30, 40, 0.6], abs=0.1)
    assert (position.athlete, position.sequence.tolist(), position.time_ns.tolist()) == (
        "a01", location.sequence.tolist(), location.time_ns.tolist(),
    )  # fmt: skip
    assert [block.stream for block in Intake(wearers, "boot-7").take([sent])[0]] == ["location"]
    assert pitch_calibration(SessionSettings()) is None
