"""What is asked of the surroundings by several checks: the gateway that runs with these settings, if one does."""

import http.client
from pathlib import Path

import msgspec

from edge.health_messages import Health
from edge.settings import GatewaySettings
from shared.clock import Clock

_ANSWER_S = 2.0
_MAX_BYTES = 16 * 1024**2
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104  what settings say, nothing is bound here


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the doctor examines; `running` is what a gateway says of itself at the settings' address, if one does."""

    path: Path
    settings: GatewaySettings
    clock: Clock
    running: Health | None

    @property
    def data(self) -> Path:
        """The data folder."""
        return Path(self.settings.data_dir)

    @property
    def book(self) -> Path:
        """The database that a gateway makes at its first start."""
        return self.data / "gateway.sqlite"


def page_host(settings: GatewaySettings) -> str:
    """Return the address at which this machine reaches its own tablet page."""
    return "127.0.0.1" if settings.host in _EVERYWHERE else settings.host


def running_gateway(settings: GatewaySettings) -> Health | None:
    """Return what the gateway at the settings' own address says, or None; blocks."""
    if settings.port == 0:
        return None  # the system chose one, and only the gateway knows which
    connection = http.client.HTTPConnection(page_host(settings), settings.port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/api/health")
        answer = connection.getresponse()
        health = msgspec.json.decode(answer.read(_MAX_BYTES), type=Health)
    except (OSError, http.client.HTTPException, msgspec.DecodeError, UnicodeDecodeError):
        return None
    finally:
        connection.close()
    return health if health.gateway == settings.gateway else None
