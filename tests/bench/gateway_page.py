"""The section of tests/bench/RESULTS.md on gateways, made of what `tests.bench.gateway` has measured so far."""

from collections.abc import Callable
from typing import Any

RIVAL, BARE, WHOLE = "ThingsBoard", "Sideline, decode + journal", "Sideline, metrics, models, tablet"
_FAULTS = {
    "killed": "kill -9 in the middle of 20 s, back after 3 s",
    "silent": "link upstream silently dead for 60 s of 90 s",
    "offline": "started without upstream, 10 s of data, kill -9, started again online",
}
_EQUAL_RATE = 1_000
_COMPARED = (
    "One broker program, one load generator (60 tags, our JSON positions, QoS 1), one machine, in turns. ThingsBoard "
    "stores in SQLite and sends upstream to a second broker, where what arrives is counted; its time is from sensor to "
    "there; Sideline's is from sensor to tablet. It commits (synchronous=FULL) before it acknowledges; `decode + journal` has tags that nobody wears, "
    "the other 60 athletes, metrics, both models and a tablet, whose state may skip batches (`dropped live`). "
    "A gateway keeps up when it is less than 1 s behind as the sending ends and nothing is lost; 0.5 % of "
    "ThingsBoard's may be, as it keeps one of two messages of a sensor in one millisecond."
)
_COUNTED = (
    "500 msg/s; acknowledged to the sensors by the broker, which keeps both gateways' sessions. ThingsBoard's messages "
    "are counted upstream, Sideline's in its own store and in the cloud, and the lower count stands here."
)
Found = dict[str, Any]


def section(known: Found) -> str:
    """Return the whole section; a part that was not measured yet is left out or says so."""
    blocks = [
        "## Gateways side by side",
        _surroundings(known["surroundings"]),
        _bars(
            {
                name: part["found"]
                for name, part in known.items()
                if name != "surroundings" and part["found"] is not None
            }
        ),
    ]
    writers: dict[str, Callable[[Any], str]] = {"rates": _rates, "faults": _faults}
    for name, write in writers.items():
        if name in known:
            began, (before, after) = known[name]["began"], known[name]["load_average"]
            blocks.append(
                f"{write(known[name]['found'])}\n\nMeasured {began}; load average {before} before, {after} after."
            )
    return "\n\n".join(blocks)


def _surroundings(about: Found) -> str:
    return (
        f"{about['machine']} shared with broker, load generator and other work; Python {about['python']}, SQLite "
        f"{about['sqlite']}, mosquitto {about['mosquitto']}; ThingsBoard gateway {about['thingsboard']}, Sideline "
        f'{about["sideline"]}. `make bench-gateway` makes this section again, `ARGS="--only PART"` a part of it. '
        "Absolute figures of a shared machine vary; ratios within one part hold."
    )


def best(rows: list[Found], gateway: str) -> Found | None:
    """Return the row of the highest rate that a gateway kept up with, in its better round."""
    kept_up = [row for row in rows if row["gateway"] == gateway and row["kept_up"]]
    return max(kept_up, key=lambda row: row["sent_per_s"], default=None)


def _at(rows: list[Found], gateway: str, rate_per_s: int) -> Found | None:
    """Return the cheapest row at one rate: other work on the machine only adds to it."""
    at_rate = [row for row in rows if row["gateway"] == gateway and row["wanted_per_s"] == rate_per_s]
    return min(at_rate, key=lambda row: row["cpu_s_per_100k"], default=None)


def _bars(found: Found) -> str:
    rows = [*_speed_bars(found.get("rates")), *_latency_bars(found), *_size_bars(found), *_time_bars(found)]
    head = "| figure | must | aim | measured | command |\n|---|---|---|---|---|"
    lines = [
        f"| {figure} | {must} | {aim} | {measured} | `{command}` |" for figure, must, aim, measured, command in rows
    ]
    return "\n".join((head, *lines))


Bar = tuple[str, str, str, str, str]
_NOT = "not measured"


def _only(*names: str) -> str:
    return f'make bench-gateway ARGS="--only {" ".join(names)}"'


def _speed_bars(rows: list[Found] | None) -> list[Bar]:
    bare, whole = (best(rows or [], name) for name in (BARE, WHOLE))

    def cost(row: Found | None) -> str:
        return _NOT if row is None else f"{row['cpu_s_per_100k']} at {row['sent_per_s']:,.0f} msg/s"

    durable = _NOT
    if bare is not None:
        durable = f"{bare['sent_per_s']:,.0f}" + (" (the generator's own end)" if bare["generator_limited"] else "")
    return [
        ("durable msg/s, acknowledged after the commit, decode + journal", "20,000", "60,000", durable, _only("rates")),
        ("CPU-s per 100,000 messages, decode + journal", "4", "1.5", cost(bare), _only("rates")),
        ("the same with metrics, inference and tablet", "8", "4", cost(whole), _only("rates")),
    ]


def _latency_bars(found: Found) -> list[Bar]:
    calm, pressed, acknowledged = (found.get(name) for name in ("calm", "pressed", "acknowledged"))
    rows: list[Bar] = [
        (
            "sensor → tablet p99, 60 athletes (2,160 msg/s), all models running", "100 ms", "50 ms",
            _ages(calm), _only("calm"),
        )
    ]  # fmt: skip
    beside = _NOT
    if pressed is not None:
        drained, hours = pressed["drained_readings"], pressed["hours"]
        still = "still draining at the end" if pressed["left_readings"] else "done before the end"
        swap = f"; swap {_ages(pressed['in_swap'])}" if pressed["swapped"] else "; no model was swapped"
        beside = f"{_ages(pressed)}{swap}; {drained:,} readings of {hours:g} h drained meanwhile, {still}"
    rows.append(("the same while a backlog drains and a model swaps", "150 ms", "75 ms", beside, _only("pressed")))
    if acknowledged is not None:
        ages = f"{acknowledged['p99_ms']} ms (p50 {acknowledged['p50_ms']})"
        rows.append(("sensor → commit and acknowledgement p99, the same load", "–", "–", ages, _only("acknowledged")))
    return rows


def _ages(part: Found | None) -> str:
    """Return the p99 of positions and heart rates."""
    if part is None:
        return _NOT
    said = [
        f"{name} {part[key]['p99_ms']} ms (p50 {part[key]['p50_ms']}, n {part[key]['n']:,})"
        for name, key in (("positions", "position"), ("heart rates", "heart_rate"))
        if part.get(key)
    ]
    return ", ".join(said) or "nothing was shown"


def _size_bars(found: Found) -> list[Bar]:
    stored, soak = found.get("bytes"), found.get("soak")
    on_disk = sent = rss = _NOT
    if stored is not None:
        ours, theirs = stored["ours"], stored["rival_message"]
        beside = "" if theirs is None else f" (ThingsBoard {theirs} a message)"
        on_disk = f"{ours['heart_rate']['sqlite']} / {ours['position']['sqlite']}{beside}"
        sent = " / ".join(str(ours[name]["parquet"]) for name in ("position", "imu", "heart_rate"))
    if soak is not None and "result" in soak:
        rss = f"{soak['result']['rss_mb'][-1]} MB at the end of {soak['minutes']:g} min"
    return [
        ("SQLite bytes per heart rate / position", "60", "30", on_disk, _only("bytes")),
        ("uploaded bytes per position / IMU / heart rate", "3.6 / 8 / 4", "3.2 / 7.6 / 3.6", sent, _only("bytes")),
        ("RSS after 1 h at that load", "300 MB", "200 MB", rss, "tests/faults/soak.py --minutes 60"),
    ]


def _time_bars(found: Found) -> list[Bar]:
    drain, cold = found.get("drain"), found.get("cold")
    gone = _NOT
    if drain is not None:
        gone = f"{drain['times_real_time']}× ({drain['readings']:,} readings of {drain['hours']:g} h in {drain['drain_s']} s)"
    start = _NOT
    if cold is not None:
        runs = cold["first_stored_s"]
        start = f"{runs[len(runs) // 2]} s (median of {len(runs)}, worst {runs[-1]}); page {cold['page_s'][len(runs) // 2]} s"
    return [
        ("drain after 1 h offline, times real time", "10×", "50×", gone, _only("drain")),
        ("cold start to the first stored reading, offline", "3 s", "1 s", start, _only("cold")),
    ]


def _rates(rows: list[Found]) -> str:
    """Return both gateways' rates, and the ratios between them."""
    lines = [
        f"| {row['gateway']} | {row['wanted_per_s']:,} | {row['sent_per_s']:,.0f} | {'yes' if row['kept_up'] else 'no'} | "
        f"{row['behind_s']} | {row['lost']} | {row['twice']} | {'–' if row['live_dropped'] is None else row['live_dropped']} | {_ms(row['p50_ms'])} / {_ms(row['p99_ms'])} | "
        f"{row['cpu_s_per_100k']} | {row['rss_mb']} | {row['load_average']} |"
        for row in rows
    ]
    return "\n".join(
        (
            "### Rates",
            "",
            _COMPARED,
            "",
            _ratios(rows),
            "",
            "| gateway | wanted msg/s | sent msg/s | kept up | behind s | lost | twice | dropped live | p50 / p99 ms | CPU-s per 100k | RSS MB | load average |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|",
            *lines,
        )
    )


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _ratios(rows: list[Found]) -> str:
    theirs = best(rows, RIVAL)
    if theirs is None:
        return f"ThingsBoard gateway {'could not be installed here' if not any(r['gateway'] == RIVAL for r in rows) else 'kept up with no rate'}: no ratios."
    said = []
    for name in (BARE, WHOLE):
        ours, equal, rivals = best(rows, name), _at(rows, name, _EQUAL_RATE), _at(rows, RIVAL, _EQUAL_RATE)
        if ours is not None:
            said.append(
                f"{name}: {ours['sent_per_s'] / theirs['sent_per_s']:.1f}× the rate ({ours['sent_per_s']:,.0f} against {theirs['sent_per_s']:,.0f} msg/s), {theirs['cpu_s_per_100k'] / ours['cpu_s_per_100k']:.1f}× less CPU a message, each at its top"
            )
        if equal is not None and rivals is not None:
            said.append(
                f"at {_EQUAL_RATE:,} msg/s {equal['cpu_s_per_100k']} against {rivals['cpu_s_per_100k']} CPU-s per 100,000"
            )
    return "; ".join(said) + "."


def _faults(rows: list[Found]) -> str:
    """Return what was lost."""
    lines = [
        f"| {row['gateway']} | {_FAULTS[row['fault']]} | {row['acknowledged']:,} | {row['lost']:,} | {row['twice']:,} |"
        for row in rows
    ]
    return "\n".join(
        (
            "### Faults",
            "",
            _COUNTED,
            "",
            "| gateway | fault | acknowledged | lost | twice |",
            "|---|---|---|---|---|",
            *lines,
        )
    )
