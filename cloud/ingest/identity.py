"""Who is calling: one bearer token per gateway, known to the cloud only by its SHA-256."""

import hashlib
import hmac
from enum import Enum, auto

from cloud.settings import Layout
from shared.errors import ConfigError
from shared.ids import parse_gateway_id

_SCHEME = "bearer "
_NOBODY = hashlib.sha256(b"").hexdigest()


class Caller(Enum):
    """The outcome of an identity check."""

    NOT_NAMED = auto()
    NOT_ALLOWED = auto()
    ALLOWED = auto()


def identify(layout: Layout, gateway: str, authorization: str | None) -> Caller:
    """Return whether the Authorization header carries this gateway's token; takes the same time for all wrong ones."""
    if authorization is None or not authorization.lower().startswith(_SCHEME):
        return Caller.NOT_NAMED
    token = authorization[len(_SCHEME) :].strip()
    shown = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
    matches = hmac.compare_digest(shown, _expected(layout, gateway))
    return Caller.ALLOWED if matches and token else Caller.NOT_ALLOWED


def _expected(layout: Layout, gateway: str) -> str:
    try:
        return layout.token_digest(parse_gateway_id(gateway)).read_text(encoding="ascii").strip()
    except (ConfigError, FileNotFoundError):
        return _NOBODY
