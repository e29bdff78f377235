"""The families of parsers; a new one is a file with `targets()` and a line here."""

from collections.abc import Callable, Iterator

from tests.fuzz import ble, files, mqtt
from tests.fuzz.engine import Target

FAMILIES: dict[str, Callable[[], Iterator[Target]]] = {
    "ble": ble.targets,
    "files": files.targets,
    "mqtt": mqtt.targets,
}
