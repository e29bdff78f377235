"""Model slots: each installed model is the file on its card, and passes here what it passed when it came."""

from pathlib import Path

import msgspec

from edge.doctor.check import Findings, Probe, in_thread
from edge.doctor.surroundings import Subject
from edge.doctor.words import milliseconds
from edge.inference.gate import check_in_subprocess
from edge.release.slots import Slot
from shared.errors import ModelError
from shared.model_card import file_sha256, read_card

BOUND_S = 30.0
"""A process of its own that loads the runtime takes some seconds on a small computer, before the model's own work."""
_CHECK_S = 25.0


def slots_of(subject: Subject) -> list[Slot] | None:
    """Return what the gateway keeps of its slots; None where the file cannot be read."""
    try:
        return msgspec.json.decode((subject.data / "models" / "slots.json").read_bytes(), type=list[Slot])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def model_probes(subject: Subject) -> list[Probe]:
    """Return one probe for each slot."""
    slots = slots_of(subject)

    async def none(findings: Findings) -> None:
        if slots is None:
            findings.fail(
                "slots",
                f"{subject.data / 'models' / 'slots.json'} cannot be read",
                "remove the file: the gateway fetches its models again",
            )
        else:
            findings.ok("slots", "no model is installed; metrics need none")

    if not slots:
        return [Probe(group="models", run=none)]

    def probe(slot: Slot) -> Probe:
        async def run(findings: Findings) -> None:
            await _check(slot, subject, findings)

        return Probe(group="models", run=run, bound_s=BOUND_S)

    return [probe(slot) for slot in slots]


async def _check(slot: Slot, subject: Subject, findings: Findings) -> None:
    if slot.reason is not None:
        findings.warn(
            f"{slot.name} {slot.state}",
            f"{slot.candidate or 'the candidate'}: {slot.reason}",
            "it is not tried again; release a mended version",
        )
    if slot.active is None:
        findings.ok(slot.name, f"{slot.state}: nothing runs in this slot")
        return
    name = f"{slot.name} {slot.active}"
    folder = subject.data / "models" / slot.name / slot.active
    if not await in_thread(_is_whole, folder, name, findings):
        return
    try:
        verdict = await check_in_subprocess(folder, limit_s=_CHECK_S)
    except (TimeoutError, OSError) as exc:
        findings.warn(name, f"could not be tried: {exc}", "the machine is too busy; try again when no session runs")
        return
    if not verdict.passed:
        findings.fail(name, verdict.reason, "it is refused at the next start; release another version")
        return
    budget_ms = read_card(folder / "card.json").latency_budget_ms
    latency_ms = verdict.latency_ms_p99 or 0.0
    findings.ok(name, f"golden vectors agree; p99 {milliseconds(latency_ms)} of {milliseconds(budget_ms)} allowed")


def _is_whole(folder: Path, name: str, findings: Findings) -> bool:
    try:
        digest = file_sha256(folder / "model.onnx")
        matches = digest == read_card(folder / "card.json").sha256
    except (OSError, ModelError) as exc:
        findings.fail(name, f"its files cannot be read: {exc}", "restart the gateway: it goes back or fetches it anew")
        return False
    if not matches:
        findings.fail(
            name,
            f"model.onnx is not the file on its card (sha256 {digest[:12]}...)",
            "restart the gateway: it goes back to the version before; then look at the disk, which changed the file",
        )
    return matches
