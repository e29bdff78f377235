import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest

from cloud.settings import Layout
from shared.batch import EpochState, Receipt, Reconcile, Reconciled, SeqRange, SessionSummary, StreamHour
from shared.ids import SensorId, new_epoch
from shared.parquet_codec import decode_parquet, encode_parquet
from shared.readings import Readings
from shared.tally import tallies

COUNT = 50


def body(value: float = 1.0) -> bytes:
    block = Readings(
        sensor=SensorId("tag-1"),
        stream="position",
        origin="boot-1",
        sequence=np.arange(COUNT),
        time_ns=np.arange(COUNT) * 100_000_000,
        values=np.full((COUNT, 3), value),
        quality=np.zeros(COUNT, np.uint8),
    )
    return encode_parquet([block])


@dataclass(frozen=True, kw_only=True)
class Api:
    """A running ingest process and a gateway's view of it."""

    url: str
    token: str
    layout: Layout
    process: subprocess.Popen[bytes]

    def put(self, epoch: str, seq: int, content: bytes, **headers: str) -> httpx.Response:
        """Send a batch as a gateway does; `headers` replace those it would send."""
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        sent = {
            "authorization": f"Bearer {self.token}",
            "content-digest": f"sha-256=:{digest}:",
            "sideline-lane": "raw",
            "sideline-content": "position",
            "sideline-schema": "1",
            "sideline-count": str(COUNT),
        }
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        url = f"{self.url}/v1/gateways/gw-1/batches/{epoch}/{seq}"
        return httpx.put(url, content=content, headers=sent, timeout=20)

    def reconcile(self, asked: bytes, **headers: str) -> httpx.Response:
        """Send a reconciliation; `headers` replace those it would have."""
        sent = {"authorization": f"Bearer {self.token}"} | headers
        return httpx.post(f"{self.url}/v1/gateways/gw-1/reconcile", content=asked, headers=sent, timeout=20)

    def get(self, path: str) -> httpx.Response:
        """Ask with the gateway's token."""
        return httpx.get(f"{self.url}{path}", headers={"authorization": f"Bearer {self.token}"}, timeout=20)


def cloud(*words: str) -> list[str]:
    return [sys.executable, "-m", "cloud", *words]


def wait_for(condition: Callable[[], bool], *, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


def start(root: Path, *extra: str) -> Api:
    token = root / "gw-1"
    subprocess.run(
        cloud("enroll", "gw-1", "--cloud-dir", str(root / "data"), "--out", str(token)), check=True, capture_output=True
    )
    assert (token / "token").stat().st_mode & 0o777 == 0o600
    ready = root / "ready.json"
    words = cloud("api", "--cloud-dir", str(root / "data"), "--port", "0", "--ready-file", str(ready), *extra)
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    wait_for(ready.exists, seconds=60)
    return Api(
        url=json.loads(ready.read_bytes())["url"],
        token=(token / "token").read_text().strip(),
        layout=Layout(root / "data"),
        process=process,
    )


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    running = start(tmp_path_factory.mktemp("cloud"))
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture
def epoch() -> str:
    return new_epoch()


def receipt(response: httpx.Response) -> Receipt:
    return msgspec.json.decode(response.content, type=Receipt)


def test_put_when_new_then_201_and_bytes_lie_unchanged(api: Api, epoch: str) -> None:
    """A stored batch is the bronze file, byte for byte."""
    response = api.put(epoch, 0, body())
    assert response.status_code == 201
    got = receipt(response)
    assert (got.status, got.accepted, got.contiguous_seq) == ("stored", COUNT, 0)
    assert (api.layout.objects / f"bronze/gw-1/{epoch}/000000000000.position.parquet").read_bytes() == body()


def test_put_when_same_again_then_200_and_counted_as_accepted(api: Api, epoch: str) -> None:
    """A lost answer costs one more request and changes nothing."""
    api.put(epoch, 0, body())
    response = api.put(epoch, 0, body())
    assert response.status_code == 200
    assert (receipt(response).status, receipt(response).accepted) == ("duplicate", COUNT)


def test_put_when_other_bytes_under_same_id_then_409_and_first_stays(api: Api, epoch: str) -> None:
    """A conflict is kept aside and never overwrites."""
    api.put(epoch, 0, body())
    response = api.put(epoch, 0, body(2.0))
    assert (response.status_code, receipt(response).status) == (409, "conflict")
    assert (api.layout.objects / f"bronze/gw-1/{epoch}/000000000000.position.parquet").read_bytes() == body()
    aside = list((api.layout.objects / f"conflicts/gw-1/{epoch}").iterdir())
    assert [path.read_bytes() for path in aside] == [body(2.0)]


def test_put_when_digest_is_wrong_then_422_and_id_stays_free(api: Api, epoch: str) -> None:
    """Bytes damaged on the way are refused and may be sent again."""
    digest = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    response = api.put(epoch, 0, body(), content_digest=f"sha-256=:{digest}:")
    assert (response.status_code, receipt(response).problem) == (422, "wrong digest")
    assert api.put(epoch, 0, body()).status_code == 201


@pytest.mark.parametrize("kept", [0, 4, 100, len(body()) // 2, len(body()) - 1])
def test_put_when_parquet_is_truncated_then_422_with_a_clear_receipt(api: Api, epoch: str, kept: int) -> None:
    """A file that does not decode is refused and kept aside; it never reaches bronze."""
    response = api.put(epoch, 0, body()[:kept])
    assert response.status_code == 422
    assert receipt(response).problem == "undecodable: not a readable Parquet file"
    assert not (api.layout.objects / f"bronze/gw-1/{epoch}").exists()
    assert len(list((api.layout.objects / f"rejected/gw-1/{epoch}").iterdir())) == 1


def test_put_when_header_and_content_disagree_then_422(api: Api, epoch: str) -> None:
    """Stream, count and schema are checked against the bytes."""
    assert "count" in str(receipt(api.put(epoch, 0, body(), sideline_count="51")).problem)
    assert "stream" in str(receipt(api.put(epoch, 0, body(), sideline_content="rr")).problem)
    assert receipt(api.put(epoch, 0, body(), sideline_schema="99")).problem == "unknown schema"
    assert receipt(api.put(epoch, 0, body(), sideline_content="noise")).problem == "unknown content"
    assert api.put(epoch, 0, body(), sideline_lane="fast").status_code == 422


def test_put_when_summary_then_stored_as_json(api: Api, epoch: str) -> None:
    """Summaries lie beside the streams as they came."""
    summary = msgspec.json.encode(
        SessionSummary(gateway="gw-1", time_ns=1, profiles=[], metrics=[], alerts=[], gaps=[])
    )
    words = {"sideline_content": "summary", "sideline_lane": "summary", "sideline_count": "0"}
    assert api.put(epoch, 0, summary, **words).status_code == 201
    assert (api.layout.objects / f"bronze/gw-1/{epoch}/000000000000.summary.json").read_bytes() == summary
    assert api.put(epoch, 1, b"{}", **words).status_code == 422


def test_put_when_over_4_mib_then_413(api: Api, epoch: str) -> None:
    """The cap holds by the announced length and, without one, while reading."""
    large = b"x" * (4 * 1024 * 1024 + 1)
    assert api.put(epoch, 0, large).status_code == 413
    halves = iter((large[: 1 << 21], large[1 << 21 :]))
    words = {"authorization": f"Bearer {api.token}", "sideline-lane": "raw", "sideline-content": "position"}
    words |= {"sideline-schema": "1", "sideline-count": "1", "content-digest": f"sha-256=:{'A' * 43}=:"}
    url = f"{api.url}/v1/gateways/gw-1/batches/{epoch}/0"
    assert httpx.put(url, content=halves, headers=words, timeout=20).status_code == 413


def test_put_when_token_is_missing_or_wrong_then_401_or_403(api: Api, epoch: str) -> None:
    """Each gateway has its own token; an unknown gateway looks like a wrong token."""
    url = f"{api.url}/v1/gateways/gw-1/batches/{epoch}/0"
    assert httpx.put(url, content=b"", timeout=20).status_code == 401
    assert api.put(epoch, 0, body(), authorization="Bearer wrong").status_code == 403
    assert api.put(epoch, 0, body(), authorization="Basic eDp5").status_code == 401
    assert api.get(f"/v1/gateways/gw-2/epochs/{epoch}").status_code == 403
    assert api.token not in (api.layout.gateways / "gw-1/token.sha256").read_text()


def test_put_when_two_come_at_once_then_exactly_one_201(api: Api, epoch: str) -> None:
    """Of equal batches in flight together one is stored and the others are its duplicates."""
    with ThreadPoolExecutor(4) as pool:
        for seq in range(5):
            codes = sorted(pool.map(lambda _, seq=seq: api.put(epoch, seq, body(seq)).status_code, range(4)))
            assert codes == [200, 200, 200, 201]


def test_put_when_different_bytes_come_at_once_then_one_wins_and_matches_its_digest(api: Api, epoch: str) -> None:
    """Whoever wins, the bronze file is the winner's, whole."""
    bodies = [body(float(n)) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda content: api.put(epoch, 0, content).status_code, bodies))
    assert sorted(codes) == [201, 409, 409, 409]
    stored = (api.layout.objects / f"bronze/gw-1/{epoch}/000000000000.position.parquet").read_bytes()
    assert stored == bodies[codes.index(201)]


def test_epoch_state_when_a_number_is_missing_then_contiguous_seq_stops_before_it(api: Api, epoch: str) -> None:
    """The gateway sees what the cloud still lacks."""
    for seq in (0, 1, 3):
        api.put(epoch, seq, body())
    state = msgspec.json.decode(api.get(f"/v1/gateways/gw-1/epochs/{epoch}").content, type=EpochState)
    assert (state.contiguous_seq, state.stored, state.highest_seq) == (1, 3, 3)
    assert receipt(api.put(epoch, 2, body())).contiguous_seq == 3


def test_reconcile_when_asked_then_only_what_differs_is_answered(api: Api, epoch: str) -> None:
    """The cloud says how it counts what differs, and is silent about the rest."""
    api.put(epoch, 0, body())
    ((stream, hour), tally) = next(iter(tallies(decode_parquet(body())).items()))
    here = StreamHour(stream=stream, hour=hour, count=tally.count, digest=tally.digest)
    other = StreamHour(stream="rr", hour=hour, count=3, digest=9)
    asked = Reconcile(batches=[SeqRange(epoch=epoch, first=0, last=0)], tallies=[here, other])
    response = api.reconcile(msgspec.json.encode(asked))
    assert response.status_code == 200
    answer = msgspec.json.decode(response.content, type=Reconciled)
    assert answer == Reconciled(differing=[StreamHour(stream="rr", hour=hour, count=0, digest=0)])
    assert 'sideline_ingest_stream_hours_total{outcome="agreed"} 1.0' in api.get("/metrics").text


def test_reconcile_when_it_is_no_reconciliation_then_refused(api: Api) -> None:
    """Wrong words, wrong tokens, too many lines and numbers that no clock says are refused in words."""
    assert api.reconcile(b"{}").status_code == 422
    assert api.reconcile(b"\xff").status_code == 422
    assert api.reconcile(b"{}", authorization="Bearer wrong").status_code == 403
    line = b'{"stream":"rr","hour":1,"count":1,"digest":1}'
    many = b'{"batches":[],"tallies":[' + b",".join([line] * 1001) + b"]}"
    assert api.reconcile(many).status_code == 413
    assert api.reconcile(b" " * (256 * 1024 + 1)).status_code == 413
    wild = b'{"batches":[],"tallies":[{"stream":"rr","hour":99999999999999999999,"count":1,"digest":1}]}'
    assert api.reconcile(wild).status_code == 422
    assert api.reconcile(many.replace(b"," + line, b"")).status_code == 200


def test_receipts_when_asked_after_a_cursor_then_only_newer_batches(api: Api, epoch: str) -> None:
    """Each stored batch is listed once with the time at which the cloud had it."""
    before = api.get("/v1/gateways/gw-1/receipts?after=999999999").json()
    assert before["receipts"] == []
    begin = time.time_ns()
    api.put(epoch, 0, body())
    rows = [r for r in api.get("/v1/gateways/gw-1/receipts?after=0").json()["receipts"] if r["epoch"] == epoch]
    assert [(r["seq"], r["content"], r["count"]) for r in rows] == [(0, "position", COUNT)]
    assert begin <= rows[0]["received_ns"] <= time.time_ns()
    after = api.get(f"/v1/gateways/gw-1/receipts?after={rows[0]['id']}").json()
    assert all(r["id"] > rows[0]["id"] for r in after["receipts"])


def test_releases_when_present_then_served_without_caching_else_404(api: Api) -> None:
    """Signed files need no token and no cache; nothing outside their folder is served."""
    (api.layout.release_metadata / "timestamp.json").write_text("{}")
    got = httpx.get(f"{api.url}/v1/releases/metadata/timestamp.json", timeout=20)
    assert (got.status_code, got.text) == (200, "{}")
    assert not {"etag", "last-modified", "cache-control"} & set(got.headers)
    assert httpx.get(f"{api.url}/v1/releases/targets/none", timeout=20).status_code == 404
    assert httpx.get(f"{api.url}/v1/releases/targets/%2e%2e/%2e%2e/ledger.sqlite", timeout=20).status_code == 404


def test_metrics_when_batches_came_then_counted_by_verdict(api: Api, epoch: str) -> None:
    """Prometheus sees verdicts and statuses; health answers."""
    api.put(epoch, 0, body())
    text = httpx.get(f"{api.url}/metrics", timeout=20).text
    assert 'sideline_ingest_batches_total{content="position",verdict="stored"}' in text
    assert httpx.get(f"{api.url}/healthz", timeout=20).json() == {"status": "ok"}


def test_api_when_busy_and_terminated_then_retry_after_and_exit_0(tmp_path: Path) -> None:
    """Over the bound comes 429 with Retry-After; SIGTERM ends the process within two seconds."""
    settings = tmp_path / "cloud.toml"
    settings.write_text("max_in_flight_per_gateway = 1\nretry_after_s = 3\n")
    api = start(tmp_path, "--settings", str(settings))
    epoch = new_epoch()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda seq: api.put(epoch, seq, body()), range(40)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert {answer.headers["retry-after"] for answer in refused} == {"3"}
    assert {answer.status_code for answer in answers} == {201, 429}
    started = time.monotonic()
    os.kill(api.process.pid, signal.SIGTERM)
    assert api.process.wait(timeout=10) == 0
    assert time.monotonic() - started < 2.5
    assert not (tmp_path / "ready.json").exists()
