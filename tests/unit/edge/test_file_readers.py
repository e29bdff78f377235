"""The readers of files, on small files made here; real ones are read in tests/integration/test_import_open_files.py."""

import gzip
import io
import random
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from edge.files.base import Content, Series
from edge.files.registry import READERS, read
from edge.files.secure_xml import check_xml
from edge.files.unpack import unpack
from shared.clock import NS_PER_S
from shared.errors import DecodeError
from tests.file_samples import POWER_TABLE, RR, SAMPLES, START_NS, fit, gpx, hrm, tcx, tracab

ENTITIES = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;"><!ENTITY z SYSTEM "file:///etc/passwd">]>'


def series(content: Content, stream: str, wearer: str = "") -> Series:
    """Return one of a file's series."""
    return next(s for s in content.series if (s.stream, s.wearer) == (stream, wearer))


def test_samples_when_listed_then_every_format_has_one_and_is_found_by_it() -> None:
    """Rule: each format is told from its bytes alone, never from a file's name, whatever the order of a pair."""
    assert set(SAMPLES) == {reader.name for reader in READERS}
    for name, bodies in SAMPLES.items():
        assert read(bodies)[0].name == name
        assert read(bodies[::-1])[0].name == name


def test_fit_when_run_then_units_are_those_of_the_streams() -> None:
    """Rule: semicircles become degrees, one leg's rpm steps per minute, the right leg's share the left's."""
    _, content = read([fit()])
    assert series(content, "heart_rate").time_ns.tolist() == [START_NS + n * NS_PER_S for n in range(3)]
    np.testing.assert_allclose(series(content, "location").values[0, :3], (48.1, 11.5, 520), atol=1e-7)
    np.testing.assert_allclose(series(content, "speed").values[1], (3.0, 3.0, 171.0, 1.052))
    np.testing.assert_allclose(series(content, "power").values[0], (250, 52))
    np.testing.assert_allclose(series(content, "gait").values[0], (240.5, 50.5))


def test_fit_when_ridden_then_cadence_is_the_cranks() -> None:
    """Rule: the sport, which stands at the file's end, says what cadence counts."""
    _, content = read([fit(sport=2)])
    assert series(content, "cadence").values[0, 0] == 85.5
    assert np.isnan(series(content, "speed").values[:, 2]).all()


def test_fit_when_the_sport_is_not_known_then_cadence_is_left_out_and_said() -> None:
    """Rule: a number of unknown meaning is not stored, and the note says so."""
    _, content = read([fit(sport=5)])
    assert np.isnan(series(content, "speed").values[:, 2]).all()
    assert any("cadence" in note for note in content.notes)


def test_fit_when_beats_follow_records_then_each_ends_where_the_next_begins() -> None:
    """Rule: beat intervals are counted on from one another, near the records around them."""
    _, content = read([fit(count=10)])
    beats = series(content, "rr")
    assert (np.diff(beats.time_ns) == NS_PER_S // 2).all()
    assert abs(int(beats.time_ns[-1]) - (START_NS + 9 * NS_PER_S)) <= 3 * NS_PER_S


def test_fit_when_cut_anywhere_then_it_is_refused_or_salvaged_up_to_there() -> None:
    """Rule: every truncation is refused; asked to, the part before the damage is taken and the damage is told."""
    whole, seen = fit(count=5), set()
    for end in range(12, len(whole)):
        with pytest.raises(DecodeError):
            read([whole[:end]])
        try:
            _, content = read([whole[:end]], salvage=True)
        except DecodeError:
            continue
        assert content.damage is not None
        rates = series(content, "heart_rate").values[:, 0].tolist()
        assert rates == [120.0 + n for n in range(len(rates))]
        seen.add(len(rates))
    assert seen == {1, 2, 3, 4, 5}


def test_fit_when_a_bit_flips_then_the_checksum_tells() -> None:
    """Rule: a damaged file is never taken for a good one: CRC-16 notices every single flipped bit."""
    whole, random_ = fit(), random.Random(5)
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[random_.randrange(14, len(whole))] ^= 1 << random_.randrange(8)
        with pytest.raises(DecodeError):
            read([bytes(damaged)])


def test_tcx_when_read_then_points_become_streams() -> None:
    """Rule: cadence of a run counts one leg, of a ride the cranks."""
    _, run = read([tcx()])
    np.testing.assert_allclose(series(run, "speed").values[1, :3], (3.0, 1.5, 170.0))
    np.testing.assert_allclose(series(run, "heart_rate").values[:, 0], (120, 121))
    np.testing.assert_allclose(series(run, "power").values[:, 0], 250)
    assert series(run, "location").time_ns.tolist() == [START_NS, START_NS + NS_PER_S]
    _, ride = read([tcx(sport="Biking")])
    assert series(ride, "cadence").values[:, 0].tolist() == [85.0, 85.0]


def test_gpx_when_read_then_extensions_become_streams() -> None:
    """Rule: place, heart rate and cadence are taken from the usual extensions."""
    _, content = read([gpx()])
    np.testing.assert_allclose(series(content, "heart_rate").values[:, 0], (120, 121))
    np.testing.assert_allclose(series(content, "speed").values[:, 2], 170)
    _, unknown = read([gpx(kind="chess")])
    assert any("cadence" in note for note in unknown.notes)


def test_hrm_when_imperial_then_speed_is_converted() -> None:
    """Rule: the eighth flag of SMode says miles; 0 bpm is no signal, not a heart rate."""
    _, metric = read([hrm()])
    _, imperial = read([hrm(smode="111100010")])
    assert series(metric, "speed").values[0, 0] == pytest.approx(3.0)
    assert series(imperial, "speed").values[0, 0] == pytest.approx(3.0 * 1.609344)
    assert series(metric, "heart_rate").values[:, 0].tolist() == [120.0]
    assert series(metric, "power").time_ns.tolist() == [START_NS, START_NS + 5 * NS_PER_S]


def test_hrm_when_it_holds_beats_then_each_is_an_interval() -> None:
    """Rule: an interval of 238 means one row per beat, in milliseconds."""
    _, content = read([hrm(interval=238)])
    beats = series(content, "rr")
    assert beats.values[:, 0].tolist() == [500.0, 510.0]
    assert ((beats.time_ns - START_NS) // 1_000_000).tolist() == [500, 1010]


def test_text_when_it_says_no_date_then_its_times_count_from_zero() -> None:
    """Rule: a file without a date is not given one."""
    _, beats = read([RR])
    _, ride = read([POWER_TABLE])
    assert (beats.dated, ride.dated) == (False, False)
    assert series(beats, "rr").values[:, 0].tolist() == pytest.approx([810, 809, 776])
    assert series(ride, "speed").values[0, :2].tolist() == pytest.approx([10.0, 0.0])
    assert series(ride, "heart_rate").values[:, 0].tolist() == [170.0]


def test_tracking_when_read_then_the_origin_is_a_corner_of_the_pitch() -> None:
    """Rule: centimetres from the middle become metres from a corner, for players and ball, at the frame rate."""
    _, content = read(tracab())
    assert series(content, "position", "away-9").values[0, :2].tolist() == pytest.approx([0, 0])
    assert series(content, "position", "home-10").values[0, :2].tolist() == pytest.approx([105, 68])
    assert series(content, "position", "ball").values[0, :2].tolist() == pytest.approx([52.5, 34])
    assert np.diff(series(content, "position", "ball").time_ns).tolist() == [NS_PER_S // 25]


def test_half_of_a_pair_when_alone_then_the_refusal_names_the_other() -> None:
    """Rule: a refusal says what to do."""
    with pytest.raises(DecodeError, match=r"without its metadata file.*--with"):
        read([tracab()[0]])


@pytest.mark.parametrize("make", [tcx, gpx], ids=["tcx", "gpx"])
def test_xml_when_it_declares_entities_then_it_never_reaches_a_parser(make: Callable[..., bytes]) -> None:
    """Rule: no entity is expanded and no file is fetched, in whatever encoding it is written."""
    with pytest.raises(DecodeError, match="document type"):
        read([make(prolog=ENTITIES)])
    with pytest.raises(DecodeError):
        read([make(prolog=ENTITIES).decode().encode("utf-16")])
    with pytest.raises(DecodeError, match="encoding"):
        check_xml(b'<?xml version="1.0" encoding="utf-7"?><gpx/>')


def test_xml_when_nested_without_end_then_it_is_refused() -> None:
    """Rule: depth is bounded before a parser recurses."""
    with pytest.raises(DecodeError, match="nested"):
        check_xml(b"<a>" * 100_000)


def test_packed_file_when_opened_then_it_is_the_file() -> None:
    """Rule: gzip and a zip of one file are opened; traps and mistakes are refused."""
    whole = fit()
    zipped, two = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.fit", whole)
    with zipfile.ZipFile(two, "w") as archive:
        archive.writestr("a.fit", whole)
        archive.writestr("b.fit", whole)
    assert unpack(gzip.compress(whole)) == unpack(zipped.getvalue()) == unpack(whole) == whole
    bomb = zlib.compressobj(wbits=31)
    for body, reason in (
        (bomb.compress(bytes(2_000_000)) + bomb.flush(), "larger"),
        (gzip.compress(whole)[:-12], "cut short"),
        (two.getvalue(), "2 files"),
        (zipped.getvalue()[:60], "damaged zip"),
        (b"", "empty"),
    ):
        with pytest.raises(DecodeError, match=reason):
            unpack(body, most=1_000_000)


def test_hrm_when_a_number_ends_in_a_control_character_then_it_is_refused() -> None:
    """Rule: what Python strips as white space but does not take in a number is no number (found by fuzzing)."""
    with pytest.raises(DecodeError, match="Interval"):
        read([hrm().replace(b"Interval=5", b"Interval=5\x1f")])


def test_hrm_when_older_than_version_106_then_heart_rate_alone_is_taken() -> None:
    """Rule: columns whose meaning is not certain are left alone."""
    old = hrm().replace(b"Version=106", b"Version=105").replace(b"SMode=111100000", b"Mode=010")
    _, content = read([old])
    assert [(s.stream, s.values[0, 0]) for s in content.series] == [("heart_rate", 120.0)]
    with pytest.raises(DecodeError, match="SMode"):
        read([hrm(smode="1")])
