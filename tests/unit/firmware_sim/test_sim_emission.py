import asyncio
import itertools
import json
from pathlib import Path

import pytest

from firmware_sim.emitter import Emitter, make_tags
from firmware_sim.faults import FaultRates
from firmware_sim.squad import SimulatedSession
from firmware_sim.transports.memory import MemoryPublisher
from firmware_sim.truth import Truth
from shared.clock import ManualClock


async def emit(path: Path, faults: FaultRates, seconds: float = 20.0, seed: int = 5) -> MemoryPublisher:
    """Emit simulated time of three athletes into memory."""
    clock = ManualClock()
    session = SimulatedSession(athletes=3, seed=seed)
    with Truth(path) as truth:
        publisher = MemoryPublisher(truth.acked)
        emitter = Emitter(
            session=session,
            tags=make_tags(session.tags, seed, power_on=0),
            straps=[],
            publisher=publisher,
            truth=truth,
            faults=faults,
            seed=seed,
            clock=clock,
        )
        running = asyncio.create_task(emitter.run(seconds))
        while not running.done():
            clock.advance(0.05)
            await asyncio.sleep(0)
        await running
    return publisher


def lines(path: Path) -> list[dict[str, object]]:
    """Read a truth file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


async def test_emission_when_faultless_then_truth_is_exactly_what_was_published(tmp_path: Path) -> None:
    """Rule: one truth line per frame, same numbers, acknowledged."""
    publisher = await emit(tmp_path / "truth.jsonl", FaultRates())
    truth = lines(tmp_path / "truth.jsonl")
    assert len(truth) == len(publisher.frames) == 4 * 200
    for line, frame in zip(truth, publisher.frames, strict=True):
        body = json.loads(frame.body)
        assert line["acked"] is True
        assert line["fault"] is None
        assert frame.topic == f"sideline/tags/{line['sensor']}/position"
        assert {key: line[key] for key in ("boot", "n", "t_ns", "x_mm", "y_mm")} == {
            key: body[key] for key in ("boot", "n", "t_ns", "x_mm", "y_mm")
        }


async def test_emission_when_repeated_with_one_seed_then_every_byte_is_the_same(tmp_path: Path) -> None:
    """Rule: seed, power-on and clock decide everything."""
    rates = FaultRates(duplicate=0.05, corrupt=0.05, dropout=0.05, drift_ppm=50.0)
    first = await emit(tmp_path / "a.jsonl", rates)
    second = await emit(tmp_path / "b.jsonl", rates)
    assert first.frames == second.frames
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


async def test_emission_when_on_time_then_each_tag_ticks_every_tenth_of_a_second(tmp_path: Path) -> None:
    """Rule: t_ns is the moment that was due, so that speed from positions has no jitter."""
    await emit(tmp_path / "truth.jsonl", FaultRates())
    times = [line["t_ns"] for line in lines(tmp_path / "truth.jsonl") if line["sensor"] == "tag-02"]
    assert {b - a for a, b in itertools.pairwise(times)} == {100_000_000}  # type: ignore[operator]


async def test_emission_when_faulty_then_truth_names_each_hit_frame(tmp_path: Path) -> None:
    """Rule: duplicates repeat n, corrupt frames differ from their truth, silence leaves a gap in n."""
    publisher = await emit(tmp_path / "truth.jsonl", FaultRates(duplicate=0.1, corrupt=0.1, dropout=0.1), seconds=60)
    truth = lines(tmp_path / "truth.jsonl")
    seen: set[tuple[object, object]] = set()
    for line, frame in zip(truth, publisher.frames, strict=True):
        key = (line["sensor"], line["n"])
        assert (line["fault"] == "duplicate") == (key in seen)
        seen.add(key)
        if line["fault"] == "corrupt":
            with pytest.raises(ValueError, match=r".*"):
                json.loads(frame.body.decode())
        else:
            assert json.loads(frame.body)["n"] == line["n"]
    assert {line["fault"] for line in truth} == {None, "duplicate", "corrupt"}
    assert len(seen) < 4 * 600


def test_truth_when_a_puback_never_came_then_the_line_says_so(tmp_path: Path) -> None:
    """Rule: what is open at the end is written with acked false, and counted."""
    with Truth(tmp_path / "truth.jsonl") as truth:
        tickets = [
            truth.position(sensor="tag-01", boot="00", n=n, t_ns=n, x_mm=1, y_mm=2, fault=None) for n in range(3)
        ]
        truth.acked(tickets[1])
        summary = truth.summary(seconds=1.0)
    assert (summary.frames_sent, summary.frames_acked, summary.unacked) == (3, 1, 2)
    assert {(line["n"], line["acked"]) for line in lines(tmp_path / "truth.jsonl")} == {
        (0, False),
        (1, True),
        (2, False),
    }


def test_tags_when_switched_on_again_then_boot_differs() -> None:
    """Rule: two runs of one seed are two power-ons, so their counters are never confused."""
    first, again, later = (make_tags(["tag-01"], 7, power_on=k)[0] for k in (1, 1, 2))
    assert first.boot == again.boot != later.boot
    assert len(first.boot) == 8
