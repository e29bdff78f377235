"""The private keys that sign releases: PEM files that only their owner can read, made once by setup."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from shared.errors import ConfigError

ROOT_KEYS = ("root-1", "root-2", "root-3")
ROOT_THRESHOLD = 2
ONLINE_ROLES = ("targets", "snapshot", "timestamp")
"""Roles with one key each; the root can replace any of them, so that a stolen one can be retired."""
_OWNER_ONLY = 0o600
_FOLDER_OWNER_ONLY = 0o700


def make_keys(folder: Path) -> list[str]:
    """Make the keys that are missing and return their names; existing ones stay as they are."""
    folder.mkdir(mode=_FOLDER_OWNER_ONLY, parents=True, exist_ok=True)
    made = [name for name in (*ROOT_KEYS, *ONLINE_ROLES) if not _path(folder, name).exists()]
    for name in made:
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = _path(folder, name)
        path.touch(mode=_OWNER_ONLY, exist_ok=False)
        path.write_bytes(pem)
    return made


def read_signer(folder: Path, name: str) -> CryptoSigner:
    """Return the signer of one key.

    Raises: ConfigError when the key is missing, is no Ed25519 key, or can be read by others.
    """
    path = _path(folder, name)
    try:
        readable_by_others = path.stat().st_mode & 0o077
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as exc:
        raise ConfigError(str(path), exc.strerror or "cannot be read") from exc
    except ValueError as exc:
        raise ConfigError(str(path), "is not a PEM private key") from exc
    if readable_by_others:
        raise ConfigError(str(path), "can be read by others; its mode must be 0600")
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(str(path), "is not an Ed25519 key")
    return CryptoSigner(key)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.pem"
