"""Other people's names for our quantities, carried in a frame's channel.

`sideline+json?hr=heart_rate_bpm&v=speed_mps*0.1`: a channel says how to read a frame, so the mapping stands in it, and
a recording or a quarantined frame can be read again without the settings of the day.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from edge.sensors.fields import QUANTITIES
from shared.errors import DecodeError

Targets = Mapping[str, tuple[str, float]]
"""By the device's name: the quantity (or a time or count field), and what its numbers are multiplied by."""

FIELDS: Final = frozenset({"t", "t_ns", "boot", "n"})
"""What a mapping may name beside quantities: time in s or ns, power-on, count (`sideline+json` only)."""
MAX_NAMES: Final = 64
MAX_SCALE: Final = 1e12
_NONE: Final[Targets] = {}


def base_of(channel: str) -> str:
    """Return the format's name without its mapping."""
    return channel.partition("?")[0]


def with_mapping(base: str, targets: Targets) -> str:
    """Return a channel that says how names map."""
    if not targets:
        return base
    parts = {name: quantity if scale == 1 else f"{quantity}*{scale!r}" for name, (quantity, scale) in targets.items()}
    return f"{base}?{urlencode(parts, quote_via=quote, safe='*.+')}"


@lru_cache(maxsize=256)
def targets_of(channel: str, *, fields: bool = False) -> Targets:
    """Return a channel's mapping, perhaps empty; with `fields` it may name FIELDS too.

    Raises: DecodeError when it is none.
    """
    _, mark, query = channel.partition("?")
    if not mark:
        return _NONE
    try:
        pairs = parse_qsl(query.replace("+", "%2B"), strict_parsing=True, max_num_fields=MAX_NAMES)
        targets = {name: _target(text) for name, text in pairs}
    except ValueError as exc:
        raise DecodeError("channel has no mapping that we know") from exc
    known = QUANTITIES | FIELDS if fields else QUANTITIES
    if any(quantity not in known for quantity, _ in targets.values()):
        raise DecodeError("channel maps to an unknown quantity")
    return targets


def _target(text: str) -> tuple[str, float]:
    quantity, mark, text_scale = text.partition("*")
    scale = float(text_scale) if mark else 1.0
    if not -MAX_SCALE <= scale <= MAX_SCALE:  # false for NaN too
        raise ValueError("a scale out of range")
    return quantity, scale
