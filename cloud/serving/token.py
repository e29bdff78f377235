"""Who may ask for predictions: whoever shows the token; on this machine's loopback anybody, when no token is set."""

import ipaddress
from pathlib import Path

from cloud.settings import ServingSettings
from shared.errors import ConfigError
from shared.settings import read_secret


def read_token(settings: ServingSettings, path: Path | None) -> str | None:
    """Return the token in the file, None without a file.

    Raises: ConfigError when the file cannot be read, or when others could reach a service without a token.
    """
    if path is not None:
        return read_secret(path)
    if not _is_loopback(settings.host):
        raise ConfigError("serving.token_file", f"is needed to listen on {settings.host}, which others can reach")
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
