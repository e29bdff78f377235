"""Fetches signed models with python-tuf. The one file of the gateway that knows tuf.

Expired metadata blocks fetching, never running: what is installed goes on.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from edge.durable import LOCAL_DISK, Disk, keep_file, keep_folder
from shared.errors import ConfigError, LinkDown, ModelUntrusted, StoreError
from shared.release import (
    CHANNEL_TARGET,
    METADATA_PATH,
    TARGETS_PATH,
    Channel,
    card_target,
    model_target,
    read_channel,
)

if TYPE_CHECKING:
    from tuf.ngclient.updater import Updater

_MAX_MODEL_BYTES = 64 * 1024 * 1024
# Names and versions become folders here; 64 characters are more than any of ours has.
_PATH_PART = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def place_model(folder: Path, model: bytes, card: bytes, disk: Disk = LOCAL_DISK) -> None:
    """Put a model's files where a slot looks for them; each is whole, and all outlast a power cut after this returns.

    Raises: OSError.
    """
    keep_folder(folder, disk)
    keep_file(folder / "model.onnx", model, disk)
    keep_file(folder / "card.json", card, disk)


class ModelUpdater:
    """A client of one release repository; trusted metadata is kept on disk, so that a rollback is noticed."""

    def __init__(self, url: str, folder: Path, root_file: Path, *, disk: Disk = LOCAL_DISK) -> None:
        self._url = url.rstrip("/")
        self._disk = disk
        self._metadata = folder / "metadata"
        self._targets = folder / "targets"
        try:
            self._root = root_file.read_bytes()
        except OSError as exc:
            raise ConfigError(str(root_file), exc.strerror or "cannot be read") from exc
        self._metadata.mkdir(parents=True, exist_ok=True)
        self._targets.mkdir(parents=True, exist_ok=True)

    def channel(self) -> Channel:
        """Refresh the metadata and return which versions shall run; blocks, so call it on a thread.

        Raises: LinkDown; StoreError when the disk fails; ModelUntrusted when signatures, versions or expiry do not
        verify, or the channel names what cannot be a folder's name.
        """
        channel = read_channel(self._fetch(self._refreshed(), CHANNEL_TARGET))
        for name, version in channel.models.items():
            _check_target(name, version)
        return channel

    def fetch(self, name: str, version: str, folder: Path) -> None:
        """Put a model's verified files into `folder`, where they outlast a power cut; blocks.

        Raises: LinkDown, ModelUntrusted; StoreError when the disk fails.
        """
        _check_target(name, version)
        updater = self._refreshed()
        model = self._fetch(updater, model_target(name, version))
        card = self._fetch(updater, card_target(name, version))
        try:
            place_model(folder, model, card, self._disk)
        except OSError as exc:
            raise StoreError(f"{name} {version} cannot be written: {exc}") from exc

    def _refreshed(self) -> "Updater":
        # Loaded with the first look at the channel, on its thread: the gateway's start does not wait for it.
        from tuf.api.exceptions import DownloadError, RepositoryError, SlowRetrievalError  # noqa: PLC0415
        from tuf.ngclient.config import UpdaterConfig  # noqa: PLC0415
        from tuf.ngclient.updater import Updater  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            updater = Updater(
                str(self._metadata),
                self._url + METADATA_PATH,
                str(self._targets),
                self._url + TARGETS_PATH,
                config=UpdaterConfig(prefix_targets_with_hash=True),
                bootstrap=self._root,
            )
            updater.refresh()
        except SlowRetrievalError as exc:  # what TUF calls every connection that fails or stalls; it says no more
            raise LinkDown("release repository: it cannot be reached, or does not answer") from exc
        except (DownloadError, HTTPError) as exc:
            raise LinkDown(f"release repository: {str(exc) or type(exc).__name__}") from exc
        except OSError as exc:
            raise StoreError(f"release metadata cannot be written: {exc}") from exc
        except (RepositoryError, ValueError) as exc:
            raise ModelUntrusted(f"release metadata does not verify: {exc}") from exc
        return updater

    def _fetch(self, updater: "Updater", target: str) -> bytes:
        from tuf.api.exceptions import (  # noqa: PLC0415  as above
            DownloadError,
            DownloadLengthMismatchError,
            RepositoryError,
        )
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            known = updater.get_targetinfo(target)
            if known is None:
                raise ModelUntrusted(f"{target} is not a signed target")
            if known.length > _MAX_MODEL_BYTES:
                raise ModelUntrusted(f"{target} is larger than any model of ours")
            path = updater.find_cached_target(known) or updater.download_target(known)
            return Path(path).read_bytes()
        except (RepositoryError, DownloadLengthMismatchError) as exc:
            raise ModelUntrusted(f"{target} does not verify: {exc}") from exc
        except (DownloadError, HTTPError) as exc:
            raise LinkDown(f"{target}: {exc}") from exc
        except OSError as exc:
            raise StoreError(f"{target} cannot be written: {exc}") from exc


def _check_target(name: str, version: str) -> None:
    if not _PATH_PART.fullmatch(name) or not _PATH_PART.fullmatch(version):
        raise ModelUntrusted(f"channel names {name!r} {version!r}, which is no name of a model and a version")
