"""The broker: reached, logged in, topics granted; and whether it keeps messages while the gateway is away."""

import secrets
import ssl
from pathlib import Path

from edge.doctor.check import Findings
from edge.doctor.mqtt_exchange import Exchange
from edge.doctor.surroundings import Subject
from edge.doctor.tls import reach
from edge.settings import MqttSettings
from edge.sources.mqtt_topics import Topics
from shared.errors import ConfigError, SourceError
from shared.settings import read_secret

# More than mosquitto keeps by default (1000) and than its window holds by default (20).
_KEPT = 1200
_WINDOW = 1000


async def check_broker(subject: Subject, findings: Findings) -> None:
    """Check the broker step by step, under a name of the doctor's own: the gateway's connection is left alone."""
    settings = subject.settings.mqtt
    if settings is None:
        findings.ok("broker", "the settings name none")
        return
    try:
        context = ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else None
        password = read_secret(Path(settings.password_file)) if settings.password_file else None
    except (OSError, ssl.SSLError, ConfigError) as exc:
        findings.fail("broker secrets", str(exc), "mend mqtt.ca_file or mqtt.password_file in the settings")
        return
    session = _Session(settings, context, password, subject, findings)
    try:
        await session.examine()
    except SourceError as exc:
        findings.fail("broker answers", str(exc), _advice(exc))


class _Session:
    """The doctor's own client on one broker."""

    def __init__(
        self,
        settings: MqttSettings,
        context: ssl.SSLContext | None,
        password: str | None,
        subject: Subject,
        findings: Findings,
    ) -> None:
        self._settings = settings
        self._context = context
        self._password = password
        self._subject = subject
        self._findings = findings
        self._client = f"sideline-doctor-{secrets.token_hex(4)}"
        self._topic = f"sideline/doctor/{secrets.token_hex(8)}"

    async def examine(self) -> None:
        """Add the findings. Raises: SourceError where the broker ends the talk."""
        findings, settings = self._findings, self._settings
        first = await self._enter(self._client, clean=True, findings=findings)
        if first is None:
            return
        who = f"as {settings.username}" if settings.username else "without a user"
        findings.ok("broker login", f"logged in {who}")
        filters = tuple(Topics(settings.topics).filters)
        granted = await first.subscribe(filters)
        await first.disconnect()
        refused = [topic for topic, is_granted in zip(filters, granted, strict=True) if not is_granted]
        if refused:
            advice = "let this user read the topics in the broker's access list (mosquitto: acl_file)"
            findings.fail("broker topics", f"refused: {', '.join(refused)}", advice)
        else:
            findings.ok("broker topics", f"granted at QoS 1: {', '.join(filters)}")
        await self._keeping()

    async def _keeping(self) -> None:
        """Leave a session, publish, come back, and count what was kept."""
        findings, quiet = self._findings, Findings("")
        away = await self._enter(self._client, clean=False, findings=quiet)
        other = await self._enter(f"{self._client}-b", clean=True, findings=quiet)
        if away is None or other is None:
            raise SourceError("broker", "does not take a second connection")
        granted = await away.subscribe((self._topic,))
        await away.disconnect()
        taken = await other.publish(self._topic, _KEPT) if all(granted) else 0
        await other.disconnect()
        back = await self._enter(self._client, clean=False, findings=quiet)
        if back is None:
            raise SourceError("broker", "does not take the connection again")
        window, kept = await back.waiting(_KEPT)
        await back.disconnect()
        ended = await self._enter(self._client, clean=True, findings=quiet)  # forgets the session
        if ended is not None:
            await ended.disconnect()
        if not taken or not all(granted):
            advice = f"allow this user {self._topic.rpartition('/')[0]}/# in the broker's access list to have it tested"
            findings.warn("broker keeps", "cannot be tested: this user may not use the doctor's topic", advice)
        else:
            self._say_kept(window, kept)

    def _say_kept(self, window: int, kept: int) -> None:
        findings = self._findings
        if kept < _KEPT:
            findings.warn(
                "broker keeps",
                f"{kept} of {_KEPT} messages that came while a client was away: the others were lost there",
                "set max_queued_messages 0 (no limit) in mosquitto.conf: what comes while the gateway restarts is lost",
            )
        else:
            findings.ok("broker keeps", f"all {_KEPT} messages that came while a client was away")
        if window < _WINDOW:
            findings.warn(
                "broker window",
                f"{window} messages unacknowledged at once; the gateway acknowledges after its commit",
                "set max_inflight_messages 2000 in mosquitto.conf, or the broker waits for the disk",
            )
        else:
            findings.ok("broker window", f"{window} messages or more unacknowledged at once")

    async def _enter(self, client: str, *, clean: bool, findings: Findings) -> Exchange | None:
        settings = self._settings
        streams = await reach("broker", settings.host, settings.port, self._context, self._subject, findings)
        if streams is None:
            return None
        exchange = Exchange(*streams)
        try:
            await exchange.connect(client, settings.username, self._password, clean=clean)
        except SourceError:
            await exchange.disconnect()
            raise
        return exchange


def _advice(exc: SourceError) -> str:
    if "password" in exc.problem or "may not connect" in exc.problem:
        return "mend mqtt.username and mqtt.password_file, or the broker's password file (mosquitto_passwd)"
    return "is it an MQTT broker that listens there, with TLS exactly if mqtt.ca_file is set?"
