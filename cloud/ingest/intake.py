"""Takes one batch in: check, make durable, record, answer. Blocking; called in a thread."""

from dataclasses import dataclass

from cloud.ingest.content import Content, aside_key, examine, object_key
from cloud.ingest.decide import Decision, Verdict, decide
from cloud.ingest.ledger import Ledger
from cloud.objects import Objects
from shared.batch import BatchHeader, Receipt, sha256_hex
from shared.clock import Clock

_ASIDE = {Verdict.CONFLICT: "conflicts", Verdict.REJECTED: "rejected"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Where batches go."""

    ledger: Ledger
    objects: Objects
    clock: Clock

    def take(self, header: BatchHeader, body: bytes, *, received_ns: int) -> Receipt:
        """Store the batch, or say why not; after a receipt `stored` or `duplicate` object and row are on disk.

        Raises: StoreError, StoreFull; the batch is then not acknowledged and may be sent again.
        """
        sha256 = sha256_hex(body)
        known = self.ledger.known(header)
        is_new = (known is None or known.is_lost) and sha256 == header.sha256
        content = examine(header, body) if is_new else Content()
        first = decide(header, body_sha256=sha256, content_problem=content.problem, known=known)
        if first.verdict is Verdict.STORED:
            return self._receipt(header, self._store(header, body, content, received_ns))
        if first.keep_aside:
            self._keep_aside(header, body, first, received_ns)
        return self._receipt(header, first)

    def _store(self, header: BatchHeader, body: bytes, content: Content, received_ns: int) -> Decision:
        """Stage outside the ledger's lock, then decide again inside it: the same id may have come in meanwhile."""
        staged = self.objects.stage(body)
        try:
            with self.ledger.deciding(header) as turn:
                decision = decide(
                    header, body_sha256=header.sha256, content_problem=content.problem, known=turn.known()
                )
                if decision.verdict is Verdict.STORED:
                    key = object_key(header)
                    staged.publish(key)
                    turn.add(object_key=key, size_bytes=len(body), received_ns=received_ns, tallies=content.tallies)
        finally:
            staged.discard()
        if decision.keep_aside:
            self._keep_aside(header, body, decision, received_ns)
        return decision

    def _keep_aside(self, header: BatchHeader, body: bytes, decision: Decision, received_ns: int) -> None:
        sha256 = sha256_hex(body)
        key = aside_key(header, _ASIDE[decision.verdict], sha256)
        self.objects.put(key, body)
        with self.ledger.deciding(header) as turn:
            turn.refuse(decision, sha256=sha256, object_key=key, received_ns=received_ns)

    def _receipt(self, header: BatchHeader, decision: Decision) -> Receipt:
        return Receipt(
            status=decision.verdict.value,
            seq=header.seq,
            contiguous_seq=self.ledger.state(header.gateway, header.epoch).contiguous_seq,
            server_ns=self.clock.utc_ns(),
            accepted=decision.accepted,
            problem=decision.problem,
        )
