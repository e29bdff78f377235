"""All file formats. A new one is one file and one line here."""

from collections.abc import Sequence

from edge.files.base import Content, Reader
from edge.files.fit import FitReader
from edge.files.gpx import GpxReader
from edge.files.hrm import HrmReader
from edge.files.tables import BeatsReader, PowerTableReader
from edge.files.tcx import TcxReader
from edge.files.tracking import TRACKING
from shared.errors import DecodeError

READERS: tuple[Reader, ...] = (
    FitReader(),
    TcxReader(),
    GpxReader(),
    HrmReader(),
    BeatsReader(),
    PowerTableReader(),
    *TRACKING,
)


def read(bodies: Sequence[bytes], *, salvage: bool = False) -> tuple[Reader, Content]:
    """Return the format of a file, or of the files that belong together in any order, and what they say.

    Raises: DecodeError when no format fits, a file is missing to it, or the bytes do not follow it.
    """
    lacking: list[str] = []
    for reader in READERS:
        parts = {part: body for body in bodies if (part := reader.part(body)) is not None}
        if len(parts) == len(bodies) == len(reader.parts):
            return reader, reader.read(parts, salvage=salvage)
        if parts and len(bodies) < len(reader.parts):
            missing = ", ".join(part for part in reader.parts if part not in parts)
            lacking.append(f"{reader.name} {', '.join(parts)} without its {missing} file")
    if lacking:
        raise DecodeError(f"it looks like {' or '.join(lacking)}: give that one with --with")
    formats = ", ".join(dict.fromkeys(reader.name for reader in READERS))
    raise DecodeError(
        f"it is none of the known formats ({formats})" if len(bodies) == 1 else "these do not belong together"
    )
