"""The machine's clock: steered by a time service, and its two times running alike."""

from pathlib import Path

from edge.doctor.check import Findings, in_thread
from edge.doctor.kernel_time import kernel_clock
from edge.doctor.surroundings import Subject
from edge.doctor.words import milliseconds
from shared.clock import NS_PER_MS

_TIMESYNC = Path("/run/systemd/timesync/synchronized")
_WATCHED_S = 0.25
_APART_MS = 20.0


async def check_clock(subject: Subject, findings: Findings) -> None:
    """Check synchronisation and that monotonic and wall time run alike."""
    kernel = kernel_clock()
    if kernel is not None and kernel.is_disciplined:
        bound = milliseconds(kernel.max_error_ms)
        findings.ok("synchronised", f"a time service steers it; the kernel bounds its error by {bound}")
    elif await in_thread(_TIMESYNC.exists):
        findings.ok("synchronised", "systemd-timesyncd has set it since the start")
    else:
        how = "cannot be asked for on this system" if kernel is None else "no time service steers the clock"
        findings.warn(
            "synchronised",
            how,
            "start one (`timedatectl set-ntp true`, or chrony) while there is a network; a machine without a battery "
            "clock needs one: the gateway holds batches back until its clock can be right",
        )
    clock = subject.clock
    utc_ns, mono_ns = clock.utc_ns(), clock.mono_ns()
    await clock.sleep(_WATCHED_S)
    wall_ms, passed_ms = (clock.utc_ns() - utc_ns) / NS_PER_MS, (clock.mono_ns() - mono_ns) / NS_PER_MS
    found = f"in {milliseconds(passed_ms)} of monotonic time the wall clock went {milliseconds(wall_ms)}"
    if passed_ms <= 0 or abs(wall_ms - passed_ms) > _APART_MS:
        advice = "the clock is being set at this moment; if this stays so, look for two time services at once"
        findings.fail("steady", found, advice)
    else:
        findings.ok("steady", found)
