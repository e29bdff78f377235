import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from firmware_sim.replay import open_recordings
from shared.errors import ConfigError
from tests.tools import missing

DATA = Path(__file__).parents[3].parent / "shared" / "data"
NFL = DATA / "restricted" / "nfl_ngs_highlights"
MMASH = DATA / "open" / "mmash" / "user_01"
FIT = DATA / "open" / "activities" / "goldencheetah" / "2017_hrv.FIT"

FIT_HRV, FIT_UINT16 = 78, 0x84


def write_play(path: Path, frames: int = 4) -> None:
    """Write a play of two players and the ball; the away player misses frame 2."""
    rows = ["gameId\tplayId\tframe\tnflId\tdisplayName\thomeTeamFlag\tx\ty\ts"]
    for frame in range(frames):
        rows.append(f"1\t7\t{frame}\t101\tOne\t1\t{10 + frame}\t20\t1")
        if frame != 2:
            rows.append(f"1\t7\t{frame}\t202\tTwo\t0\t50\t{30 + frame}\t1")
        rows.append(f"1\t7\t{frame}\t\tball\t\t{60 + frame}\t25\t1")
    path.write_text("\n".join(rows) + "\n")


def fit_crc(body: bytes) -> int:
    """CRC-16 of the FIT protocol (FIT SDK, fit_crc.c), bit by bit: reflected polynomial 0x8005."""
    crc = 0
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xA001 if crc & 1 else 0)
    return crc


def fit_file(beats_ms: list[int]) -> bytes:
    """Build a FIT file with one hrv message per beat (field 0: five uint16 ms, 0xFFFF invalid)."""
    definition = struct.pack("<BBBHBBBB", 0x40, 0, 0, FIT_HRV, 1, 0, 10, FIT_UINT16)
    messages = b"".join(struct.pack("<B5H", 0, ms, *[0xFFFF] * 4) for ms in beats_ms)
    head = struct.pack("<BBHI4s", 14, 0x20, 2100, len(definition + messages), b".FIT")
    body = head + struct.pack("<H", fit_crc(head)) + definition + messages
    return body + struct.pack("<H", fit_crc(body))


def test_tracking_when_a_play_is_replayed_then_yards_become_metres_and_gaps_stay_gaps(tmp_path: Path) -> None:
    """Rule: home fills tags 1-11, away 12-22, the ball the last; untracked is NaN; the play repeats at its end."""
    write_play(tmp_path / "play.tsv")
    session = open_recordings([tmp_path / "play.tsv"])
    steps = [session.step() for _ in range(5)]
    assert len(session.tags) == 23
    assert session.straps == ()
    assert steps[1].x_m[0] == pytest.approx(11 * 0.9144)
    assert steps[0].y_m[11] == pytest.approx(30 * 0.9144)
    assert steps[3].x_m[22] == pytest.approx(63 * 0.9144)
    assert np.isnan(steps[2].x_m[11])
    assert np.isnan(steps[0].x_m[5])
    assert steps[4].x_m[0] == steps[0].x_m[0]
    assert [a.team for a in session.roster.athletes] == [0] * 11 + [1] * 11


def test_tracking_when_plays_are_in_a_folder_then_one_follows_the_other(tmp_path: Path) -> None:
    """Rule: a folder of plays is one recording."""
    write_play(tmp_path / "a.tsv")
    (tmp_path / "b.tsv").write_text((tmp_path / "a.tsv").read_text().replace("\t7\t", "\t8\t"))
    session = open_recordings([tmp_path])
    x = [session.step().x_m[0] for _ in range(9)]
    assert x[:4] == x[4:8]
    assert x[8] == x[0]


def test_mmash_when_replayed_then_the_strap_shows_the_recorded_beats(tmp_path: Path) -> None:
    """Rule: beats return in 1/1024 s, bpm is their mean; the recording loops."""
    (tmp_path / "RR.csv").write_text(',ibi_s,day,time\n0,0.5,1,10:00:00\n1,0.5,1,10:00:00\n2,"0.6",1,10:00:01\n')
    session = open_recordings([tmp_path])
    steps = [session.step() for _ in range(40)]
    beats = [rr for step in steps for rr in step.beats_1024[0]]
    assert beats[:4] == [512, 512, 614, 512]
    assert np.isnan(steps[0].bpm[0])
    assert steps[-1].bpm[0] == pytest.approx(112.5, abs=4)
    assert [a.sensor for a in session.roster.assignments] == ["C0:00:5E:00:00:01"]


@pytest.mark.parametrize("name", ["ride.fit", "RIDE.FIT", "ride.fit.gz"])
def test_fit_when_replayed_then_hrv_messages_are_the_beats(tmp_path: Path, name: str) -> None:
    """Rule: hrv messages in ms become RR in 1/1024 s; gzip is read through."""
    content = fit_file([500, 750])
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    session = open_recordings([tmp_path / name])
    beats = [rr for _ in range(30) for rr in session.step().beats_1024[0]]
    assert beats[:2] == [512, 768]


def test_recordings_when_mixed_then_straps_go_to_the_first_players(tmp_path: Path) -> None:
    """Rule: several recordings make one session."""
    write_play(tmp_path / "play.tsv")
    (tmp_path / "ride.fit").write_bytes(fit_file([500]))
    session = open_recordings([tmp_path / "play.tsv", tmp_path / "ride.fit", tmp_path / "ride.fit"])
    wearer = {a.sensor: a.athlete for a in session.roster.assignments}
    assert wearer[session.straps[1]] == wearer["tag-02"] == "a02"
    assert len(session.step().bpm) == 2


def wrong_paths(folder: Path) -> dict[str, Path]:
    """Make one path of each wrong kind."""
    (folder / "notes.txt").write_text("hello")
    (folder / "bad.tsv").write_text("a\tb\n1\t2\n")
    (folder / "bad.fit").write_bytes(b"not a fit file at all")
    cut = fit_file([500, 600])
    (folder / "broken.fit").write_bytes(cut[:20] + b"\xff" + cut[21:])
    (folder / "norr.fit").write_bytes(fit_file([]))
    (folder / "empty").mkdir()
    (folder / "user").mkdir()
    (folder / "user" / "RR.csv").write_text("time\n10:00\n")
    return {
        name: folder / name
        for name in ("notes.txt", "bad.tsv", "bad.fit", "broken.fit", "norr.fit", "empty", "user", "none")
    }


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("notes.txt", "accepted are"),
        ("none", "does not exist"),
        ("empty", "accepted are"),
        ("bad.tsv", "needs columns"),
        ("bad.fit", "not a readable FIT"),
        ("broken.fit", "not a readable FIT"),
        ("norr.fit", "no hrv"),
        ("user", "ibi_s"),
    ],
)
def test_recordings_when_a_path_is_wrong_then_config_error_names_it(tmp_path: Path, name: str, problem: str) -> None:
    """Rule: a path that cannot be replayed is named with the reason."""
    path = wrong_paths(tmp_path)[name]
    with pytest.raises(ConfigError, match=problem) as raised:
        open_recordings([path])
    assert raised.value.path == str(path)


@pytest.mark.parametrize("path", [NFL, MMASH, FIT], ids=["nfl", "mmash", "fit"])
def test_recordings_when_real_then_they_replay(path: Path) -> None:
    """Rule: the public recordings themselves are read, with values in human range."""
    if not path.exists():
        missing(f"the recording {path.name}")
    session = open_recordings([path])
    steps = [session.step() for _ in range(600)]
    if session.tags:
        x_m = np.array([step.x_m for step in steps])
        assert np.isfinite(x_m).mean() > 0.8
        assert -25.0 < np.nanmin(x_m) < np.nanmax(x_m) < 135.0
    for step in steps[100:]:
        assert ((step.bpm > 30) & (step.bpm < 225)).all()
