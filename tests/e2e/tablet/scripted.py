"""A seeded squad of any size and its state as the gateway would tell it: 24 athletes, each a little different."""

import math
import random
import time
from dataclasses import dataclass, field

import msgspec

from edge.health_messages import (
    AdapterHealth,
    GapEntry,
    Health,
    LinkHealth,
    ModelHealth,
    NearSensor,
    QuarantineEntry,
    SensorHealth,
    SessionEntry,
    StoreHealth,
)
from edge.messages import Alert, Athlete, Dot, MetricInfo, Pitch, Session, Snapshot, Tile
from tests.e2e.tablet.scripted_metrics import catalogue

SEED = 20_261_121
SECOND_NS = 1_000_000_000
STEP_S = 0.1
NAMES = (  # noqa: SIM905 - one line is read at a glance, 24 quoted strings are not
    "Pell Marek Okonta Brannagan Hadley Varga Quist Tamm Sorel Kaito Wren Isern Dassel Nilo Corvin Usher Lindholm Faro "
    "Yates Rowe Arden Lund Bello Jovan"
).split()
SILENT = 3
"""The athlete whose strap is connected and says nothing, counted from 0."""
REFUSAL = "p99 latency 41 ms over the budget of 20 ms"


def now_ns() -> int:
    """The scripted gateway's clock."""
    return time.time_ns()


@dataclass
class Squad:
    """The state of one scripted session; tests change it before a browser connects."""

    size: int = 24
    seed: int = SEED
    athletes: list[Athlete] = field(default_factory=list)
    tiles: dict[str, Tile] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    old_s: dict[str, float] = field(default_factory=dict)
    """Age of an athlete's heart rate whenever it is told; 0 where not named."""
    metrics: list[MetricInfo] = field(default_factory=catalogue)
    health: Health | None = None
    """What the gateway's health is told to be; an ordinary evening where None."""
    started_ns: int = field(default_factory=lambda: now_ns() - 3_872 * SECOND_NS)

    def __post_init__(self) -> None:
        """Draw everybody from the seed."""
        rng = random.Random(self.seed)
        for i in range(self.size):
            athlete = draw_athlete(i, rng)
            self.athletes.append(athlete)
            self.tiles[athlete.athlete] = draw_tile(athlete, rng)

    def snapshot(self) -> Snapshot:
        """Everything, as it is sent when a tablet connects."""
        return Snapshot(
            sent_ns=now_ns(),
            session=Session(
                name="Match prep", started_ns=self.started_ns, planned_s=5_400.0, planned_distance_m=6_500.0
            ),
            pitch=Pitch(length_m=105.0, width_m=68.0),
            athletes=self.athletes,
            tiles=self.told(),
            alerts=self.alerts,
            health=self.health or health_of(self.athletes),
            metrics=self.metrics,
            ahead_step_s=STEP_S,
        )

    def told(self) -> list[Tile]:
        """Every tile with its readings as old as the script says, counted from now."""
        at_ns = now_ns()
        return [
            msgspec.structs.replace(
                tile,
                hr_ns=None if tile.hr_ns is None else at_ns - round(self.old_s.get(tile.athlete, 0) * SECOND_NS),
                position_ns=None if tile.position_ns is None else at_ns,
            )
            for tile in self.tiles.values()
        ]

    def dots(self, time_ns: int) -> list[Dot]:
        """The first 22 and the ball at a time, with a path ahead for all but the ball."""
        at_s = (time_ns - self.started_ns) / SECOND_NS
        return [
            *(runner(athlete, i, at_s, time_ns) for i, athlete in enumerate(self.athletes[:22])),
            ball(at_s, time_ns),
        ]


def draw_athlete(i: int, rng: random.Random) -> Athlete:
    """The i-th member of the roster, odd numbers in the light team."""
    name = NAMES[i % len(NAMES)] + ("" if i < len(NAMES) else "o")
    return Athlete(
        athlete=f"a{i + 1:02d}",
        number=i + 1,
        name=name,
        team=i % 2,
        hr_rest_bpm=float(rng.randint(46, 64)),
        hr_max_bpm=float(rng.randint(186, 203)),
    )


def draw_tile(athlete: Athlete, rng: random.Random) -> Tile:
    """A fresh tile with a minute of trace behind it; a third is a hard effort, so that all zones appear."""
    share = rng.choice((0.58, 0.66, 0.74, 0.82, 0.84, 0.86, 0.88, 0.93))
    phase, swing = rng.uniform(0, 6.28), rng.uniform(2.0, 8.0)
    bpm = share * athlete.hr_max_bpm
    drift = rng.uniform(-9.0, 9.0)
    trace = [
        round(bpm + (swing * math.sin(phase + s / 11)) - swing * math.sin(phase + 59 / 11) + drift * (59 - s) / 59, 1)
        for s in range(60)
    ]
    at_ns = now_ns()
    return Tile(
        athlete=athlete.athlete,
        hr_bpm=round(bpm),
        hr_ns=at_ns,
        hr_seq=1,
        contact=True,
        zone=zone(share),
        speed_mps=round(rng.uniform(0.6, 6.2), 2),
        position_ns=at_ns,
        position_seq=1,
        distance_m=round(rng.uniform(3_800, 6_900)),
        high_speed_m=round(rng.uniform(20, 900)),
        sprint_m=round(rng.uniform(0, 130)),
        trimp=round(rng.uniform(48, 124)),
        zone_s=[240.0, 130.0, 430.0, 980.0, 1_560.0, 820.0 * share],
        plan_percent=round(rng.uniform(64, 128)),
        coverage=0.99,
        effort_bpm=round(bpm - rng.uniform(-4, 4)),
        effort_residual=0.4,
        trace_bpm=list(trace),
    )


def zone(share: float) -> int:
    """Zone 0..5 of a share of maximum heart rate."""
    return max(0, min(5, math.floor(share * 10 - 4 + 1e-9)))


def runner(athlete: Athlete, i: int, at_s: float, time_ns: int) -> Dot:
    """A player on a slow loop of their own; the path ahead follows the same loop."""
    turn = 0.24 + 0.09 * (i % 4)
    centre = (13 + 7.6 * (i % 11) + (6 if athlete.team else 0), 12 + (i * 19) % 46)

    def at(t: float) -> tuple[float, float]:
        angle = turn * t + i * 1.3
        return centre[0] + 6 * math.cos(angle) + 5 * math.sin(angle * 0.6), centre[1] + 8 * math.sin(angle * 0.8)

    x, y = at(at_s)
    ahead = [[*at(at_s + k * STEP_S), 0.06 * k, 0.045 * k] for k in range(1, 21)]
    return Dot(athlete=athlete.athlete, x_m=x, y_m=y, time_ns=time_ns, ahead=ahead)


def ball(at_s: float, time_ns: int) -> Dot:
    """The ball crosses the middle third."""
    return Dot(athlete="ball", x_m=54 + 16 * math.sin(at_s / 3), y_m=30 + 9 * math.cos(at_s / 4), time_ns=time_ns)


def health_of(athletes: list[Athlete]) -> Health:
    """An ordinary evening: no internet, one refused model, a few frames set aside."""
    at_ns = now_ns()
    sensors = [
        SensorHealth(
            sensor=f"{kind}-{athlete.number}",
            kind=kind,
            athlete=athlete.athlete,
            connected=True,
            last_ns=at_ns - (25 * SECOND_NS if kind == "heart_strap" and i == SILENT else (i % 5) * SECOND_NS // 5),
            frames=3_800 + 37 * i,
            malformed=i % 3 if kind == "heart_strap" else 0,
            implausible=i % 4,
            duplicates=(i * 7) % 11,
            reconnects=i % 3,
            battery_percent=float(96 - 3 * (i % 24)),
            rssi_dbm=-(52 + i % 31) if kind == "heart_strap" else None,
            adapter=f"hci{i % 2}" if kind == "heart_strap" else None,
            mode=("advertising" if i % 6 == 5 else "connected") if kind == "heart_strap" else "broker",
            silent=kind == "heart_strap" and i == SILENT,
            loss_percent=0.4 + 1.3 * (i % 9) if kind == "heart_strap" else None,
            clock_offset_ms=12.0 - i if kind == "position_tag" else None,
            clock_drift_ppm=round(18.4 - 1.7 * i, 1),
            clock_resets=int(i == SILENT),
            about={"manufacturer": "Polar", "model": "H10", "firmware": "5.0.2", "body_location": "Chest"}
            if kind == "heart_strap"
            else {},
        )
        for i, athlete in enumerate(athletes)
        for kind in ("heart_strap", "position_tag")
    ]
    return Health(
        gateway="Pitch B",
        version="0.3.0",
        started_ns=at_ns - 529_200 * SECOND_NS,
        cpu_s=1_284.0,
        rss_mb=318.0,
        sync_lag_s=2_460.0,
        links=[
            LinkHealth(link="clock", up=True, since_ns=at_ns - 528_000 * SECOND_NS),
            LinkHealth(link="broker", up=True, since_ns=at_ns - 529_000 * SECOND_NS),
            LinkHealth(link="adapter", up=True, since_ns=at_ns - 529_000 * SECOND_NS),
            LinkHealth(link="cloud", up=False, since_ns=at_ns - 2_460 * SECOND_NS, problem="No route to the internet"),
            LinkHealth(link="releases", up=False, since_ns=at_ns - 2_460 * SECOND_NS, problem="Waits for the cloud"),
        ],
        sensors=sensors,
        models=[
            model("effort", version="1.4.0", state="active", since_ns=at_ns - 86_400 * 9 * SECOND_NS),
            model("trajectory", version="2.3.1", state="refused", since_ns=at_ns - 86_400 * 34 * SECOND_NS),
        ],
        store=StoreHealth(
            readings=1_843_211,
            database_bytes=212_400_000,
            backlog_batches=38,
            backlog_bytes=5_812_000,
            oldest_unsent_ns=at_ns - 2_460 * SECOND_NS,
            uploaded_batches=4_612,
            commits=38_204,
            commit_ms_p99=7.4,
            quota_bytes=8_589_934_592,
            pressure_percent=2.47,
        ),
        quarantine=[
            QuarantineEntry(sensor="heart_strap-11", reason="too_short", count=14, last_ns=at_ns - 38 * SECOND_NS)
        ],
        gaps=[
            GapEntry(stream="heart_rate", reason="out of range", count=212, last_ns=at_ns - 14 * SECOND_NS),
            GapEntry(
                stream="imu",
                reason="thinned: store is over 70 % full",
                count=48_000,
                last_ns=at_ns - 90_000 * SECOND_NS,
            ),
            GapEntry(stream="all", reason="store could not keep up", count=31, last_ns=at_ns - 91_000 * SECOND_NS),
        ],
        live_dropped=0,
        adapters=[
            AdapterHealth(adapter="hci0", up=True, slots=7, used=7, heard=14),
            AdapterHealth(adapter="hci1", up=False, slots=7, used=0, heard=0, problem="Switched off by the system"),
        ],
        near=near_of(at_ns),
        sessions=sessions_of(at_ns),
    )


def sessions_of(at_ns: int) -> list[SessionEntry]:
    """One that runs, one on its way, one that the cloud has, and one that is gone from here."""
    return [
        SessionEntry(
            started_ns=at_ns - (days * 86_400 + 3_872) * SECOND_NS,
            ended_ns=at_ns - days * 86_400 * SECOND_NS if days else None,
            readings=410_000 + 31_000 * days,
            size_bytes=0 if days == 9 else 46_000_000 + 2_100_000 * days,
            unsent_batches=left,
            complete=days > 1,
            removed=days == 9,
        )
        for days, left in ((0, 26), (1, 12), (3, 0), (9, 0))
    ]


def near_of(at_ns: int) -> list[NearSensor]:
    """Two straps held near: a new one, and one that somebody wears; the strongest first."""
    return [
        NearSensor(sensor="strap-new", name="Polar H10 5A31", rssi_dbm=-34, athlete=None, last_ns=at_ns),
        NearSensor(sensor="heart_strap-5", name=None, rssi_dbm=-41, athlete="a05", last_ns=at_ns),
    ]


def model(name: str, *, version: str, state: str, since_ns: int) -> ModelHealth:
    """A slot that runs `version`; in state refused its candidate was turned away."""
    refused = state == "refused"
    return ModelHealth(
        name=name,
        version=version,
        state="refused" if refused else "active",
        active_since_ns=since_ns,
        previous_version="1.3.2",
        candidate_version="2.4.0" if refused else None,
        reason=REFUSAL if refused else None,
        inferences=92_411,
        latency_ms_p99=6.2,
    )
