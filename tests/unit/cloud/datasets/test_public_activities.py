import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cloud.datasets.public.activities import read_activities, read_activity
from shared.clock import NS_PER_S
from shared.errors import DecodeError
from tests import file_samples


def test_fit_when_read_then_each_second_has_its_values(tmp_path: Path) -> None:
    """Speed, power, cadence, altitude and heart rate stand on one grid of seconds, with the session's sport."""
    (tmp_path / "run.fit").write_bytes(file_samples.fit(count=3))
    [activity] = read_activity(tmp_path / "run.fit")
    assert (activity.sport, activity.start_ns, len(activity)) == ("running", file_samples.START_NS, 3)
    assert activity.hr_bpm.tolist() == [120.0, 121.0, 122.0]
    assert np.allclose(activity.speed_mps, 3.0)
    assert np.allclose(activity.power_w, 250.0)
    assert np.allclose(activity.cadence_rpm, 85.0)
    assert np.allclose(activity.altitude_m, 520.0)


def test_tcx_when_read_then_it_gives_what_fit_gives(tmp_path: Path) -> None:
    """Biking is cycling, values of an extension are read, and no cadence is changed."""
    (tmp_path / "ride.tcx").write_bytes(file_samples.tcx(sport="Biking"))
    [activity] = read_activity(tmp_path / "ride.tcx")
    assert (activity.sport, activity.start_ns) == ("cycling", file_samples.START_NS)
    assert activity.hr_bpm.tolist() == [120.0, 121.0]
    assert (activity.speed_mps[0], activity.power_w[0], activity.cadence_rpm[0]) == (3.0, 250.0, 85.0)


def test_activity_when_packed_then_it_is_unpacked(tmp_path: Path) -> None:
    """`.fit.gz` and `.fit.zip` are what many services export."""
    body = file_samples.fit()
    (tmp_path / "a.fit.gz").write_bytes(gzip.compress(body))
    with zipfile.ZipFile(tmp_path / "b.fit.zip", "w") as archive:
        archive.writestr("b.fit", body)
    found = read_activities(tmp_path)
    assert [len(activity) for activity in found.activities] == [3, 3]
    assert found.refused == {}


def test_activity_when_damaged_then_it_is_refused_with_a_reason_and_others_are_read(tmp_path: Path) -> None:
    """A checksum that does not fit, entities in XML and an empty file each name their reason; none is silent."""
    body = file_samples.fit()
    (tmp_path / "good.fit").write_bytes(body)
    (tmp_path / "crc.fit").write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    (tmp_path / "bomb.tcx").write_bytes(file_samples.tcx(prolog='<!DOCTYPE a [<!ENTITY b "c">]>'))
    (tmp_path / "empty.tcx").write_bytes(b"")
    found = read_activities(tmp_path)
    assert [Path(activity.file).name for activity in found.activities] == ["good.fit"]
    reasons = {Path(name).name: reason for name, reason in found.refused.items()}
    assert set(reasons) == {"crc.fit", "bomb.tcx", "empty.tcx"}
    assert "CRC" in reasons["crc.fit"]
    assert "Entit" in reasons["bomb.tcx"]


def test_activity_when_a_second_is_missing_then_it_is_unknown(tmp_path: Path) -> None:
    """Smart recording leaves seconds out; they are not filled."""
    body = file_samples.tcx().replace(b"18:30:01Z", b"18:30:04Z")
    (tmp_path / "run.tcx").write_bytes(body)
    [activity] = read_activity(tmp_path / "run.tcx")
    assert len(activity) == 5
    assert np.isnan(activity.hr_bpm[1:4]).all()
    assert activity.start_ns % NS_PER_S == 0


def test_activity_when_records_lie_days_apart_then_it_is_refused(tmp_path: Path) -> None:
    """A device's clock that was set in the middle would make a file of years."""
    (tmp_path / "run.tcx").write_bytes(file_samples.tcx().replace(b"2026-03-01T18:30:01Z", b"2027-03-01T18:30:01Z"))
    with pytest.raises(DecodeError, match="h apart"):
        read_activity(tmp_path / "run.tcx")
