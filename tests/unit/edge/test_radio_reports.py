"""Advertising reports as an adapter sends them over HCI."""

from bumble.core import AdvertisingData
from bumble.hci import Address, HCI_LE_Advertising_Report_Event, HCI_LE_Extended_Advertising_Report_Event
from hypothesis import given
from hypothesis import strategies as st

from edge.sources.ble_reports import is_reports, read_fields, read_reports
from firmware_sim.transports.bumble import encode_report

ADDRESS = Address("C0:00:5E:00:00:01")


def advertisement(*fields: tuple[int, bytes]) -> bytes:
    """Return advertising data as bumble writes it."""
    return bytes(AdvertisingData(list(fields)))


def test_reports_when_bumble_writes_them_then_ours_reads_the_same() -> None:
    """Rule: old reports have the strength behind the body; several may share an event."""
    kinds = HCI_LE_Advertising_Report_Event.EventType
    event = HCI_LE_Advertising_Report_Event(
        [
            HCI_LE_Advertising_Report_Event.Report(
                event_type=kind, address_type=1, address=ADDRESS, data=body, rssi=rssi_dbm
            )
            for kind, body, rssi_dbm in ((kinds.ADV_IND, b"\x02\x01\x06", -47), (kinds.SCAN_RSP, b"", -91))
        ]
    )
    first, second = read_reports(bytes(event))
    assert (first.address, first.address_type) == (ADDRESS.address_bytes, 1)
    assert (first.rssi_dbm, first.body, first.is_response) == (-47, b"\x02\x01\x06", False)
    assert (second.rssi_dbm, second.body, second.is_response) == (-91, b"", True)


def test_reports_when_they_are_extended_then_ours_reads_the_same() -> None:
    """Rule: new reports have the strength in the head; bumble reads what our simulator writes."""
    event = encode_report(ADDRESS.address_bytes, 1, b"\x03\x03\x0d\x18")
    (report,) = read_reports(event)
    assert (report.address, report.rssi_dbm, report.body) == (ADDRESS.address_bytes, -50, b"\x03\x03\x0d\x18")
    parsed = HCI_LE_Extended_Advertising_Report_Event.from_parameters(event[3:])
    assert isinstance(parsed, HCI_LE_Extended_Advertising_Report_Event)
    (theirs,) = parsed.reports
    assert (theirs.address, theirs.rssi, theirs.data) == (ADDRESS, -50, report.body)
    assert is_reports(event)
    assert not is_reports(b"\x02\x40\x00\x01\x00\x02")


def test_fields_when_an_advertisement_has_all_of_them_then_each_is_read() -> None:
    """Rule: services of every length, name, companies and power; what is unknown is passed over."""
    found = read_fields(
        advertisement(
            (0x01, b"\x06"),
            (0x03, b"\x0d\x18\x0f\x18"),
            (0x07, bytes.fromhex("e011de518e2f579a4b4f3e6c01005a1d")),
            (0x09, "Polar H10 ü".encode()),
            (0x0A, b"\xfc"),
            (0xFF, b"\x6b\x00\x22\x2f\x46\x46"),
        )
    )
    assert found.services == [
        "0000180d-0000-1000-8000-00805f9b34fb",
        "0000180f-0000-1000-8000-00805f9b34fb",
        "1d5a0001-6c3e-4f4b-9a57-2f8e51de11e0",
    ]
    assert (found.name, found.tx_power_dbm, found.companies) == ("Polar H10 ü", -4, {0x006B: b"\x22\x2f\x46\x46"})


@given(st.binary(max_size=64))
def test_fields_when_the_bytes_are_anything_then_nothing_is_raised(body: bytes) -> None:
    """Rule: anybody may advertise anything."""
    read_fields(body)


@given(st.sampled_from([0x02, 0x0D]), st.binary(max_size=80))
def test_reports_when_the_bytes_are_anything_then_nothing_is_raised(kind: int, body: bytes) -> None:
    """Rule: an adapter's nonsense ends its own packet and nothing else."""
    packet = bytes([0x04, 0x3E, len(body) + 1, kind]) + body
    if is_reports(packet):
        assert all(len(report.address) == 6 for report in read_reports(packet))
