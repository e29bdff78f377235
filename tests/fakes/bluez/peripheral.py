"""Sensors as a Bluetooth service sees them: what they advertise, what they offer, and how they fail."""

from dataclasses import dataclass, field


def full(short: str) -> str:
    """Return the full UUID of a 16-bit one."""
    return f"0000{short}-0000-1000-8000-00805f9b34fb" if len(short) == 4 else short


@dataclass(eq=False)
class Attribute:
    """A characteristic: its UUID, its flags in BlueZ's words and the value that a read gives."""

    uuid: str
    flags: tuple[str, ...]
    value: bytes = b""


@dataclass(eq=False)
class Peripheral:
    """One sensor; `rssi_dbm` says which adapters hear it, and how well."""

    address: str
    name: str
    services: dict[str, list[Attribute]]
    advertised: tuple[str, ...] = ()
    companies: dict[int, bytes] = field(default_factory=dict)
    rssi_dbm: dict[str, int] = field(default_factory=lambda: {"hci0": -60})
    connect_errors: list[tuple[str, str]] = field(default_factory=list)
    """(error name, text) of the next attempts to connect."""
    drops_while_discovering: int = 0
    """So many of the next connections end before the services are known."""
    refused: set[str] = field(default_factory=set)
    """Characteristics whose writes are refused."""
    unanswered: set[str] = field(default_factory=set)
    """Methods such as "StartNotify" that never get a reply."""
    written: list[tuple[str, bytes]] = field(default_factory=list)
    connected_to: str | None = None
    connections: int = 0

    def path(self, adapter: str) -> str:
        """Return its object path under an adapter."""
        return f"/org/bluez/{adapter}/dev_{self.address.replace(':', '_')}"


def heart_strap(address: str, *, name: str = "Strap", battery: int = 83, **more: object) -> Peripheral:
    """Return a strap with heart rate, a battery that notifies too, and a model name."""
    return Peripheral(
        address=address,
        name=name,
        services={
            full("180d"): [Attribute(full("2a37"), ("notify",))],
            full("180f"): [Attribute(full("2a19"), ("read", "notify"), bytes([battery]))],
            full("180a"): [Attribute(full("2a24"), ("read",), b"Simulated")],
        },
        advertised=(full("180d"),),
        **more,  # type: ignore[arg-type]  # the fields above by name
    )


def polar_strap(address: str, **more: object) -> Peripheral:
    """Return a strap that also sends its heart rate in advertisements and streams measurements when asked."""
    strap = heart_strap(address, name="Polar H10", **more)  # type: ignore[arg-type]  # the fields above by name
    strap.services["fb005c80-02e7-f387-1cad-8acd2d8df0c8"] = [
        Attribute("fb005c81-02e7-f387-1cad-8acd2d8df0c8", ("read", "write", "indicate"), b"\x0f\x05"),
        Attribute("fb005c82-02e7-f387-1cad-8acd2d8df0c8", ("notify",)),
    ]
    advertise_heart_rate(strap, 60, 0)
    return strap


def advertise_heart_rate(strap: Peripheral, bpm: int, counter: int) -> None:
    """Put a heart rate into a strap's advertisements: status with contact and a counter of 0 to 7, then the rates."""
    strap.companies = {0x006B: bytes([0x22 | counter << 2, 0x2F, bpm, bpm])}
