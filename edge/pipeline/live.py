"""The live path: blocks of readings in, tiles, map and alerts out, models in between."""

import asyncio
import math
import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from edge.inference.runner import Runner
from edge.messages import Alert as AlertMessage
from edge.messages import AthleteMetrics, Dot, TeamNow, Tile
from edge.pipeline import alerts
from edge.pipeline.alerts import VARIABLES, RuleState
from edge.pipeline.athlete_live import AthleteLive
from edge.pipeline.restoring import Past, seconds_of
from edge.pipeline.roster import Wearers
from edge.pipeline.team_live import teams_now
from edge.settings import AlertRule, SessionSettings
from shared.alerts import Alert, Severity
from shared.batch import MetricSummary
from shared.clock import NS_PER_S, Clock
from shared.features import athlete as effort
from shared.features.athlete import ATHLETE_EFFORT
from shared.features.team import BALL_TEAM, RATE_HZ, TeamHistory
from shared.ids import BALL, AthleteId, SensorId
from shared.metrics.pitch_control import Pitch
from shared.readings import Readings, span_ns
from shared.windows import Windower, merge

EFFORT = "effort"
TRAJECTORY = "trajectory"
MIN_COVERAGE = 0.8
"""Of the last minutes; below, the effort model is not asked."""
# Every second step of the forecast is shown: ten dots draw the path as well as twenty.
_SHOWN_EVERY = 2
# As long as a dot on the map counts as where its player is.
_TEAM_FRESH_NS = 3 * NS_PER_S
# So many athletes' totals move on in a second, and the others' in the next: a squad's each second, two squads' every
# other. Few numbers change as seldom, and work by athlete costs half when its readings come in pieces of two seconds.
_TOTALS_A_SECOND = 30
_Held = dict[tuple[SensorId, str, str], list[Readings]]
"""Blocks by sensor, stream and origin, as they came."""
AHEAD_STEP_S = _SHOWN_EVERY / RATE_HZ


class Live:
    """Everything that is shown now. All methods run on the event loop."""

    def __init__(
        self, wearers: Wearers, session: SessionSettings, rules: list[AlertRule], runner: Runner, clock: Clock
    ) -> None:
        alerts.check_rules(rules)
        self._rules = rules
        self._variables = {rule.rule: rule.variable for rule in rules}
        self._runner = runner
        self._clock = clock
        self._profiles = wearers.profiles()
        self._plan_m = session.planned_distance_m
        self._pitch = Pitch(length_m=session.pitch_length_m, width_m=session.pitch_width_m)
        self._teams = {**{AthleteId(a.athlete): a.team for a in wearers.roster.athletes}, BALL: BALL_TEAM}
        self._late_before = 0
        self._active: dict[tuple[str, AthleteId], Alert] = {}
        self._start()

    @property
    def late(self) -> int:
        """Readings that came too late for the live totals."""
        return self._late_before + self._windower.late

    def begin_session(self) -> list[Alert]:
        """Forget the session so far; return the alerts that end with it."""
        now_ns = self._clock.utc_ns()
        ended = [replace(alert, ended_ns=now_ns) for alert in self._active.values()]
        self._late_before = self.late
        self._start()
        return ended

    def _start(self) -> None:
        self._windower = Windower()
        self._held: dict[AthleteId, _Held] = {}
        """What is shown and not in the totals yet."""
        self._turn = 0
        self._past: Past | None = None
        self.athletes = {
            athlete: AthleteLive(profile=profile, plan_m=self._plan_m) for athlete, profile in self._profiles.items()
        }
        self._team = TeamHistory(self._teams)
        self._rule_states: dict[tuple[str, AthleteId], RuleState] = {}
        self._active = {}
        self.alerts: dict[str, Alert] = {}
        self.seen: set[str] = set()
        self.newest_ns = 0
        self.changed: set[AthleteId] = set()

    def take(self, blocks: Sequence[Readings]) -> None:
        """Take blocks that have just come: their newest readings show at once, totals with the next `refresh`."""
        for block in self._worn(blocks):
            if block.athlete is not None:
                held = self._held.setdefault(block.athlete, {})
                held.setdefault((block.sensor, block.stream, block.origin), []).append(block)

    def restore(self, blocks: Sequence[Readings]) -> None:
        """Take what an earlier run of this session stored, oldest first; `restored` ends it."""
        together: dict[tuple[object, ...], list[Readings]] = defaultdict(list)
        for block in blocks:
            together[block.sensor, block.stream, block.origin, block.athlete].append(block)
        if self._past is None:
            self._past = Past()
        for window in self._past.take(self._worn([merge(parts) for parts in together.values()])):
            live = self.athletes[window.athlete]
            live.metrics.update(window)
            for second in seconds_of(window):
                live.feel(second)

    def restored(self) -> None:
        """Go on from what was restored, with windows of a second again."""
        if self._past is None:
            return
        for window in self._windower.follow(self._past.windower):
            self.athletes[window.athlete].close(window)
        self._past = None
        self.changed.clear()

    def _worn(self, blocks: Sequence[Readings]) -> list[Readings]:
        """Show the newest of each block and return those of somebody on the roster."""
        worn: list[Readings] = []
        for block in blocks:
            if block.stream == "position":
                self._team.push(block)
            live = self.athletes.get(block.athlete) if block.athlete is not None else None
            if live is None:
                continue
            if live.take(block):
                self.changed.add(live.profile.athlete)
            last_ns = span_ns(block)[1]
            self.newest_ns = max(self.newest_ns, last_ns)
            worn.append(block)
        return worn

    def refresh(self) -> None:
        """Close the windows that are over, also of those who fell silent, and read everybody's totals."""
        for athlete in self.athletes:
            self._refresh(athlete)

    def refreshing(self) -> Iterator[None]:
        """Once a second: refresh athlete by athlete, so that others get their turn in between; see _TOTALS_A_SECOND."""
        turns = math.ceil(len(self.athletes) / _TOTALS_A_SECOND)
        self._turn += 1
        for number, athlete in enumerate(list(self.athletes)):
            if (number + self._turn) % turns == 0:
                self._refresh(athlete)
                yield

    def _refresh(self, athlete: AthleteId) -> None:
        live, now_ns = self.athletes[athlete], self._clock.utc_ns()
        self._close(athlete, now_ns)
        live.refresh_totals(now_ns - self._windower.delay_ns)
        if live.hr_ns or live.position_ns:
            self.changed.add(athlete)

    def _close(self, athlete: AthleteId, now_ns: int) -> None:
        """Bring an athlete's totals up to what has come."""
        live, held = self.athletes[athlete], self._held.pop(athlete, {})
        windows = self._windower.push(*(merge(parts) for parts in held.values()))
        for window in (*windows, *self._windower.advance(now_ns, athlete)):
            live.close(window)

    async def expect_effort(self) -> None:
        """Once a second: ask the effort model for everybody's expected heart rate.

        Nothing is expected of movement that the model was not fitted on: a guess would raise alerts.
        """
        rows = [row for live in self.athletes.values() if (row := effort.row(live.effort_state)) is not None]
        rows = [row for row in rows if row.coverage >= MIN_COVERAGE]
        features = np.stack([row.values for row in rows]) if rows else None
        outputs = await self._runner.infer(EFFORT, {"features": features}) if features is not None else None
        card = self._runner.card(EFFORT)
        expected = {}
        if outputs is not None and features is not None and card is not None:
            predicted = zip(rows, outputs["prediction"].reshape(-1), card.covers(ATHLETE_EFFORT, features), strict=True)
            expected = {row.athlete: round(float(bpm), 3) for row, bpm, covered in predicted if covered}
        now_ns = self._clock.utc_ns()
        for athlete, live in self.athletes.items():
            observed = live.fresh_heart_rate(now_ns)
            live.effort_bpm = expected.get(athlete)
            live.effort_residual = None
            if live.effort_bpm is not None and observed is not None and card is not None:
                spread_bpm = card.thresholds.get("residual_sd_bpm", 0.0)
                live.effort_residual = (observed - live.effort_bpm) / spread_bpm if spread_bpm > 0 else None

    async def look_ahead(self) -> list[Dot]:
        """Ten times a second: everybody's position, and where the trajectory model expects them for 2 s."""
        graph = self._team.graph()
        if graph is None:
            return []
        outputs = await self._runner.infer(
            TRAJECTORY, {"history": graph.history[None], "team": graph.team[None], "mask": graph.mask[None]}
        )
        present = np.flatnonzero(graph.mask)
        here = graph.history[present, -1]
        ahead: list[list[list[float]]] = [[] for _ in present]
        if outputs is not None:
            shown = slice(_SHOWN_EVERY - 1, None, _SHOWN_EVERY)
            offset, sigma = outputs["offset"][0, present, shown], outputs["sigma"][0, present, shown]
            ahead = np.round(np.concatenate((here[:, None] + offset, sigma), axis=2).astype(np.float64), 2).tolist()
        return [
            Dot(athlete=graph.athletes[i], x_m=round(x_m, 2), y_m=round(y_m, 2), time_ns=graph.time_ns, ahead=path)
            for i, (x_m, y_m), path in zip(present.tolist(), here.tolist(), ahead, strict=True)
        ]

    def teams(self) -> list[TeamNow]:
        """Once a second: return both teams' metrics, nothing while no positions come."""
        graph = self._team.graph()
        if graph is None or self._clock.utc_ns() - graph.time_ns > _TEAM_FRESH_NS:
            return []
        return teams_now(graph, self._pitch)

    def watch_rules(self) -> list[Alert]:
        """Once a second: return the alerts that began or ended."""
        now_ns = self._clock.utc_ns()
        changes: list[Alert] = []
        for rule in self._rules:
            for athlete, live in self.athletes.items():
                value = _variable(rule.variable, live, now_ns)
                state = self._rule_states.get((rule.rule, athlete), RuleState())
                state, change = alerts.evaluate(rule, state, value, now_ns)
                self._rule_states[rule.rule, athlete] = state
                if change is not None:
                    changes.append(self._apply(rule, live, change, now_ns))
        return changes

    def tiles(self, *, with_trace: bool = False) -> list[Tile]:
        """Return everybody's tile."""
        until_ns = self._clock.utc_ns() if with_trace else None
        return [live.tile(trace_until_ns=until_ns) for live in self.athletes.values()]

    def take_changed(self) -> list[Tile]:
        """Return the tiles that changed since the last call."""
        changed, self.changed = self.changed, set()
        return [self.athletes[athlete].tile() for athlete in changed]

    def alert_message(self, alert: Alert) -> AlertMessage:
        """Return an alert as tablets are told of it."""
        return AlertMessage(
            alert=alert.alert,
            athlete=alert.athlete,
            rule=alert.rule,
            severity=alert.severity.value,
            why=alert.why,
            cause=VARIABLES[self._variables[alert.rule]].cause,
            started_ns=alert.started_ns,
            ended_ns=alert.ended_ns,
            seen=alert.alert in self.seen,
        )

    async def summaries(self, now_ns: int) -> list[MetricSummary]:
        """Return every metric of everybody, for the upload's first lane; others get their turn in between."""
        until_ns = now_ns - self._windower.delay_ns
        found: list[MetricSummary] = []
        for athlete, live in list(self.athletes.items()):
            self._close(athlete, now_ns)
            found += [
                MetricSummary(
                    athlete=athlete,
                    metric=metric,
                    values=[None if math.isnan(v) else round(v, 3) for v in value.values],
                    coverage=round(value.coverage, 4),
                    time_ns=now_ns,
                    quality=round(value.quality, 4),
                )
                for metric, value in live.metrics.values(until_ns=until_ns).items()
                if value.coverage
            ]
            await asyncio.sleep(0)
        return found

    def metrics_of(self, athlete: AthleteId) -> AthleteMetrics | None:
        """Return every metric of one athlete's session, None of one whom the roster does not name."""
        live = self.athletes.get(athlete)
        if live is None:
            return None
        now_ns = self._clock.utc_ns()
        self._close(athlete, now_ns)
        metrics = live.metrics_now(now_ns - self._windower.delay_ns)
        return AthleteMetrics(athlete=athlete, sent_ns=now_ns, metrics=metrics)

    def _apply(self, rule: AlertRule, live: AthleteLive, change: alerts.Change, now_ns: int) -> Alert:
        athlete = live.profile.athlete
        key = (rule.rule, athlete)
        if change.began:
            alert = Alert(
                alert=secrets.token_hex(6),
                athlete=athlete,
                rule=rule.rule,
                severity=Severity(rule.severity),
                cause=VARIABLES[rule.variable].cause,
                why=alerts.words(rule, change),
                started_ns=now_ns,
            )
            self._active[key] = alert
        else:
            alert = replace(self._active.pop(key), ended_ns=now_ns)
        self.alerts[alert.alert] = alert
        current = next((a for (_, who), a in self._active.items() if who == athlete), None)
        live.attention = current.why if current else None
        live.attention_cause = VARIABLES[self._variables[current.rule]].cause if current else None
        live.unusual = any(a.cause == "effort" for (_, who), a in self._active.items() if who == athlete)
        self.changed.add(athlete)
        return alert


def _variable(name: str, live: AthleteLive, now_ns: int) -> float | None:
    """Return a rule's variable, or None when it is late or missing: an alert never rests on old data."""
    heart_rate = live.fresh_heart_rate(now_ns)
    if name == "hr_percent_max":
        return None if heart_rate is None else 100.0 * heart_rate / live.profile.hr_max_bpm
    if name == "effort_residual":
        return None if live.effort_residual is None else abs(live.effort_residual)
    if live.position_ns is None or now_ns - live.position_ns > 3 * NS_PER_S:
        return None
    return live.totals.get("high_speed_m")
