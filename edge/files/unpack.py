"""Bytes of a file as they stand in it: gzip and zip are opened, with bounds."""

import io
import zipfile
import zlib

from shared.errors import DecodeError

# A season's longest tracking file is below this; what unpacks to more is a trap or a mistake.
MAX_BYTES = 512 * 1024 * 1024
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_WITH_GZIP_HEADER = 16 + zlib.MAX_WBITS


def unpack(body: bytes, *, most: int = MAX_BYTES) -> bytes:
    """Return what a gzip or a zip of one file holds, anything else as it is.

    Raises: DecodeError when it is damaged, larger than `most` bytes, empty, or a zip of several files.
    """
    if body.startswith(_GZIP):
        body = _gunzip(body, most)
    elif body.startswith(_ZIP):
        body = _unzip(body, most)
    if len(body) > most:
        raise DecodeError(f"it is larger than {most} bytes")
    if not body:
        raise DecodeError("it is empty")
    return body


def _gunzip(body: bytes, most: int) -> bytes:
    stream = zlib.decompressobj(_WITH_GZIP_HEADER)
    try:
        found = stream.decompress(body, most + 1)
    except zlib.error as exc:
        raise DecodeError("damaged gzip") from exc
    if len(found) <= most and not stream.eof:
        raise DecodeError("the gzip is cut short")
    return found


def _unzip(body: bytes, most: int) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            files = [entry for entry in archive.infolist() if not entry.is_dir() and "__MACOSX" not in entry.filename]
            if len(files) != 1:
                raise DecodeError(f"the zip holds {len(files)} files, not one")
            with archive.open(files[0]) as file:
                return file.read(most + 1)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, NotImplementedError) as exc:
        raise DecodeError("damaged zip") from exc
