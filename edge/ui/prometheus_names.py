"""Every metric of `/metrics`: name, type, labels, unit and meaning; docs/operations.md lists the same."""

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Described(NamedTuple):
    """One metric; counters count from the gateway's start, those of the store from the database's beginning."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()


_ALL = (
    Described("sideline_build_info", "gauge", "1", "Version of the gateway, as a label", ("version",)),
    Described("sideline_start_time_seconds", "gauge", "seconds", "When the gateway started, as Unix time"),
    Described("sideline_link_up", "gauge", "bool", "1 while the other end answers", ("link",)),
    Described("sideline_tablets", "gauge", "tablets", "Tablets connected to the live page"),
    Described("sideline_queue_items", "gauge", "items", "What waits in a queue now", ("queue",)),
    Described("sideline_queue_capacity_items", "gauge", "items", "What a queue can hold", ("queue",)),
    Described("sideline_queue_dropped_items_total", "counter", "items", "What a full queue gave up", ("queue",)),
    Described("sideline_withheld_frames", "gauge", "frames", "Frames received and not yet acknowledged"),
    Described(
        "sideline_ble_dropped_frames_total", "counter", "frames", "Bluetooth frames given up: the store was late"
    ),
    Described("sideline_frames_total", "counter", "frames", "Frames received", ("kind",)),
    Described(
        "sideline_malformed_frames_total", "counter", "frames", "Frames that do not follow their format", ("kind",)
    ),
    Described("sideline_implausible_readings_total", "counter", "readings", "Readings marked as impossible", ("kind",)),
    Described("sideline_duplicate_readings_total", "counter", "readings", "Readings that had come before", ("kind",)),
    Described("sideline_reconnects_total", "counter", "connections", "Sensors connected again", ("kind",)),
    Described("sideline_sensors", "gauge", "sensors", "Sensors worn or heard", ("kind",)),
    Described("sideline_sensors_connected", "gauge", "sensors", "Sensors connected, or heard of lately", ("kind",)),
    Described("sideline_quarantined_frames_total", "counter", "frames", "Frames set aside", ("reason",)),
    Described(
        "sideline_gap_readings_total", "counter", "readings", "Readings known to be missing", ("stream", "reason")
    ),
    Described("sideline_stored_readings_total", "counter", "readings", "Readings stored"),
    Described("sideline_commits_total", "counter", "commits", "Durable transactions of this run"),
    Described("sideline_commit_seconds", "histogram", "seconds", "Time of a durable transaction"),
    Described("sideline_store_bytes", "gauge", "bytes", "What the store takes on disk"),
    Described("sideline_store_quota_bytes", "gauge", "bytes", "What the store may take"),
    Described("sideline_store_fill_ratio", "gauge", "ratio", "Share taken of the quota, or of what the disk leaves"),
    Described(
        "sideline_store_pressure_level", "gauge", "level", "What is given up: 0 nothing, from 70 % on 1, 85 % 2, 95 % 3"
    ),
    Described(
        "sideline_sessions", "gauge", "sessions", "Sessions: kept here, complete in the cloud, removed", ("state",)
    ),
    Described("sideline_backlog_batches", "gauge", "batches", "Batches without a receipt"),
    Described("sideline_backlog_bytes", "gauge", "bytes", "Bytes of batches without a receipt"),
    Described("sideline_sync_lag_seconds", "gauge", "seconds", "Age of the oldest that the cloud has not; 0 for none"),
    Described("sideline_uploaded_batches_total", "counter", "batches", "Batches that the cloud has"),
    Described(
        "sideline_upload_answers_total", "counter", "attempts", "Attempts to upload by how they ended", ("answer",)
    ),
    Described("sideline_upload_bytes_total", "counter", "bytes", "Bytes of bodies sent, attempts included"),
    Described("sideline_upload_seconds", "histogram", "seconds", "Time until an upload was answered"),
    Described("sideline_epoch_renewals_total", "counter", "epochs", "Times another copy of this database had uploaded"),
    Described(
        "sideline_reconciled_hours_total", "counter", "hours", "Stream-hours compared with the cloud", ("result",)
    ),
    Described("sideline_resent_readings_total", "counter", "readings", "Readings sent again: the cloud lacked them"),
    Described("sideline_model_active", "gauge", "bool", "1 while the slot's model answers", ("model",)),
    Described("sideline_inferences_total", "counter", "runs", "Answers of models", ("model",)),
    Described("sideline_inference_failures_total", "counter", "runs", "Runs that failed or were no number", ("model",)),
    Described("sideline_inference_seconds", "histogram", "seconds", "Time of one run of a model", ("model",)),
)
DESCRIBED = {described.name: described for described in _ALL}
PROCESS = (
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
)
"""What prometheus_client adds of the process, on Linux."""
