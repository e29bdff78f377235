"""What the Linux kernel says of its clock (adjtimex(2)): whether something disciplines it, and how wrong it may be."""

import ctypes
import sys
from dataclasses import dataclass

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """`struct timex` of <sys/timex.h>."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("microseconds", ctypes.c_long),
        ("tick", ctypes.c_long),
        ("pps", ctypes.c_long * 8),
        ("padding", ctypes.c_int * 16),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelClock:
    """`is_disciplined` when a time service steers it; `max_error_ms` is the kernel's own bound."""

    is_disciplined: bool
    max_error_ms: float


def kernel_clock() -> KernelClock | None:
    """Return what the kernel says, None where it cannot be asked. Nothing is changed."""
    if sys.platform != "linux":
        return None
    asked = _Timex()  # modes 0: only read
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(asked))
    if state < 0:
        return None
    is_disciplined = state != _TIME_ERROR and not asked.status & _STA_UNSYNC
    return KernelClock(is_disciplined=is_disciplined, max_error_ms=asked.maxerror / 1000)
