"""One sensor at a time speaks for a stream of an athlete: two tags, or a strap's and a pod's motion, never mix.

The first heard speaks until it has been silent for five seconds; then whoever is heard next does. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shared.clock import NS_PER_S
from shared.ids import SensorId
from shared.readings import Readings, select

HAND_OVER_NS = 5 * NS_PER_S
# Charge is each sensor's own, and an answer counts whoever took it.
_MANY_VOICED = frozenset({"battery", "exertion"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Who speaks for a stream, and when it last did."""

    sensor: SensorId
    last_ns: int


def one_voice(blocks: Sequence[Readings], voice: Voice | None) -> tuple[list[Readings], Voice | None]:
    """Return what the speaker said of blocks of one stream, and who speaks after them.

    However the blocks are cut into windows, the same readings stay, as long as windows come in time order.
    """
    if blocks[0].stream in _MANY_VOICED:
        return list(blocks), voice
    sensors = {block.sensor for block in blocks}
    if len(sensors) == 1 and (voice is None or voice.sensor in sensors):
        last_ns = max(int(block.time_ns.max()) for block in blocks)
        last_ns = last_ns if voice is None else max(last_ns, voice.last_ns)
        return list(blocks), Voice(sensor=blocks[0].sensor, last_ns=last_ns)
    times = np.concatenate([block.time_ns for block in blocks])
    owner = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    kept = np.zeros(len(times), bool)
    for i in np.argsort(times, kind="stable").tolist():
        sensor, time_ns = blocks[owner[i]].sensor, int(times[i])
        if voice is None or sensor == voice.sensor or time_ns - voice.last_ns > HAND_OVER_NS:
            voice = Voice(sensor=sensor, last_ns=time_ns if voice is None else max(time_ns, voice.last_ns))
            kept[i] = True
    parts = [select(block, kept[owner == number]) for number, block in enumerate(blocks)]
    return [part for part in parts if len(part)], voice
