"""The settings file, the roster, and who may read the secrets."""

import stat
from pathlib import Path

from edge.doctor.check import Findings
from edge.doctor.surroundings import Subject
from shared.errors import ConfigError
from shared.roster import read_roster
from shared.settings import read_secret

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


async def check_settings(subject: Subject, findings: Findings) -> None:
    """Check that what the settings name can be read, and that secrets are the owner's alone."""
    settings = subject.settings
    findings.ok("settings", f"{subject.path} is understood; this is gateway {settings.gateway}")
    _roster(Path(settings.roster_file), findings)
    if settings.sync.url is not None:
        _secret("cloud token", Path(settings.sync.token_file), findings)
    if settings.mqtt is not None and settings.mqtt.password_file is not None:
        _secret("broker password", Path(settings.mqtt.password_file), findings)


def _roster(path: Path, findings: Findings) -> None:
    try:
        roster = read_roster(path)
    except ConfigError as exc:
        findings.fail("roster", str(exc), f"mend the file, or name another with roster_file in the settings ({path})")
        return
    sensors = {assignment.sensor for assignment in roster.assignments}
    found = f"{len(roster.athletes)} athletes, {len(sensors)} sensors"
    if sensors:
        findings.ok("roster", found)
    else:
        findings.warn("roster", found, "nobody wears a sensor: pair some on the tablet's health page")


def _secret(name: str, path: Path, findings: Findings) -> None:
    try:
        read_secret(path)
        mode = path.stat().st_mode
    except (ConfigError, OSError) as exc:
        findings.fail(name, str(exc), f"put the secret into {path}; `sideline-cloud enroll` writes the token")
        return
    if mode & _OTHERS:
        findings.warn(
            name,
            f"other users of this machine may use {path} (mode {stat.S_IMODE(mode):04o})",
            f"chmod 600 {path}",
        )
    else:
        findings.ok(name, f"{path} is the owner's alone")
