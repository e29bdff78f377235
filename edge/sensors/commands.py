"""What is written to devices that send nothing until they are asked: one conversation per kind of device."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.sensors import movesense, polar
from edge.sensors.base import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What to write to a connected device that has one of `services` (full UUIDs, lower case).

    `start` is written in order after its notifications and indications are on, `stop` before the link is let go. Each
    write waits for its response; a command that is refused leaves the others as they are.
    """

    services: tuple[str, ...]
    start: tuple[Command, ...]
    stop: tuple[Command, ...]


def conversations(polar_streams: Sequence[str], movesense_paths: Sequence[str]) -> tuple[Conversation, ...]:
    """Return the conversations that bring these streams; a kind of device without streams has none.

    Polar streams are `"ecg"`, `"acc"` (or `"acc:<Hz>"`) and `"ppi"`; Movesense paths are such as `"/Meas/IMU6/104"`.
    Raises: ConfigError for a stream or path that no device has.
    """
    found = (
        Conversation(
            services=(polar.SERVICE,),
            start=polar.start_commands(polar_streams),
            stop=polar.stop_commands(polar_streams),
        ),
        Conversation(
            services=(movesense.SERVICE,),
            start=movesense.start_commands(movesense_paths),
            stop=movesense.stop_commands(movesense_paths),
        ),
    )
    return tuple(conversation for conversation in found if conversation.start)
