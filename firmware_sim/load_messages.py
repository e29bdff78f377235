"""What the load generator sends: positions of many tags, or the mix of sensors that a squad wears. Pure."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence

from firmware_sim.athlete import AthleteProfile
from firmware_sim.devices.position_tag import encode_position, position_topic
from firmware_sim.devices.sideline_binary import BinaryDevice
from firmware_sim.devices.sideline_json import JsonDevice
from firmware_sim.roster import tag_id
from firmware_sim.transports.mqtt_wire import publish_front
from shared.clock import NS_PER_S
from shared.roster import Assignment, Roster, RosterAthlete

Message = tuple[bytes, bytes]
"""What stands before the packet id of a PUBLISH, and the body."""

_IMU_ROWS = 10
_KINDS_HZ = {"position": 25, "heart_rate": 1, "imu": 10}
"""Messages a second of one athlete of the mix; one of motion holds 10 samples at 100 Hz, the others one reading."""
_READINGS = {"position": 1, "heart_rate": 1, "imu": _IMU_ROWS}
_IMU_PERIOD_NS = NS_PER_S // (_KINDS_HZ["imu"] * _IMU_ROWS)


def strap_id(index: int) -> str:
    """Return the sensor id of the heart rate sensor worn by athlete `index` (from 0) of the mix."""
    return f"hr-{index + 1:02d}"


def pod_id(index: int) -> str:
    """Return the sensor id of the motion sensor worn by athlete `index` (from 0) of the mix."""
    return f"imu-{index + 1:02d}"


def mix_roster(profiles: Sequence[AthleteProfile]) -> Roster:
    """Give every athlete the three sensors of the mix."""
    athletes = [
        RosterAthlete(
            athlete=one.athlete,
            number=one.number,
            name=one.name,
            team=one.team % 2,  # a large squad plays several games; a roster has two teams
            sex=one.sex,
            hr_rest_bpm=one.hr_rest_bpm,
            hr_max_bpm=one.hr_max_bpm,
        )
        for one in profiles
    ]
    worn = [
        Assignment(sensor=name(index), athlete=one.athlete)
        for name in (tag_id, strap_id, pod_id)
        for index, one in enumerate(profiles)
    ]
    return Roster(athletes=athletes, assignments=worn)


def place_mm(n: int, tag: int) -> tuple[int, int]:
    """Return where tag number `tag` is in its message `n`: somewhere on the pitch."""
    return 1000 + (n * 37 + tag * 1711) % 103_000, 1000 + (n * 23 + tag * 1109) % 66_000


class Positions:
    """Message k is of tag k % tags."""

    def __init__(self, rate_hz: int, tags: int, boot: int) -> None:
        self.rate_hz = rate_hz
        self._topics = [position_topic(tag_id(index)) for index in range(tags)]
        self._boot = b"%08x" % boot
        self._fronts: dict[tuple[int, int], bytes] = {}

    def due(self, elapsed_s: float) -> int:
        """Return how many messages have their time within the first `elapsed_s`."""
        return int(elapsed_s * self.rate_hz)

    def messages(self, first: int, count: int, t_ns: int) -> list[Message]:
        """Return the messages from `first` on; bodies as `encode_position` writes them, in one step."""
        head = b'{"boot":"' + self._boot + b'","n":%d,"t_ns":' + b"%d" % t_ns + b',"x_mm":%d,"y_mm":%d,"quality":95}'
        tags, fronts = len(self._topics), self._fronts
        out: list[Message] = []
        for k in range(first, first + count):
            n, tag = divmod(k, tags)
            body = head % (n, *place_mm(n, tag))
            key = (tag, len(body))
            if key not in fronts:
                fronts[key] = publish_front(self._topics[tag], len(body))
            out.append((fronts[key], body))
        return out

    def sent(self, count: int) -> dict[str, tuple[int, int]]:
        """Return the messages and readings of each kind in the first `count` messages."""
        return {"position": (count, count)}


class Mix:
    """The same second again and again, every sensor at its own moment of it; sums to 36 messages an athlete."""

    def __init__(self, athletes: int, boot: int) -> None:
        self._boot = f"{boot:08x}"
        self._second = sorted(
            ((turn + athlete / athletes) / rate, kind, athlete)
            for kind, rate in _KINDS_HZ.items()
            for turn in range(rate)
            for athlete in range(athletes)
        )
        self._offsets = [offset for offset, _, _ in self._second]
        self.rate_hz = len(self._second)
        self._told = [0] * athletes
        self._straps = [JsonDevice(sensor=strap_id(index), boot=self._boot) for index in range(athletes)]
        self._pods = [BinaryDevice(sensor=pod_id(index), boot=boot) for index in range(athletes)]
        self._makers = {"position": self._position, "heart_rate": self._heart_rate, "imu": self._imu}

    def due(self, elapsed_s: float) -> int:
        """Return how many messages have their time within the first `elapsed_s`."""
        seconds = int(elapsed_s)
        return seconds * self.rate_hz + bisect_right(self._offsets, elapsed_s - seconds) * (elapsed_s > seconds)

    def messages(self, first: int, count: int, t_ns: int) -> list[Message]:
        """Return the messages from `first` on, which must be asked for in order."""
        out: list[Message] = []
        for k in range(first, first + count):
            _, kind, athlete = self._second[k % self.rate_hz]
            topic, body = self._makers[kind](athlete, t_ns)
            out.append((publish_front(topic, len(body)), body))
        return out

    def sent(self, count: int) -> dict[str, tuple[int, int]]:
        """Return the messages and readings of each kind in the first `count` messages."""
        seconds, rest = divmod(count, self.rate_hz)
        tail = Counter(kind for _, kind, _ in self._second[:rest])
        whole = Counter(kind for _, kind, _ in self._second)
        found = {kind: seconds * whole[kind] + tail[kind] for kind in _KINDS_HZ}
        return {kind: (messages, messages * _READINGS[kind]) for kind, messages in found.items()}

    def _position(self, athlete: int, t_ns: int) -> tuple[str, bytes]:
        n = self._told[athlete]
        self._told[athlete] += 1
        x_mm, y_mm = place_mm(n, athlete)
        body = encode_position(boot=self._boot, n=n, t_ns=t_ns, x_mm=x_mm, y_mm=y_mm, quality=95)
        return position_topic(tag_id(athlete)), body

    def _heart_rate(self, athlete: int, t_ns: int) -> tuple[str, bytes]:
        strap = self._straps[athlete]
        bpm = 130.0 + round(40 * math.sin(strap.n / 60 + athlete))
        return strap.topic("heart_rate"), strap.next_body(t_ns=t_ns, values={"heart_rate_bpm": bpm})

    def _imu(self, athlete: int, t_ns: int) -> tuple[str, bytes]:
        pod = self._pods[athlete]
        rows = [_motion(pod.sequence + row, athlete) for row in range(_IMU_ROWS)]
        return pod.topic("imu"), pod.next_body("imu", rows, t_ns=t_ns, period_ns=_IMU_PERIOD_NS, narrow=True)


def _motion(n: int, athlete: int) -> tuple[float, ...]:
    """Return sample n of a runner's motion at 100 Hz: gravity, strides at 2.5 Hz, and a turning trunk."""
    stride = math.sin(2 * math.pi * 2.5 * n / 100 + athlete)
    return 0.4 * stride, 0.2 * stride, 1.0 + 0.8 * stride, 40.0 * stride, 15.0 * stride, 25.0 * stride
