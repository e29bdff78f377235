"""The cloud: name, connection, certificate, token, its clock against ours; and the release channel behind it."""

import json
import ssl
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from edge.doctor.check import Findings, in_thread
from edge.doctor.surroundings import Subject
from edge.doctor.tls import leave, reach
from edge.doctor.words import duration
from edge.release.updater import ModelUpdater
from edge.sync.client import CloudClient
from shared.clock import NS_PER_S
from shared.errors import BatchRefused, ConfigError, LinkDown, ModelUntrusted, ServerBusy, StoreError
from shared.ids import new_epoch
from shared.settings import read_secret

_ANSWER_S = 4.0
# The cloud's date is to the second, and its answer takes time.
_SKEW_OK_S = 3.0
_SKEW_FAIL_S = 300.0
_NOT_ALLOWED = (401, 403)
# The shortest of them lives for three days and is signed anew each day.
_SOON_S = 86_400.0
_ROLES = ("root", "timestamp", "snapshot", "targets")


async def check_cloud(subject: Subject, findings: Findings) -> None:
    """Check the way to the cloud and what it says to this gateway's token; nothing is uploaded."""
    url = subject.settings.sync.url
    if url is None:
        findings.ok("cloud", "the settings name none: the gateway stores and waits")
        return
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    if not secure and host not in ("127.0.0.1", "localhost", "::1"):
        findings.warn("cloud address", f"{url} is not encrypted", "use https: the token is sent in the clear")
    context = ssl.create_default_context() if secure else None
    streams = await reach("cloud", host, port, context, subject, findings)
    if streams is None:
        return
    await leave(streams)
    await _token(url, subject, findings)


async def _token(url: str, subject: Subject, findings: Findings) -> None:
    settings = subject.settings
    try:
        token = read_secret(Path(settings.sync.token_file))
    except ConfigError as exc:
        findings.fail("cloud token", str(exc), "enrol the gateway: `sideline-cloud enroll` writes the token")
        return
    async with CloudClient(url, settings.gateway, token, timeout_s=_ANSWER_S) as client:
        try:
            # An epoch that no database has: what is asked is whether this token may ask.
            await client.state(new_epoch())
        except BatchRefused as exc:
            if exc.status in _NOT_ALLOWED:
                advice = "enrol the gateway again, and put the new token into sync.token_file; look at `gateway` too"
                findings.fail("cloud token", f"refused ({exc.status}) for gateway {settings.gateway}", advice)
            else:
                advice = "is sync.url the address of the ingest server, and nothing between (a login page)?"
                findings.fail("cloud answer", str(exc), advice)
        except (LinkDown, ServerBusy) as exc:
            findings.warn("cloud answer", str(exc), "try again later; until then the gateway keeps everything")
        else:
            findings.ok("cloud token", f"accepted for gateway {settings.gateway}")
        if client.server_ns is not None:
            _skew((subject.clock.utc_ns() - client.server_ns) / NS_PER_S, findings)


def _skew(ahead_s: float, findings: Findings) -> None:
    # The date was cut to the second, so that an equal clock seems half a second ahead on average.
    ahead_s -= 0.5
    side = "ahead of" if ahead_s > 0 else "behind"
    found = f"this machine is {duration(abs(ahead_s))} {side} the cloud's clock (told to the second)"
    advice = "set the clock (`timedatectl set-ntp true`); readings carry this machine's time"
    if abs(ahead_s) > _SKEW_FAIL_S:
        findings.fail("clock against cloud", found, advice)
    elif abs(ahead_s) > _SKEW_OK_S:
        findings.warn("clock against cloud", found, advice)
    else:
        findings.ok("clock against cloud", found)


async def check_releases(subject: Subject, findings: Findings) -> None:
    """Check that the release channel verifies from the first root on, and when its metadata expires."""
    url, root = subject.settings.sync.url, subject.settings.release.root_file
    if url is None or root is None:
        findings.ok("channel", "the settings name no release.root_file: no models are fetched")
        return
    try:
        models, expiries = await in_thread(_verified, url, Path(root))
    except ConfigError as exc:
        findings.fail("channel", str(exc), "copy the root metadata that was handed over at enrolment to this place")
        return
    except ModelUntrusted as exc:
        advice = "models that run go on; tell whoever releases: metadata must be signed anew before it expires"
        findings.fail("channel", exc.reason, advice)
        return
    except (LinkDown, StoreError) as exc:
        findings.warn("channel", str(exc), "models that run go on; see the checks of the cloud")
        return
    findings.ok("channel", f"verifies; names {', '.join(f'{n} {v}' for n, v in models.items()) or 'no model'}")
    _expiry(expiries, subject.clock.utc_ns(), findings)


def _verified(url: str, root: Path) -> tuple[dict[str, str], dict[str, datetime]]:
    """Fetch and verify the channel into a folder that is thrown away, so that what the gateway trusts stays."""
    with tempfile.TemporaryDirectory(prefix="sideline-doctor-") as folder:
        models = dict(ModelUpdater(url, Path(folder), root).channel().models)
        expiries = {}
        for role in _ROLES:
            signed = json.loads((Path(folder) / "metadata" / f"{role}.json").read_bytes())["signed"]
            expiries[role] = datetime.fromisoformat(signed["expires"])
    return models, expiries


def _expiry(expiries: dict[str, datetime], now_ns: int, findings: Findings) -> None:
    role, first = min(expiries.items(), key=lambda item: item[1])
    left_s = (first - datetime.fromtimestamp(now_ns / NS_PER_S, UTC)).total_seconds()
    found = f"{role} is the first to expire, in {duration(max(0.0, left_s))}, on {first:%Y-%m-%d %H:%M} UTC"
    if left_s < _SOON_S:
        findings.warn("channel expiry", found, "have the repository's metadata signed anew; running models go on")
    else:
        findings.ok("channel expiry", found)
