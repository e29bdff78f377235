"""A TUF repository on disk: what gateways verify before they take a model.

Readers fetch it while it changes, so every new state is written in the order targets, targets.json, snapshot.json,
timestamp.json, each file whole or not at all. Until the timestamp is replaced, readers see the old state; what a
release that broke off left behind is not referenced by anything and is overwritten by the next one.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp  # type: ignore[attr-defined]
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from cloud.registry.keys import ONLINE_ROLES, ROOT_KEYS, ROOT_THRESHOLD, make_keys, read_signer
from shared.clock import NS_PER_S, Clock
from shared.errors import ConfigError, ModelUntrusted

T = TypeVar("T", Root, Snapshot, Targets, Timestamp)
Part = Root | Snapshot | Targets | Timestamp

LIFETIMES = {
    "root": timedelta(days=365),
    "targets": timedelta(days=90),
    "snapshot": timedelta(days=14),
    # How long an attacker who controls the network can hide a newer release. Gateways whose metadata has expired go on
    # running what they have and only install nothing new.
    "timestamp": timedelta(days=3),
}
_RENEW_BELOW = 0.5
"""A role is signed anew when less than this share of its life is left."""
_READABLE = JSONSerializer(compact=False)


class Repository:
    """The metadata and target files of the releases, and the keys that sign them."""

    def __init__(self, *, metadata: Path, targets: Path, keys: Path, clock: Clock) -> None:
        self._metadata = metadata
        self._targets = targets
        self._keys = keys
        self._clock = clock

    @property
    def root_path(self) -> Path:
        """The first root, which gateways are given by hand and trust from then on."""
        return self._metadata / "1.root.json"

    def create(self, files: Mapping[str, bytes]) -> bool:
        """Make keys and a first state holding `files`; False when there is one already."""
        self._metadata.mkdir(parents=True, exist_ok=True)
        self._targets.mkdir(parents=True, exist_ok=True)
        with self._exclusive():
            if (self._metadata / "timestamp.json").exists():
                return False
            make_keys(self._keys)
            root = Root(expires=self._expiry("root"), consistent_snapshot=True)
            for name in ROOT_KEYS:
                root.add_key(read_signer(self._keys, name).public_key, "root")
            root.roles["root"].threshold = ROOT_THRESHOLD
            for role in ONLINE_ROLES:
                root.add_key(read_signer(self._keys, role).public_key, role)
            self._write_root(root)
            targets, snapshot, timestamp = Targets(), Snapshot(), Timestamp()
            # Committing counts each of them up to its first version.
            targets.version = snapshot.version = timestamp.version = 0
            self._add(targets, files)
            self._commit(targets, snapshot, timestamp)
        return True

    def read(self, path: str) -> bytes | None:
        """Return a target's bytes, or None when it is not released.

        Raises: ModelUntrusted when the stored bytes are not those that were signed.
        """
        targets, _, _ = self._current()
        entry = targets.targets.get(path)
        if entry is None:
            return None
        try:
            body = self._target_file(path, entry.hashes["sha256"]).read_bytes()
        except OSError as exc:
            raise ModelUntrusted(f"target {path} is missing on disk") from exc
        if hashlib.sha256(body).hexdigest() != entry.hashes["sha256"]:
            raise ModelUntrusted(f"target {path} was changed on disk")
        return body

    def paths(self) -> list[str]:
        """Return the paths of all targets."""
        return sorted(self._current()[0].targets)

    def publish(self, files: Mapping[str, bytes]) -> int:
        """Add or replace targets in one step and return the new version of the targets role."""
        with self._exclusive():
            targets, snapshot, timestamp = self._current()
            self._add(targets, files)
            self._commit(targets, snapshot, timestamp)
            return targets.version

    def refresh(self) -> list[str]:
        """Sign anew every role that has lived more than half its life and return their names."""
        with self._exclusive():
            targets, snapshot, timestamp = self._current()
            root = self._newest_root()
            parts: dict[str, Part] = {"root": root, "targets": targets, "snapshot": snapshot, "timestamp": timestamp}
            old = [role for role, part in parts.items() if self._is_old(role, part)]
            if "root" in old:
                root.version += 1
                root.expires = self._expiry("root")
                self._write_root(root)
            if "targets" in old:
                self._commit(targets, snapshot, timestamp)
            elif "snapshot" in old:
                self._write_snapshot(snapshot, timestamp)
            elif "timestamp" in old:
                self._write_timestamp(timestamp)
            return old

    def expiries(self) -> dict[str, str]:
        """Return when each role expires, ISO 8601 UTC."""
        targets, snapshot, timestamp = self._current()
        parts: dict[str, Part] = {
            "root": self._newest_root(),
            "targets": targets,
            "snapshot": snapshot,
            "timestamp": timestamp,
        }
        return {role: part.expires.isoformat() for role, part in parts.items()}

    def _add(self, targets: Targets, files: Mapping[str, bytes]) -> None:
        for path, body in files.items():
            entry = TargetFile.from_data(path, body, ["sha256"])
            stored = self._target_file(path, entry.hashes["sha256"])
            stored.parent.mkdir(parents=True, exist_ok=True)
            write_whole(stored, body)
            targets.targets[path] = entry

    def _commit(self, targets: Targets, snapshot: Snapshot, timestamp: Timestamp) -> None:
        targets.version += 1
        targets.expires = self._expiry("targets")
        body = self._sign(targets, ("targets",))
        write_whole(self._metadata / f"{targets.version}.targets.json", body)
        snapshot.meta["targets.json"] = MetaFile.from_data(targets.version, body, ["sha256"])
        self._write_snapshot(snapshot, timestamp)

    def _write_snapshot(self, snapshot: Snapshot, timestamp: Timestamp) -> None:
        snapshot.version += 1
        snapshot.expires = self._expiry("snapshot")
        body = self._sign(snapshot, ("snapshot",))
        write_whole(self._metadata / f"{snapshot.version}.snapshot.json", body)
        timestamp.snapshot_meta = MetaFile.from_data(snapshot.version, body, ["sha256"])
        self._write_timestamp(timestamp)

    def _write_timestamp(self, timestamp: Timestamp) -> None:
        timestamp.version += 1
        timestamp.expires = self._expiry("timestamp")
        write_whole(self._metadata / "timestamp.json", self._sign(timestamp, ("timestamp",)))

    def _write_root(self, root: Root) -> None:
        write_whole(self._metadata / f"{root.version}.root.json", self._sign(root, ROOT_KEYS))

    def _sign(self, part: T, keys: tuple[str, ...]) -> bytes:
        metadata = Metadata(part)
        for name in keys:
            metadata.sign(read_signer(self._keys, name), append=True)
        return metadata.to_bytes(_READABLE)

    def _current(self) -> tuple[Targets, Snapshot, Timestamp]:
        """Return the state that the timestamp points to, and so the one that readers see."""
        timestamp = self._load("timestamp.json", Timestamp)
        snapshot = self._load(f"{timestamp.snapshot_meta.version}.snapshot.json", Snapshot)
        targets = self._load(f"{snapshot.meta['targets.json'].version}.targets.json", Targets)
        return targets, snapshot, timestamp

    def _newest_root(self) -> Root:
        versions = [int(path.name.split(".")[0]) for path in self._metadata.glob("*.root.json")]
        return self._load(f"{max(versions, default=1)}.root.json", Root)

    def _load(self, name: str, kind: type[T]) -> T:
        path = self._metadata / name
        try:
            part = Metadata[T].from_bytes(path.read_bytes()).signed
        except OSError as exc:
            raise ConfigError(str(path), "cannot be read; run `python -m cloud release-setup` first") from exc
        except (DeserializationError, RepositoryError) as exc:
            raise ModelUntrusted(f"release metadata {name} cannot be read: {exc}") from exc
        if not isinstance(part, kind):
            raise ModelUntrusted(f"release metadata {name} is a {part.type}")
        return part

    def _target_file(self, path: str, sha256: str) -> Path:
        folder, _, name = path.rpartition("/")
        return self._targets / folder / f"{sha256}.{name}"

    def _expiry(self, role: str) -> datetime:
        return self._now() + LIFETIMES[role]

    def _is_old(self, role: str, part: Part) -> bool:
        return part.expires - self._now() < LIFETIMES[role] * _RENEW_BELOW

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.utc_ns() // NS_PER_S, UTC)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Let one process at a time write; readers need no lock.

        Raises: ConfigError when there is no repository.
        """
        if not self._metadata.is_dir():
            raise ConfigError(str(self._metadata), "is not there; run `python -m cloud release-setup` first")
        with (self._metadata / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def write_whole(path: Path, body: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
