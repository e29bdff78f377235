"""SenML packs (RFC 8428): records resolved against their base fields. Knows nothing of our quantities."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import cbor2
import msgspec

from edge.sensors.fields import MAX_BODY_BYTES, number, read_json
from shared.errors import DecodeError

_VERSION: Final = 10
_MAX_RECORDS: Final = 4096
# §4.5.1: a name has these characters only, and does not begin with a sign.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]{0,255}")
# §4.5.3: a time below this is relative to now.
RELATIVE_BELOW_S: Final = 2.0**28
# §6, table 4.
_LABELS: Final[Mapping[object, str]] = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
# CBOR tags that cbor2 would act on; of numbers, §6 has integers, floats and decimal fractions (4) only.
_TAGS: Final = (0, 1, 2, 3, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
_MAX_DEPTH: Final = 4
_KNOWN: Final = frozenset(_LABELS.values())
_VALUES: Final = frozenset(("v", "vs", "vb", "vd"))

_json_decoder = msgspec.json.Decoder(list[dict[str, object]])


class Measured(msgspec.Struct, frozen=True, gc=False):
    """One resolved record: its whole name, unit, time in s (relative to now below 2^28), value and sum, if numbers."""

    name: str
    unit: str | None
    time_s: float
    value: float | None
    total: float | None


class _Base:
    """The base fields so far (§4.1)."""

    __slots__ = ("name", "time_s", "total", "unit", "value", "version")

    def __init__(self) -> None:
        self.name, self.unit, self.version = "", "", 0.0
        self.time_s = self.value = self.total = 0.0

    def move(self, record: Mapping[str, object]) -> None:
        """Take the base fields of one record."""
        if "bver" in record:
            version = number(record["bver"])
            if version > _VERSION or self.version not in (0, version):
                raise DecodeError("a SenML version that we do not know")
            self.version = version
        if "bn" in record:
            self.name = _text(record["bn"])
        if "bu" in record:
            self.unit = _text(record["bu"])
        if "bt" in record:
            self.time_s = number(record["bt"])
        if "bv" in record:
            self.value = number(record["bv"])
        if "bs" in record:
            self.total = number(record["bs"])


def read_pack_json(body: bytes) -> list[dict[str, object]]:
    """Return the records of a pack in JSON (§5). Raises: DecodeError."""
    return read_json(_json_decoder, body, "a SenML pack in JSON")


def read_pack_cbor(body: bytes) -> list[dict[str, object]]:
    """Return the records of a pack in CBOR (§6), labels as in JSON. Raises: DecodeError."""
    if len(body) > MAX_BODY_BYTES:
        raise DecodeError("body is longer than any sensor sends")
    try:
        pack = cbor2.loads(
            body, max_depth=_MAX_DEPTH, allow_duplicate_keys=False, semantic_decoders=dict.fromkeys(_TAGS, _refuse)
        )
    except cbor2.CBORError as exc:
        raise DecodeError("not a SenML pack in CBOR") from exc
    if not isinstance(pack, list):
        raise DecodeError("not a SenML pack in CBOR")
    records: list[dict[str, object]] = []
    for record in pack:
        if not isinstance(record, dict):
            raise DecodeError("a SenML record is no map")
        records.append({_label(key): _plain(value) for key, value in record.items()})
    return records


def resolve(records: Sequence[Mapping[str, object]]) -> list[Measured]:
    """Return what a pack measured, in its order (§4.6); records with neither value nor sum only set the base.

    Raises: DecodeError for a name, number or version that breaks the format, and for a label that must be understood.
    """
    if len(records) > _MAX_RECORDS:
        raise DecodeError("a SenML pack with too many records")
    base = _Base()
    measured: list[Measured] = []
    for record in records:
        if not record.keys() <= _KNOWN and any(label.endswith("_") for label in record):
            raise DecodeError("a SenML label that must be understood")  # §4.4
        base.move(record)
        kinds = len(record.keys() & _VALUES)
        if kinds > 1:
            raise DecodeError("a SenML record with two values")
        if not kinds and "s" not in record:
            continue
        name = base.name + _text(record.get("n", ""))
        if not _NAME.fullmatch(name):
            raise DecodeError("a SenML record without a proper name")
        measured.append(
            Measured(
                name=name,
                unit=_text(record.get("u", base.unit)) or None,
                time_s=number(number(record.get("t", 0.0)) + base.time_s),
                value=number(number(record["v"]) + base.value) if "v" in record else None,
                total=number(number(record["s"]) + base.total) if "s" in record else None,
            )
        )
    return measured


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise DecodeError("a SenML name or unit is no text")
    return value


def _label(key: object) -> str:
    label = key if isinstance(key, str) else _LABELS.get(key) if type(key) is int else None
    # Unknown integer labels are ignored, as unknown texts are (§4.4).
    return label if label is not None else "?"


def _plain(value: object) -> object:
    """Return a decimal fraction as a float; its exponent is bounded by the float's own range."""
    if isinstance(value, bool | int | float | str):
        return value
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def _refuse(*_: object) -> object:
    raise ValueError("a tag that no SenML pack has")
