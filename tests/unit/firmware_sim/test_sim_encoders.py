import json
import struct
from pathlib import Path

import pytest
from bumble.core import UUID, AdvertisingData
from bumble.profiles.heart_rate_service import HeartRateService
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.devices.heart_strap import (
    HEART_RATE_SERVICE,
    RR_PER_NOTIFICATION,
    encode_heart_rate_measurement,
)
from firmware_sim.devices.peripheral import encode_advertisement
from firmware_sim.devices.position_tag import PositionTag, encode_position, position_topic
from tests.tools import missing

GOLDEN = Path(__file__).parents[3].parent / "shared" / "golden" / "ble_vectors.json"
UINT16 = st.integers(0, 0xFFFF)
Measurement = HeartRateService.HeartRateMeasurement


def parse_measurement(body: bytes) -> tuple[int, bool | None, int | None, list[int]]:
    """Parse 0x2A37 as the specification reads, independently of the encoder."""
    flags, rest = body[0], body[1:]
    width = 2 if flags & 1 else 1
    bpm, rest = int.from_bytes(rest[:width], "little"), rest[width:]
    contact = bool(flags & 2) if flags & 4 else None
    energy = None
    if flags & 8:
        energy, rest = int.from_bytes(rest[:2], "little"), rest[2:]
    rr = [value for (value,) in struct.iter_unpack("<H", rest)] if flags & 16 else []
    return bpm, contact, energy, rr


@given(bpm=UINT16, contact=st.none() | st.booleans(), energy=st.none() | UINT16, rr=st.lists(UINT16, max_size=9))
def test_heart_rate_when_parsed_independently_then_every_field_returns(
    *, bpm: int, contact: bool | None, energy: int | None, rr: list[int]
) -> None:
    """Rule: what is encoded is what a reader of the specification reads."""
    body = encode_heart_rate_measurement(bpm, contact=contact, energy_kj=energy, rr_1024=rr)
    assert parse_measurement(body) == (bpm, contact, energy, rr)


@given(bpm=UINT16, contact=st.none() | st.booleans(), energy=st.none() | UINT16, rr=st.lists(UINT16, max_size=9))
def test_heart_rate_when_compared_with_bumble_then_bytes_and_values_agree(
    *, bpm: int, contact: bool | None, energy: int | None, rr: list[int]
) -> None:
    """Rule: bumble's own encoder and decoder, written by others, agree with ours."""
    body = encode_heart_rate_measurement(bpm, contact=contact, energy_kj=energy, rr_1024=rr)
    theirs = Measurement(bpm, contact, energy, [value / 1024 for value in rr] or None)
    assert body == bytes(theirs)
    read = Measurement.from_bytes(body)
    assert (read.heart_rate, read.sensor_contact_detected, read.energy_expended) == (bpm, contact, energy)
    assert [round(value * 1024) for value in read.rr_intervals or ()] == rr


def test_heart_rate_when_given_golden_values_then_the_golden_bytes_come_out() -> None:
    """Rule: the published byte vectors are reproduced exactly."""
    if not GOLDEN.is_file():
        missing(f"golden vectors at {GOLDEN.name}")
    checked = 0
    for vector in json.loads(GOLDEN.read_text())["sig"]:
        values, body = vector["decoded"], bytes.fromhex(vector["hex"])
        # 16-bit rates below 256 and a contact bit without support are legal to read, but no strap of ours sends them.
        unusual = vector["uuid"] != "0x2A37" or (body[0] & 1 and values["bpm"] < 256) or body[0] & 6 == 2
        if unusual:
            continue
        contact, energy = values["contact"], values["energy_kj"]
        encoded = encode_heart_rate_measurement(
            values["bpm"], contact=contact, energy_kj=energy, rr_1024=values["rr_1024"]
        )
        assert encoded == body, vector["id"]
        checked += 1
    assert checked >= 8


@pytest.mark.parametrize("bad", [{"bpm": -1}, {"bpm": 65536}, {"bpm": 60, "rr_1024": [70000]}])
def test_heart_rate_when_a_field_does_not_fit_then_value_error(bad: dict[str, int]) -> None:
    """Rule: a value over 16 bits is refused, never wrapped."""
    with pytest.raises(ValueError, match="does not fit 16 bits"):
        encode_heart_rate_measurement(**bad)  # type: ignore[arg-type]


def test_heart_rate_when_full_then_it_fits_the_smallest_mtu() -> None:
    """Rule: a full notification is at most 20 bytes (ATT MTU 23)."""
    assert len(encode_heart_rate_measurement(200, contact=True, rr_1024=[300] * RR_PER_NOTIFICATION)) == 20


def test_advertisement_when_read_by_bumble_then_it_names_the_heart_rate_service() -> None:
    """Rule: 0x180D stands in the advertisement itself, within 31 bytes, for passive scanners."""
    body = encode_advertisement("A name that is far too long for it", HEART_RATE_SERVICE)
    assert len(body) <= 31
    fields = AdvertisingData.from_bytes(body)
    services = fields.get(AdvertisingData.Type.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS)
    assert services == [UUID.from_16_bits(HEART_RATE_SERVICE)]


@given(
    n=st.integers(0, 2**32 - 1), t_ns=st.integers(0, 2**63 - 1), x=st.integers(-(10**6), 10**6), q=st.integers(0, 100)
)
def test_position_when_read_as_json_then_every_field_returns(n: int, t_ns: int, x: int, q: int) -> None:
    """Rule: the body is one JSON object with exactly the profile's keys."""
    body = encode_position(boot="0a1b2c3d", n=n, t_ns=t_ns, x_mm=x, y_mm=-x, quality=q)
    assert json.loads(body) == {"boot": "0a1b2c3d", "n": n, "t_ns": t_ns, "x_mm": x, "y_mm": -x, "quality": q}


def test_tag_when_it_sends_then_it_counts_and_tells_its_battery_every_hundredth_time() -> None:
    """Rule: n runs from 0; battery is in messages 0, 100, 200."""
    tag = PositionTag(sensor="tag-01", boot="00000001", battery_percent=80.0)
    sent = [json.loads(tag.next_body(t_ns=k, x_mm=0, y_mm=0, quality=99)) for k in range(201)]
    assert [message["n"] for message in sent] == list(range(201))
    assert [message["n"] for message in sent if "battery" in message] == [0, 100, 200]
    assert position_topic("tag-01") == "sideline/tags/tag-01/position"


def test_tag_when_the_counter_is_full_then_it_starts_again_at_zero() -> None:
    """Rule: n is a uint32."""
    tag = PositionTag(sensor="tag-01", boot="00000001", battery_percent=80.0, n=0xFFFFFFFF)
    tag.next_body(t_ns=0, x_mm=0, y_mm=0, quality=99)
    assert tag.n == 0
