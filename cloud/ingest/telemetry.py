"""What the ingest counts, for Prometheus; a registry of its own so that two applications can share a process."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.batch import Receipt, Reconciled


class Telemetry:
    """Counters of one ingest application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Counter(
            "sideline_ingest_answers", "Answers to batches by HTTP status", ["status"], registry=self.registry
        )
        self._batches = Counter(
            "sideline_ingest_batches", "Batches by verdict and content", ["verdict", "content"], registry=self.registry
        )
        self._readings = Counter("sideline_ingest_readings", "Readings stored", registry=self.registry)
        self._bytes = Counter("sideline_ingest_bytes", "Bytes stored", registry=self.registry)
        self._seconds = Histogram(
            "sideline_ingest_seconds",
            "From a batch's last byte to its receipt",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
            registry=self.registry,
        )
        self._compared = Counter(
            "sideline_ingest_stream_hours", "Stream-hours compared with gateways", ["outcome"], registry=self.registry
        )
        self._lost = Counter(
            "sideline_ingest_objects_lost", "Stored objects found lost", ["problem"], registry=self.registry
        )
        self.in_flight = Gauge("sideline_ingest_in_flight", "Batches in flight", registry=self.registry)

    def compared(self, asked: int, answer: Reconciled) -> None:
        """Count the outcome for each stream-hour of a reconciliation."""
        differing = len(answer.differing)
        self._compared.labels(outcome="agreed").inc(asked - differing - answer.unchecked)
        self._compared.labels(outcome="differing").inc(differing)
        self._compared.labels(outcome="unchecked").inc(answer.unchecked)

    def lost(self, problem: str) -> None:
        """Count one stored object that is missing or damaged."""
        self._lost.labels(problem=problem).inc()

    def answered(self, status: int) -> None:
        """Count one answer."""
        self._answers.labels(status=str(status)).inc()

    def decided(self, receipt: Receipt, *, content: str, size_bytes: int, seconds: float) -> None:
        """Count one decided batch."""
        self._batches.labels(verdict=receipt.status, content=content).inc()
        self._seconds.observe(seconds)
        if receipt.status == "stored":
            self._readings.inc(receipt.accepted)
            self._bytes.inc(size_bytes)
