"""What the tests of the doctor share: a check of its own on given settings, certificates, and a TLS server."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge.doctor.check import Check, Findings
from edge.doctor.surroundings import Subject, running_gateway
from edge.settings import load
from shared.clock import SystemClock
from tests.factories import write_gateway_files

Group = Callable[[Subject, Findings], Awaitable[None]]


def subject(folder: Path, more: str = "") -> Subject:
    """Return whom the doctor examines: a gateway with these settings in `folder`."""
    path = write_gateway_files(folder, more)
    settings = load(path)
    return Subject(path=path, settings=settings, clock=SystemClock(), running=running_gateway(settings))


async def examined(check: Group, given: Subject) -> dict[str, Check]:
    """Return what one group of checks finds, by name; the last of a name counts."""
    findings = Findings("test")
    await check(given, findings)
    return {found.name: found for found in findings.checks}


def certificate(folder: Path, *, days: int, begun_days_ago: int = 400) -> tuple[Path, Path]:
    """Write a self-signed certificate for this machine that ends in `days` days, and its key; return both files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=begun_days_ago))
        .not_valid_after(now + timedelta(days=days, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    shown, secret = folder / "certificate.pem", folder / "key.pem"
    shown.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return shown, secret


@contextlib.asynccontextmanager
async def tls_server(shown: Path, secret: Path) -> AsyncIterator[int]:
    """Yield the port of a server that shows this certificate and then says nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown, secret)

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
            writer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
