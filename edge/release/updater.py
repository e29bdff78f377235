"""Fetches signed models with python-tuf. The one file of the gateway that knows tuf.

Expired metadata blocks fetching, never running: what is installed goes on.
"""

from pathlib import Path

from tuf.api.exceptions import DownloadError, DownloadLengthMismatchError, RepositoryError
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.updater import Updater
from urllib3.exceptions import HTTPError

from shared.errors import ConfigError, LinkDown, ModelUntrusted
from shared.release import (
    CHANNEL_TARGET,
    METADATA_PATH,
    TARGETS_PATH,
    Channel,
    card_target,
    model_target,
    read_channel,
)

_MAX_MODEL_BYTES = 64 * 1024 * 1024


class ModelUpdater:
    """A client of one release repository; trusted metadata is kept on disk, so that a rollback is noticed."""

    def __init__(self, url: str, folder: Path, root_file: Path) -> None:
        self._url = url.rstrip("/")
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

        Raises: LinkDown; ModelUntrusted when signatures, versions or expiry do not verify.
        """
        return read_channel(self._fetch(self._refreshed(), CHANNEL_TARGET))

    def fetch(self, name: str, version: str, folder: Path) -> None:
        """Put a model's verified files into `folder`; blocks.

        Raises: LinkDown, ModelUntrusted.
        """
        updater = self._refreshed()
        model = self._fetch(updater, model_target(name, version))
        card = self._fetch(updater, card_target(name, version))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(model)
        (folder / "card.json").write_bytes(card)

    def _refreshed(self) -> Updater:
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
        except (DownloadError, HTTPError) as exc:
            raise LinkDown(f"release repository: {exc}") from exc
        except (RepositoryError, ValueError, OSError) as exc:
            raise ModelUntrusted(f"release metadata does not verify: {exc}") from exc
        return updater

    def _fetch(self, updater: Updater, target: str) -> bytes:
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
