"""Small valid files of every format, made here: what readers are tested and fuzzed with."""

import json
from datetime import UTC, datetime

from edge.export.fit import ACTIVITY, FILE_ID, HRV, LAP, RECORD, SESSION
from edge.export.fit_bytes import FitFile, fit_time
from shared.clock import NS_PER_S

START_NS = round(datetime(2026, 3, 1, 18, 30, tzinfo=UTC).timestamp()) * NS_PER_S


def fit(*, sport: int = 1, count: int = 3) -> bytes:
    """Return an activity of `count` seconds: sport 1 is running, 2 cycling; distance 3 m a second."""
    file, start = FitFile(), fit_time(START_NS)
    file.add(FILE_ID, {"type": 4, "manufacturer": 255, "product": 1, "time_created": start})
    for second in range(count):
        record = {"timestamp": start + second, "position_lat": 48.1, "position_long": 11.5, "altitude": 520.0}
        record |= {"heart_rate": 120 + second, "cadence": 85, "fractional_cadence": 0.5, "distance": 3.0 * second}
        record |= {"speed": 3.0, "power": 250, "left_right_balance": 0x80 | 48, "stance_time": 240.5}
        file.add(RECORD, record | {"stance_time_balance": 50.5, "step_length": 1052})
        file.add(HRV, {"time": [0.5, 0.5]})
    span = {"timestamp": start + count - 1, "start_time": start, "total_elapsed_time": count - 1}
    file.add(LAP, span)
    file.add(SESSION, {**span, "sport": sport})
    file.add(ACTIVITY, {"timestamp": start + count - 1, "num_sessions": 1, "type": 0})
    return file.to_bytes()


def tcx(*, sport: str = "Running", prolog: str = "") -> bytes:
    """Return two points of an activity with all that we read."""
    point = (
        "<Trackpoint><Time>2026-03-01T18:30:0{n}Z</Time><Position><LatitudeDegrees>48.1</LatitudeDegrees>"
        "<LongitudeDegrees>11.5</LongitudeDegrees></Position><AltitudeMeters>520</AltitudeMeters>"
        "<DistanceMeters>{n}.5</DistanceMeters><HeartRateBpm><Value>12{n}</Value></HeartRateBpm><Cadence>85</Cadence>"
        "<Extensions><TPX xmlns='http://www.garmin.com/xmlschemas/ActivityExtension/v2'><Speed>3.0</Speed>"
        "<Watts>250</Watts></TPX></Extensions></Trackpoint>"
    )
    points = "".join(point.format(n=n) for n in range(2))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{prolog}<TrainingCenterDatabase '
        'xmlns="http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2"><Activities>'
        f'<Activity Sport="{sport}"><Id>2026-03-01T18:30:00Z</Id><Lap StartTime="2026-03-01T18:30:00Z">'
        f"<Calories>5</Calories><Track>{points}</Track></Lap></Activity></Activities></TrainingCenterDatabase>"
    ).encode()


def gpx(*, kind: str = "running", prolog: str = "") -> bytes:
    """Return two points of a track with Garmin's extension."""
    point = (
        '<trkpt lat="48.1" lon="11.5"><ele>520</ele><time>2026-03-01T18:30:0{n}Z</time><extensions>'
        "<g:TrackPointExtension><g:hr>12{n}</g:hr><g:cad>85</g:cad></g:TrackPointExtension></extensions></trkpt>"
    )
    points = "".join(point.format(n=n) for n in range(2))
    return (
        f'<?xml version="1.0"?>{prolog}<gpx version="1.1" creator="test" xmlns="http://www.topografix.com/GPX/1/1" '
        'xmlns:g="http://www.garmin.com/xmlschemas/TrackPointExtension/v1">'
        f"<trk><type>{kind}</type><trkseg>{points}</trkseg></trk></gpx>"
    ).encode()


def hrm(*, smode: str = "111100000", interval: int = 5) -> bytes:
    """Return two rows of heart rate, speed (0.1 km/h or mph), cadence, altitude and power."""
    rows = "120\t108\t85\t52\t250\n0\t216\t90\t52\t260\n" if interval < 200 else "500\n510\n"
    return (
        f"[Params]\nVersion=106\nMonitor=22\nSMode={smode}\nDate=20260301\nStartTime=18:30:00.0\nLength=00:00:10.0\n"
        f"Interval={interval}\n\n[Note]\n\n[HRData]\n{rows}"
    ).encode()


RR = b"0.000 0.810\n0.809 0.809\n1.585 0.776\n"
POWER_TABLE = (
    b"Minutes,Torq (N-m),Km/h,Watts,Km,Cadence,Hrate,ID,Altitude (m)\n"
    b"0.0,0,36,340,0.0,90,170,0,0\n0.0166666666666667,0,36,341,0.01,91,0,0,0\n"
)


def metrica_csv(side: str) -> bytes:
    """Return two frames at 25 Hz of one player and the ball; the player stands 10 m along and 17 m across."""
    return (
        f",,,{side},,,\n,,,7,,,\nPeriod,Frame,Time [s],Player7,,Ball,\n"
        "1,1,0.04,0.0952381,0.25,0.5,0.5\n1,2,0.08,0.0952381,0.25,0.5,0.5\n"
    ).encode()


def tracab() -> tuple[bytes, bytes]:
    """Return two frames at 25 Hz of two players and the ball, in cm from the middle, and their metadata."""
    frame = "{n}:0,1,9,-5250,-3400,0.00;1,2,10,5250,3400,0.00;:0,0,11,0.0,H,Alive;:"
    raw = "\n".join(frame.format(n=n) for n in (100, 101)) + "\n"
    meta = (
        '<TracabMetaData sVersion="1.0"><match iId="1" dtDate="2026-03-01 18:30:00" iFrameRateFps="25" '
        'fPitchXSizeMeters="105.00" fPitchYSizeMeters="68.00" fTrackingAreaXSizeMeters="111.00" '
        'fTrackingAreaYSizeMeters="88.00"><period iId="1" iStartFrame="100" iEndFrame="101"/>'
        '<period iId="2" iStartFrame="200" iEndFrame="201"/></match></TracabMetaData>'
    )
    return raw.encode(), meta.encode()


def metrica_epts() -> tuple[bytes, bytes]:
    """Return two frames at 25 Hz of one player and the ball, as shares of the pitch, and their metadata."""
    channels = '<Channel id="x"><Name>X</Name><Unit>normalized</Unit></Channel>'
    channels += channels.replace("x", "y").replace("X", "Y")
    parameters = "".join(
        f"<ProviderParameter><Name>{name}</Name><Value>{value}</Value></ProviderParameter>"
        for name, value in (("first_half_start", 1), ("first_half_end", 3))
    )
    players = "".join(
        f'<Player id="{name}" teamId="{team}"><Name>P</Name><ShirtNumber>7</ShirtNumber></Player>'
        for name, team in (("P1", "H"), ("P2", "A"))
    )
    meta = (
        "<main><Metadata><GlobalConfig><FrameRate>25</FrameRate><ProviderName>Metrica Sports</ProviderName>"
        f"<ProviderGlobalParameters>{parameters}</ProviderGlobalParameters></GlobalConfig>"
        "<Sessions><Session><FieldSize><Width>105</Width><Height>68</Height></FieldSize></Session></Sessions>"
        '<Teams><Team id="H"><Name>H</Name></Team><Team id="A"><Name>A</Name></Team></Teams>'
        f"<Players>{players}</Players><Devices><Device><Sensors>"
        f'<Sensor id="position"><Name>p</Name><Channels>{channels}</Channels></Sensor>'
        "</Sensors></Device></Devices><PlayerChannels>"
        '<PlayerChannel id="P1x" playerId="P1" channelId="x"/><PlayerChannel id="P1y" playerId="P1" channelId="y"/>'
        "</PlayerChannels></Metadata><DataFormatSpecifications>"
        '<DataFormatSpecification startFrame="1" endFrame="2" separator=":"><StringRegister name="frameCount"/>'
        '<SplitRegister separator=";"><SplitRegister separator=","><PlayerChannelRef playerChannelId="P1x"/>'
        '<PlayerChannelRef playerChannelId="P1y"/></SplitRegister></SplitRegister>'
        '<SplitRegister separator=","><BallChannelRef channelId="x"/><BallChannelRef channelId="y"/></SplitRegister>'
        "</DataFormatSpecification></DataFormatSpecifications></main>"
    )
    return meta.encode(), b"1:0.0952381,0.25:0.5,0.5\n2:0.0952381,0.25:0.5,0.5\n"


def sportec() -> tuple[bytes, bytes]:
    """Return two frames at 25 Hz of one player and the ball, in metres from the middle, and their match."""
    team = (
        '<Team TeamId="{t}" TeamName="{t}" Role="{role}"><Players><Player PersonId="{t}7" ShirtNumber="7" '
        'FirstName="A" LastName="B" Shortname="A. B" Starting="true" PlayingPosition="TW"/></Players>'
        "<TrainerStaff/></Team>"
    )
    match = (
        '<PutDataRequest><MatchInformation><General KickoffTime="2026-03-01T18:30:00.000+00:00" MatchDay="1" '
        'MatchId="M" Result="0:0"/><Environment PitchX="105.0" PitchY="68.0"/><Teams>'
        f"{team.format(t='H', role='home')}{team.format(t='A', role='guest')}</Teams>"
        '<OtherGameInformation TotalTimeFirstHalf="80" TotalTimeSecondHalf="80"/></MatchInformation></PutDataRequest>'
    )
    frame = (
        '<Frame N="1000{n}" T="2026-03-01T18:30:00.0{n}0+00:00" X="{x}" Y="{y}" Z="0.1" D="0" A="0" S="0" M="1" {b}/>'
    )

    def frames(person: str, owner: str, x: float, y: float, more: str = "") -> str:
        inner = "".join(frame.format(n=n, x=x, y=y, b=more) for n in range(2))
        return f'<FrameSet GameSection="firstHalf" MatchId="M" TeamId="{owner}" PersonId="{person}">{inner}</FrameSet>'

    ball = frames("B", "BALL", 0.0, 0.0, 'BallPossession="1" BallStatus="1"')
    positions = f"<PutDataRequest><Positions>{ball}{frames('H7', 'H', -42.5, 17.0)}</Positions></PutDataRequest>"
    return match.encode(), positions.encode()


def skillcorner() -> tuple[bytes, bytes]:
    """Return two frames at 10 Hz of one player and the ball, in metres from the middle, and their metadata."""
    ball = {"x": 0.0, "y": 0.0, "z": 0.1, "is_detected": True}
    frames = [
        {
            "frame": n,
            "timestamp": f"00:00:00.{n}0",
            "period": 1,
            "ball_data": ball,
            "possession": {"player_id": None, "group": None},
            "image_corners_projection": {},
            "player_data": [{"x": -42.5, "y": 17.0, "player_id": 71, "is_detected": True}],
        }
        for n in (1, 2)
    ]
    player = {
        "id": 71,
        "team_id": 3,
        "team_player_id": 1,
        "number": 7,
        "first_name": "A",
        "last_name": "B",
        "short_name": "A. B",
        "start_time": "00:00:00",
        "end_time": None,
        "trackable_object": 71,
        "player_role": {"id": 0, "name": "Goalkeeper", "acronym": "GK"},
    }
    meta = {
        "id": 1,
        "date_time": "2026-03-01T18:30:00Z",
        "home_team": {"id": 3, "name": "H"},
        "away_team": {"id": 4, "name": "A"},
        "home_team_score": 0,
        "away_team_score": 0,
        "home_team_side": ["left_to_right", "right_to_left"],
        "players": [player],
        "referees": [],
        "ball": {"trackable_object": 55},
        "pitch_length": 105,
        "pitch_width": 68,
    }
    return "\n".join(map(json.dumps, frames)).encode(), json.dumps(meta).encode()


SAMPLES: dict[str, tuple[bytes, ...]] = {
    "FIT": (fit(),),
    "TCX": (tcx(),),
    "GPX": (gpx(),),
    "Polar HRM": (hrm(),),
    "RR text": (RR,),
    "PowerTap CSV": (POWER_TABLE,),
    "Metrica CSV": (metrica_csv("Home"), metrica_csv("Away")),
    "SkillCorner": skillcorner(),
    "Tracab": tracab(),
    "Metrica EPTS": metrica_epts(),
    "Sportec": sportec(),
}
