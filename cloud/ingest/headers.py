"""Reads a batch's header from the path and the HTTP headers."""

import base64
import binascii
import re
from collections.abc import Mapping

from shared.batch import CONTENT, CONTENT_DIGEST, COUNT, LANE, SCHEMA, BatchHeader, Lane
from shared.errors import ConfigError, DecodeError
from shared.ids import parse_epoch, parse_gateway_id

# RFC 9530 section 2: a dictionary of byte sequences; other algorithms may stand beside ours.
_SHA256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]+):")
_NUMBER = re.compile(r"[0-9]{1,18}")
_CONTENT_NAME = re.compile(r"[a-z][a-z_]{0,31}")


def parse_header(gateway: str, epoch: str, seq: str, headers: Mapping[str, str]) -> BatchHeader:
    """Return the header of a batch.

    Raises: DecodeError naming the first field that is missing or wrong.
    """
    try:
        return BatchHeader(
            gateway=parse_gateway_id(gateway),
            epoch=parse_epoch(epoch),
            seq=parse_number("seq", seq),
            lane=_lane(headers),
            content=_content(headers),
            sha256=_digest(headers),
            count=parse_number(COUNT, headers.get(COUNT)),
            schema=parse_number(SCHEMA, headers.get(SCHEMA)),
        )
    except ConfigError as exc:
        raise DecodeError(f"bad {exc.path}") from exc


def parse_number(name: str, text: str | None) -> int:
    """Return a non-negative integer below 10^18.

    Raises: DecodeError.
    """
    if text is None or not _NUMBER.fullmatch(text):
        raise DecodeError(f"bad or missing {name}")
    return int(text)


def _lane(headers: Mapping[str, str]) -> Lane:
    text = headers.get(LANE, "")
    if text not in {lane.value for lane in Lane}:
        raise DecodeError(f"bad or missing {LANE}")
    return Lane(text)


def _content(headers: Mapping[str, str]) -> str:
    text = headers.get(CONTENT, "")
    if not _CONTENT_NAME.fullmatch(text):
        raise DecodeError(f"bad or missing {CONTENT}")
    return text


def _digest(headers: Mapping[str, str]) -> str:
    match = _SHA256.search(headers.get(CONTENT_DIGEST, ""))
    try:
        digest = base64.b64decode(match[1], validate=True) if match else b""
    except binascii.Error as exc:
        raise DecodeError(f"bad {CONTENT_DIGEST}") from exc
    if len(digest) != 32:
        raise DecodeError(f"bad or missing {CONTENT_DIGEST}")
    return digest.hex()
