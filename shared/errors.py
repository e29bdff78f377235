"""Every error Sideline raises on purpose.

SidelineError
├── DecodeError            a frame's bytes do not follow the sensor's format
├── ConfigError            a settings, roster or command-line value is wrong
├── SourceError            a radio, broker or recording cannot be read
├── StoreError             the local database failed
│   ├── StoreFull          it reached its page or disk limit
│   └── StoreCorrupt       stored bytes do not match their digest
├── SyncError              an upload did not end in a receipt
│   ├── LinkDown           nobody answered
│   ├── ServerBusy         429 or 503: come back after `retry_after_s`
│   ├── BatchTooLarge      413: cut it in two
│   └── BatchRefused       whoever answered gave no receipt
└── ModelError             a model cannot run here
    ├── ModelUntrusted     signature, digest or metadata is wrong
    ├── ModelIncompatible  feature set, shape, golden vectors or output do not fit
    └── ModelTooSlow       over its latency budget on this machine

Facts are attributes; `retryable` on the class says whether the same call may succeed later. Errors of third-party
libraries are translated in the file that imports the library.
"""

from typing import ClassVar


class SidelineError(Exception):
    """Base of every error raised on purpose."""

    retryable: ClassVar[bool] = False


class DecodeError(SidelineError):
    """The bytes do not follow the format; `reason` is a short, countable phrase."""

    def __init__(self, reason: str, *, offset: int | None = None) -> None:
        super().__init__(reason if offset is None else f"{reason} at byte {offset}")
        self.reason = reason
        self.offset = offset


class ConfigError(SidelineError):
    """A setting is wrong: `path` says where, `problem` what."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class SourceError(SidelineError):
    """A source of frames failed; it may come back."""

    retryable = True

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"{source}: {problem}")
        self.source = source
        self.problem = problem


class StoreError(SidelineError):
    """The database failed."""


class StoreFull(StoreError):
    """The database reached its limit; reading and deleting still work."""

    retryable = True


class StoreCorrupt(StoreError):
    """Stored bytes do not match the digest stored with them."""

    def __init__(self, table: str, row: int) -> None:
        super().__init__(f"digest mismatch in {table} row {row}")
        self.table = table
        self.row = row


class SyncError(SidelineError):
    """An upload or a download did not succeed."""


class LinkDown(SyncError):
    """The cloud could not be reached, or was lost; `under_way` tells that part of the body had been sent."""

    retryable = True

    def __init__(self, problem: str, *, under_way: bool = False) -> None:
        super().__init__(problem)
        self.under_way = under_way


class ServerBusy(SyncError):
    """The cloud asked to come back later."""

    retryable = True

    def __init__(self, status: int, retry_after_s: float | None) -> None:
        super().__init__(f"server busy ({status})")
        self.status = status
        self.retry_after_s = retry_after_s


class BatchTooLarge(SyncError):
    """The cloud, or something before it, takes only smaller bodies."""


class BatchRefused(SyncError):
    """Whoever answered gave no receipt: a wrong token, a wrong address, a login page; the batch itself may be fine."""

    retryable = True

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"refused ({status}): {code}")
        self.status = status
        self.code = code


class ModelError(SidelineError):
    """A model cannot be used; `reason` is shown on the health page."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ModelUntrusted(ModelError):
    """Signature, digest or metadata does not verify."""


class ModelIncompatible(ModelError):
    """The model does not fit this gateway: feature set, shapes, golden vectors or outputs."""


class ModelTooSlow(ModelError):
    """The model is over its latency budget here."""
