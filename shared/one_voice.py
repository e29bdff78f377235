"""One sensor at a time speaks for a stream of an athlete: two tags, or a strap's and a pod's motion, never mix.

The first heard speaks until it has been silent for five seconds; then whoever is heard next does. Pure.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from shared.clock import NS_PER_S
from shared.ids import SensorId
from shared.readings import Readings, select, span_ns

HAND_OVER_NS = 5 * NS_PER_S
# Charge is each sensor's own, and an answer counts whoever took it.
_MANY_VOICED = frozenset({"battery", "exertion"})


class Voice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who speaks for a stream, and when it last did."""

    sensor: SensorId
    last_ns: int


def one_voice(blocks: Sequence[Readings], voice: Voice | None) -> tuple[list[Readings], Voice | None]:
    """Return what the speaker said of blocks of one stream, and who speaks after them.

    However the blocks are cut into windows, the same readings stay, as long as windows come in time order.
    """
    if blocks[0].stream in _MANY_VOICED:
        return list(blocks), voice
    sensor = blocks[0].sensor if voice is None else voice.sensor
    last_ns = 0 if voice is None else voice.last_ns
    for block in blocks:
        if block.sensor != sensor:
            break
        last_ns = max(last_ns, span_ns(block)[1])
    else:
        return list(blocks), Voice(sensor=sensor, last_ns=last_ns)
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
