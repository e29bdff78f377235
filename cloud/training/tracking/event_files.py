"""TensorBoard's event files, written beside whatever else records a run; `tensorboard --logdir` shows them."""

from pathlib import Path
from typing import Any

from cloud.training.tracking.events import Ended, Event, Metrics, Parameters, Started
from shared.errors import StoreError

_MS_PER_S = 1000.0


class EventFiles:
    """One run's scalars by step, and its tags and parameters as tables of text."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds one folder a run."""
        self._folder = folder
        self._writer: Any = None
        self._time_s = 0.0

    def record(self, event: Event) -> None:
        """Write what TensorBoard can show.

        Raises: StoreError when the file cannot be written.
        """
        try:
            self._write(event)
        except OSError as exc:
            raise StoreError(f"TensorBoard's event file: {exc}") from exc

    def _write(self, event: Event) -> None:
        if isinstance(event, Started):
            self._start(event)
        elif self._writer is None:
            raise StoreError("TensorBoard's event file could not be made")
        match event:
            case Parameters():
                self._add([_text("parameters", event.values)])
            case Metrics():
                self._time_s = event.time_ms / _MS_PER_S
                self._add([_scalar(name, value) for name, value in event.numbers().items()], event.step)
                self._writer.flush()
            case Ended():
                self._writer.close()
                self._writer = None
            case _:
                pass

    def _start(self, event: Started) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter  # noqa: PLC0415  slow to load

        self._time_s = event.time_ms / _MS_PER_S
        self._writer = EventFileWriter(str(self._folder / f"{event.name}-{event.key[:8]}"))
        self._add([_text("tags", event.tags)])

    def _add(self, values: list[Any], step: int = 0) -> None:
        from tensorboard.compat.proto.event_pb2 import Event as Record  # noqa: PLC0415  as above
        from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415

        self._writer.add_event(Record(wall_time=self._time_s, step=step, summary=Summary(value=values)))


def _scalar(name: str, value: float) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415  as above

    return Summary.Value(tag=name, simple_value=value)


def _text(name: str, values: dict[str, str]) -> Any:
    from tensorboard.plugins.text.summary_v2 import text_pb  # noqa: PLC0415  as above

    rows = [f"|{key}|{text}|" for key, text in values.items()]
    return text_pb(name, "\n".join(["|name|value|", "|---|---|", *rows])).value[0]
