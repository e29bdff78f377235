"""Settings files: TOML into a frozen, typed structure; an unknown key is an error that names its place."""

import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec

from shared.errors import ConfigError

T = TypeVar("T")


def read_settings(path: Path, kind: type[T]) -> T:
    """Read `path` as `kind`, a frozen msgspec.Struct with `forbid_unknown_fields`.

    Relative paths inside the settings belong to the settings' own folder; whoever uses them resolves them.
    Raises: ConfigError with the file and the key's path.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(str(path), exc.strerror or "cannot be read") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(str(path), f"is not valid TOML: {exc}") from exc
    try:
        return msgspec.convert(table, type=kind, strict=True)
    except msgspec.ValidationError as exc:
        raise ConfigError(str(path), str(exc)) from exc


def read_secret(path: Path) -> str:
    """Read a secret kept as a file; surrounding white space does not count.

    Raises: ConfigError when it is missing or empty.
    """
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise ConfigError(str(path), exc.strerror or "cannot be read") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(str(path), "is no text") from exc
    if not secret:
        raise ConfigError(str(path), "is empty")
    return secret
