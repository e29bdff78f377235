"""Puts sensors on a session and lets them speak in real time."""

import zlib
from collections.abc import Sequence

import numpy as np

from firmware_sim.devices.heart_strap import RR_PER_NOTIFICATION, HeartStrap, encode_heart_rate_measurement
from firmware_sim.devices.position_tag import PositionTag, position_topic
from firmware_sim.faults import FaultRates, SensorFaults, Verdict
from firmware_sim.session import Session, Step
from firmware_sim.transports.base import Publisher
from firmware_sim.truth import Truth
from shared.clock import NS_PER_S, Clock
from shared.log import get_logger

_LATE_NS = NS_PER_S
_STRAP_PERIOD_S = 1.0

_log = get_logger("emitter")


def make_tags(sensors: Sequence[str], seed: int, power_on: int) -> list[PositionTag]:
    """Switch the tags on; `power_on` tells apart two runs of one seed, whose `boot` and battery differ."""
    tags = []
    for sensor in sensors:
        key = zlib.crc32(sensor.encode())
        rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(5, key, power_on)))
        boot = f"{int(rng.integers(1 << 32)):08x}"
        tags.append(PositionTag(sensor=sensor, boot=boot, battery_percent=float(rng.uniform(55.0, 100.0))))
    return tags


class Emitter:
    """Steps the session against the clock; every tag speaks each step, every strap once a second in its own phase."""

    def __init__(
        self,
        *,
        session: Session,
        tags: Sequence[PositionTag],
        straps: Sequence[HeartStrap],
        publisher: Publisher,
        truth: Truth,
        faults: FaultRates,
        seed: int,
        clock: Clock,
    ) -> None:
        self._session, self._tags, self._straps = session, tags, straps
        self._publisher, self._truth, self._clock = publisher, truth, clock
        self._rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(6,)))
        self._phase = self._rng.integers(0, session.rate_hz, len(straps))
        step_s = 1.0 / session.rate_hz
        self._tag_faults = [_sensor_faults(faults, seed, tag.sensor, step_s) for tag in tags]
        self._strap_faults = [_sensor_faults(faults, seed, strap.address, _STRAP_PERIOD_S) for strap in straps]
        self._beats: list[list[int]] = [[] for _ in straps]
        self._notified = [0] * len(straps)

    async def run(self, seconds: float) -> None:
        """Emit for `seconds` of session time, for ever when 0; falling over a second behind moves the schedule."""
        rate_hz = self._session.rate_hz
        start_ns = self._clock.mono_ns()
        due_ns, steps = start_ns, 0
        while not seconds or steps < round(seconds * rate_hz):
            late_ns = self._clock.mono_ns() - due_ns
            if late_ns < 0:
                await self._clock.sleep(-late_ns / NS_PER_S)
            elif late_ns > _LATE_NS:
                _log.warning("behind schedule", late_s=round(late_ns / NS_PER_S, 1))
                due_ns += late_ns
            await self.emit(self._session.step(), steps, due_ns, due_ns - start_ns)
            steps += 1
            due_ns += NS_PER_S // rate_hz
            if steps % rate_hz == 0:
                self._truth.flush()

    async def emit(self, step: Step, number: int, due_ns: int, since_start_ns: int) -> None:
        """Send what one step's sensors have to say; messages carry the moment that was due, not a late one."""
        t_ns = self._clock.utc_ns() - (self._clock.mono_ns() - due_ns)
        for index in range(len(self._tags)):
            if not np.isnan(step.x_m[index]):
                self._publish(index, step, t_ns, since_start_ns)
        for index in range(len(self._straps)):
            self._beats[index].extend(step.beats_1024[index])
            if (number + int(self._phase[index])) % self._session.rate_hz == 0:
                await self._notify(index, float(step.bpm[index]), step.time_s, t_ns)

    def _publish(self, index: int, step: Step, t_ns: int, since_start_ns: int) -> None:
        tag, faults = self._tags[index], self._tag_faults[index]
        x_mm, y_mm = round(float(step.x_m[index]) * 1000.0), round(float(step.y_m[index]) * 1000.0)
        n = tag.n
        quality = int(self._rng.integers(88, 101))
        shown_ns = faults.drifted_ns(t_ns, since_start_ns)
        body = tag.next_body(t_ns=shown_ns, x_mm=x_mm, y_mm=y_mm, quality=quality)
        verdict = faults.judge(step.time_s)
        if verdict.silent:
            self._truth.count("dropout")
            return
        if shown_ns != t_ns:
            self._truth.count("drift_ppm")
        for fault in _copies(verdict):
            if fault is not None:
                self._truth.count(fault)
            sent = faults.corrupt(body) if fault == "corrupt" else body
            ticket = self._truth.position(
                sensor=tag.sensor, boot=tag.boot, n=n, t_ns=t_ns, x_mm=x_mm, y_mm=y_mm, fault=fault
            )
            self._publisher.publish(position_topic(tag.sensor), sent, ticket)

    async def _notify(self, index: int, bpm: float, time_s: float, t_ns: int) -> None:
        strap, faults = self._straps[index], self._strap_faults[index]
        verdict = faults.judge(time_s)
        if verdict.disconnect and strap.subscribers():
            self._truth.count("disconnect")
            await strap.disconnect()
        if np.isnan(bpm):
            return
        if not strap.subscribers():
            self._truth.unheard += 1
            self._beats[index].clear()
            return
        if verdict.silent:
            self._truth.count("dropout")
            self._beats[index].clear()
            return
        await self._send_heart_rate(index, round(bpm), verdict, t_ns)

    async def _send_heart_rate(self, index: int, bpm: int, verdict: Verdict, t_ns: int) -> None:
        strap, faults = self._straps[index], self._strap_faults[index]
        rr_1024 = self._beats[index][:RR_PER_NOTIFICATION]
        del self._beats[index][: len(rr_1024)]
        body = encode_heart_rate_measurement(bpm, contact=True, rr_1024=rr_1024)
        for fault in _copies(verdict):
            if not await strap.notify(faults.corrupt(body) if fault == "corrupt" else body):
                return
            if fault is not None:
                self._truth.count(fault)
            self._truth.heart_rate(
                sensor=strap.address, n=self._notified[index], t_ns=t_ns, bpm=bpm, rr_1024=rr_1024, contact=True,
                fault=fault,
            )  # fmt: skip
            self._notified[index] += 1


def _copies(verdict: Verdict) -> tuple[str | None, ...]:
    """Return the fault name of every copy of a frame that goes out."""
    first = "corrupt" if verdict.corrupt else None
    return (first, "duplicate") if verdict.duplicate else (first,)


def _sensor_faults(rates: FaultRates, seed: int, sensor: str, period_s: float) -> SensorFaults:
    return SensorFaults(rates, seed=seed, sensor=sensor, period_s=period_s)
