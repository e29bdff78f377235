"""Checks that a batch's bytes hold what its header says, within bounds on what they unpack to."""

from dataclasses import dataclass, field

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from shared.batch import BatchHeader, SessionSummary
from shared.errors import DecodeError
from shared.parquet_codec import READABLE_VERSIONS, decode_parquet
from shared.quantities import STREAMS
from shared.readings import Readings
from shared.tally import Tallies, tallies

SUMMARY = "summary"
# 4 MiB at 3 bytes a reading is 1.4 million; a file that claims far more is a decompression bomb.
MAX_READINGS = 4_000_000
MAX_UNPACKED_BYTES = 256 * 1024 * 1024


def object_key(header: BatchHeader) -> str:
    """Return where the batch's bytes lie below the objects' folder."""
    ending = "json" if header.content == SUMMARY else "parquet"
    return f"bronze/{header.gateway}/{header.epoch}/{header.seq:012d}.{header.content}.{ending}"


def aside_key(header: BatchHeader, folder: str, sha256: str) -> str:
    """Return where a refused batch's bytes are kept for people to look at."""
    return f"{folder}/{header.gateway}/{header.epoch}/{header.seq:012d}.{sha256[:16]}"


@dataclass(frozen=True, slots=True)
class Content:
    """What a batch holds: the tallies of its readings, or what is wrong with it in words that can be counted."""

    problem: str | None = None
    tallies: Tallies = field(default_factory=dict)


def examine(header: BatchHeader, body: bytes) -> Content:
    """Return what the bytes hold and whether that is what the header says."""
    if header.schema not in READABLE_VERSIONS:
        return Content("unknown schema")
    try:
        if header.content == SUMMARY:
            _check_summary(header, body)
            return Content()
        if header.content in STREAMS:
            return Content(tallies=tallies(_checked(header, body)))
    except DecodeError as exc:
        return Content(f"undecodable: {exc.reason}")
    return Content("unknown content")


def decode_summary(body: bytes) -> SessionSummary:
    """Return the summary.

    Raises: DecodeError when the bytes are none.
    """
    try:
        return msgspec.json.decode(body, type=SessionSummary)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise DecodeError("not a session summary") from exc


def _check_summary(header: BatchHeader, body: bytes) -> None:
    if decode_summary(body).gateway != header.gateway:
        raise DecodeError("summary of another gateway")


def _checked(header: BatchHeader, body: bytes) -> list[Readings]:
    _check_size(body)
    blocks = decode_parquet(body)
    if any(block.stream != header.content for block in blocks):
        raise DecodeError("another stream than the header says")
    if sum(len(block) for block in blocks) != header.count:
        raise DecodeError("another count than the header says")
    return blocks


def _check_size(body: bytes) -> None:
    try:
        footer = pq.read_metadata(pa.BufferReader(body))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        raise DecodeError("not a readable Parquet file") from exc
    unpacked = sum(footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
    if footer.num_rows > MAX_READINGS or unpacked > MAX_UNPACKED_BYTES:
        raise DecodeError("unpacks to more than allowed")
