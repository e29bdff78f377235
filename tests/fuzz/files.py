"""The family of file formats, on tiny valid files.

Half of the inputs are the engine's bytes; the other half are a valid file with words exchanged, chosen by those bytes:
that leaves XML and JSON well formed, and reaches what lies behind their parsers.
"""

import random
import re
import zlib
from collections.abc import Callable, Iterator

from edge.export.fit_bytes import crc16
from edge.files.registry import READERS, read
from tests.file_samples import SAMPLES
from tests.fuzz.engine import Target

_WORD = re.compile(rb"[A-Za-z0-9.+-]+")
_TRAPS = (
    b"", b"NaN", b"inf", b"-1", b"0", b"1e999", b"99999999999999999999", b"0x10", b"\x1f", b"\x00", b"\xff\xff",
    b"2014-13-45T99:99:99Z", b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59Z", b"&#0;", b"&x;", b"<!DOCTYPE a>",
    b"\xf0\x9f\x92\xa9", b",,,", b":", b"<a>" * 70,
)  # fmt: skip


def targets() -> Iterator[Target]:
    """Yield a target for each file of each format, the other file of a pair as it should be.

    FIT comes twice: with checksums made right again, and as it is, salvaged; else its checksums refuse every change.
    """
    for reader in READERS:
        bodies = SAMPLES[reader.name]
        for index, sample in enumerate(bodies):
            if reader.name != "FIT":
                parse = _parse(bodies[:index], sample, bodies[index + 1 :])
                yield Target(name=f"{reader.name} {reader.part(sample)}", corpus=(sample,), parse=parse)
    (fit,) = SAMPLES["FIT"]
    yield Target(name="FIT with right checksums", corpus=(fit,), parse=lambda body: read([signed(body)]))
    yield Target(name="FIT salvaged", corpus=(fit,), parse=lambda body: read([body], salvage=True))


def signed(body: bytes) -> bytes:
    """Return a FIT file with length and checksums made right again, so that damage reaches what lies behind them."""
    if len(body) < 16 or body[8:12] != b".FIT":
        return body
    inner = body[14:-2]
    head = bytes((14,)) + body[1:4] + len(inner).to_bytes(4, "little") + b".FIT"
    whole = head + crc16(head).to_bytes(2, "little") + inner
    return whole + crc16(whole).to_bytes(2, "little")


def _parse(before: tuple[bytes, ...], sample: bytes, after: tuple[bytes, ...]) -> Callable[[bytes], object]:
    words = list(_WORD.finditer(sample))

    def parse(body: bytes) -> object:
        if zlib.crc32(body) & 1:
            body = _exchange(sample, words, random.Random(body))
        return read([*before, body, *after])

    return parse


def _exchange(sample: bytes, words: list[re.Match[bytes]], rng: random.Random) -> bytes:
    """Return a copy in which some words stand in another's place, or a trap does."""
    chosen = rng.sample(words, min(len(words), rng.choice((1, 1, 2, 4))))
    for found in sorted(chosen, key=re.Match.start, reverse=True):
        word = rng.choice((rng.choice(words)[0], rng.choice(_TRAPS)))
        sample = sample[: found.start()] + word + sample[found.end() :]
    return sample
