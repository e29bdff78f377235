"""Figures as the doctor says them."""

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(count: float) -> str:
    """Return a number of bytes: 8.6 GB."""
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count /= 1000
        unit += 1
    return f"{count:.1f} {_UNITS[unit]}" if count < 10 and unit else f"{count:.0f} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """Return a span in the largest unit that fits: 3 days, 14 min, 0.4 s."""
    for unit_s, word in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {word}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def milliseconds(value_ms: float) -> str:
    """Return a short time: 0.42 ms, 7.3 ms, 120 ms."""
    return f"{value_ms:.2f} ms" if value_ms < 1 else f"{value_ms:.1f} ms" if value_ms < 100 else f"{value_ms:.0f} ms"
