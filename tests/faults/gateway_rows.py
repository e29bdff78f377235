"""The rows about processes and links: kills, faulty networks, outages, storms, copies of a card, flaps."""

from tests.faults.arm import Arm
from tests.faults.clones import restore_and_clone, restore_without_check
from tests.faults.flaps import flap, flap_forgetful_broker
from tests.faults.kills import kill_gateway, kill_hasty_gateway, start_hasty_offline, start_offline
from tests.faults.outage import drain_after_outages, drain_starved
from tests.faults.slow_link import use_slow_link, use_slow_link_naively
from tests.faults.storm import storm, storm_impatient
from tests.faults.uploads import kill_hasty_server, kill_server, upload_naively, upload_through_faults

_ONCE_IN_CLOUD = "every acknowledged reading in the cloud's objects once, with its values"
_HASTY = "acknowledges before the commit"
_NAIVE = "each attempt is a batch of its own"

GATEWAY_ROWS: tuple[Arm, ...] = (
    Arm(
        name="kill-gateway",
        row=1,
        fault="kill -9 of the whole gateway at a random moment, while it starts or within load; one in 50 started cold",
        checked="every position that the broker acknowledged stands in the journal once",
        count=3000,
        portion=300,
        slice_count=12,
        run=kill_gateway,
        control=kill_hasty_gateway,
        control_count=5,
        control_fault=_HASTY,
    ),
    Arm(
        name="start-offline",
        row=1,
        fault="cold start without a cloud, a second of data (ten seconds in one of ten), kill -9",
        checked="every position that the broker acknowledged stands in the journal once",
        count=50,
        portion=10,
        slice_count=1,
        run=start_offline,
        control=start_hasty_offline,
        control_count=1,
        control_fault=_HASTY,
    ),
    Arm(
        name="network",
        row=4,
        fault="batches through a faulty proxy (cut, reset, black hole, slow, late, lost answer, flipped bit of a body, "
        "503, twice), the client killed with -9 every ten or so",
        checked=f"{_ONCE_IN_CLOUD}; receipts agree with the ledger, and objects with receipts",
        count=20_000,
        portion=2_000,
        slice_count=50,
        run=upload_through_faults,
        control=upload_naively,
        control_count=24,
        control_fault=_NAIVE,
    ),
    Arm(
        name="kill-server",
        row=5,
        fault="the ingest ends by kill -9: before the commit, after it, after the object and before its row, in turn",
        checked=f"{_ONCE_IN_CLOUD}; receipts agree with the ledger, and objects with receipts",
        count=1_500,
        portion=250,
        slice_count=6,
        run=kill_server,
        control=kill_hasty_server,
        control_count=2,
        control_fault="answers before it commits",
    ),
    Arm(
        name="outage",
        row=10,
        fault="1 h, 24 h and 14 d without the cloud (sessions at their times, the pauses leapt over), then the drain",
        checked=f"{_ONCE_IN_CLOUD}; live readings go on, and go before what waited",
        count=3,
        portion=3,
        slice_count=1,
        run=drain_after_outages,
        control=drain_starved,
        control_count=1,
        control_fault="what is oldest goes first",
    ),
    Arm(
        name="storm",
        row=11,
        fault="gateways come back, 200 at once, to a cloud that takes four batches at a time, and 503 for the rest",
        checked=f"{_ONCE_IN_CLOUD}; Retry-After kept; never half of them in the same tenth of a second again",
        count=2_000,
        portion=200,
        slice_count=30,
        run=storm,
        control=storm_impatient,
        control_count=20,
        control_fault="tries again at once",
    ),
    Arm(
        name="slow-link",
        row=12,
        fault="256 kbit/s and 600 ms there and back, down and up; all times and the rate sixty times as fast",
        checked=_ONCE_IN_CLOUD,
        count=160,
        portion=40,
        slice_count=1,
        run=use_slow_link,
        control=use_slow_link_naively,
        control_count=10,
        control_fault=_NAIVE,
    ),
    Arm(
        name="copied-card",
        row=13,
        fault="an old backup put back, and two gateways on copies of one card, in turn",
        checked="the conflict is seen, nothing is overwritten, every reading of both stands in the cloud",
        count=20,
        portion=10,
        slice_count=2,
        run=restore_and_clone,
        control=restore_without_check,
        control_count=2,
        control_fault="holds a conflict for final",
    ),
    Arm(
        name="flaps",
        row=14,
        fault="connections of tablets, the broker, straps and the Bluetooth adapter dropped, the broker started again",
        checked="every acknowledged position in the journal once; all links come back; files, threads, memory bounded",
        count=1_000,
        portion=250,
        slice_count=25,
        run=flap,
        control=flap_forgetful_broker,
        control_count=1,
        control_fault="the broker forgets the gateway's session",
    ),
)
