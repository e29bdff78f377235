"""Certificates: those in files that the settings name, and those that servers show."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from edge.doctor.check import Findings, in_thread
from edge.doctor.surroundings import Subject
from shared.clock import NS_PER_S

_SOON_DAYS = 21


async def check_certificates(subject: Subject, findings: Findings) -> None:
    """Check the certificate files that the settings name."""
    mqtt = subject.settings.mqtt
    if mqtt is None or mqtt.ca_file is None:
        findings.ok("files", "the settings name none")
        return
    path = Path(mqtt.ca_file)
    try:
        found = x509.load_pem_x509_certificates(await in_thread(path.read_bytes))
    except (OSError, ValueError) as exc:
        findings.fail("mqtt.ca_file", f"{path}: {exc}", "give the broker's certificate authority as a PEM file")
        return
    for certificate in found:
        name = certificate.subject.rfc4514_string() or "without a name"
        say_dates(f"mqtt.ca_file {name}", certificate, subject.clock.utc_ns(), findings)


def say_dates(name: str, certificate: x509.Certificate, now_ns: int, findings: Findings) -> bool:
    """Find a certificate's dates right, soon over or wrong; return whether it holds now."""
    now = datetime.fromtimestamp(now_ns / NS_PER_S, UTC)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    days = (ends - now).days
    if now < begins:
        findings.fail(name, f"not valid before {begins:%Y-%m-%d}", "look at this machine's clock")
    elif now > ends:
        findings.fail(name, f"expired on {ends:%Y-%m-%d}", "put a new certificate in its place")
    elif days < _SOON_DAYS:
        findings.warn(name, f"expires in {days} days, on {ends:%Y-%m-%d}", "have it renewed now")
    else:
        findings.ok(name, f"valid for {days} more days, until {ends:%Y-%m-%d}")
    return begins <= now <= ends


def shown_certificate(der: bytes | None) -> x509.Certificate | None:
    """Return the certificate that a server showed."""
    return x509.load_der_x509_certificate(der) if der else None


def unverified() -> ssl.SSLContext:
    """Return a context to look at a certificate that does not verify; nothing is ever sent through it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
