"""Bytes a position, accelerometer or heart-rate reading takes: in one commit, merged, in SQLite, and uploaded.

Readings of a squad with realistic noise (`tests/bench/squad_load.py`), with identity, three clocks and quality.
`sqlite` is all files of a gateway's data folder after it was closed, `sqlite_unsent` the same while nothing has gone
to the cloud. The last line is JSON.

PYTHONPATH=. .venv/bin/python tests/bench/bytes.py [--athletes 60] [--seconds 600] [--seed 1]
"""

import argparse
import asyncio
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np

from edge.store.journal import Journal
from shared.chunk_codec import encode_chunk, encode_tail
from shared.clock import NS_PER_S, ManualClock
from shared.parquet_codec import encode_parquet
from shared.readings import Readings, select
from tests.bench.squad_load import START_NS, SquadLoad

STREAMS = ("position", "imu", "heart_rate")
COMMIT_MS = 50
CHUNK_S, BATCH_S = 10, 60
# How often the gateway makes batches (`sync.batch_s`).
_FILL_S = 30


def encoded(load: SquadLoad, stream: str) -> dict[str, float]:
    """Return bytes a reading of the codecs alone: a commit's tail, 10 s merged, 60 s to upload."""
    whole = load.blocks(stream)
    commits = [[b for b in commit if b.stream == stream] for commit in itertools.islice(load.commits(COMMIT_MS), 200)]
    ten, minute = ([_first(block, seconds) for block in whole] for seconds in (CHUNK_S, BATCH_S))
    return {
        "tail": sum(len(encode_tail(commit)) for commit in commits if commit) / sum(map(_count, commits)),
        "chunk": len(encode_chunk(ten)) / _count(ten),
        "parquet": len(encode_parquet(minute)) / _count(minute),
    }


def stored(load: SquadLoad, streams: tuple[str, ...], *, send: bool) -> float:
    """Return bytes a reading of the gateway's files, after a load was committed every 50 ms and closed."""
    with tempfile.TemporaryDirectory() as name:
        count = asyncio.run(_store(load, streams, Path(name), send=send))
        return sum(path.stat().st_size for path in Path(name).rglob("*") if path.is_file()) / count


async def _store(load: SquadLoad, streams: tuple[str, ...], folder: Path, *, send: bool) -> int:
    clock, count = ManualClock(utc_ns=START_NS), 0
    journal = Journal.open(folder / "gateway.sqlite", clock, max_bytes=8 * 1024**3)
    try:
        for number, commit in enumerate(load.commits(COMMIT_MS), 1):
            clock.advance(COMMIT_MS / 1000)
            chosen = [block for block in commit if block.stream in streams]
            await journal.append(chosen)
            count += _count(chosen)
            if number % (_FILL_S * 1000 // COMMIT_MS) == 0:
                await _send(journal, send=send)
        await _send(journal, send=send)
    finally:
        journal.close()
    return count


async def _send(journal: Journal, *, send: bool) -> None:
    """Make batches of what is stored; with `send` the cloud takes them all."""
    while await journal.run(journal.outbox.fill):
        pass
    while send and (batch := await journal.run(journal.outbox.next_pending, "gw-1")) is not None:
        await journal.run(journal.outbox.record_receipt, batch.header.epoch, batch.header.seq, "stored")


def _first(block: Readings, seconds: int) -> Readings:
    return select(block, slice(0, int(np.searchsorted(block.time_ns, START_NS + seconds * NS_PER_S))))


def _count(blocks: list[Readings]) -> int:
    return sum(map(len, blocks))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--athletes", type=int, default=60)
    parser.add_argument("--seconds", type=int, default=600, help="how long the squad trains, at least 60")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    load = SquadLoad(athletes=options.athletes, seconds=options.seconds, seed=options.seed)
    figures: dict[str, dict[str, float]] = {}
    for stream in STREAMS:
        figures[stream] = encoded(load, stream)
        figures[stream]["sqlite"] = stored(load, (stream,), send=True)
        figures[stream]["sqlite_unsent"] = stored(load, (stream,), send=False)
        print(stream, {name: round(value, 2) for name, value in figures[stream].items()}, flush=True)
    figures["all"] = {"sqlite": stored(load, STREAMS, send=True)}
    rounded = {stream: {name: round(value, 2) for name, value in row.items()} for stream, row in figures.items()}
    print(json.dumps({**vars(options), "bytes_per_reading": rounded}))


if __name__ == "__main__":
    main()
