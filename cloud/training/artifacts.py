"""Where trained models lie: `models/<name>/<version>/{model.onnx, card.json}`, never changed once written."""

import re
from dataclasses import dataclass
from pathlib import Path

from cloud.settings import Layout
from shared.errors import ConfigError, ModelIncompatible
from shared.model_card import ModelCard, file_sha256, read_card, write_card

MODEL_FILE = "model.onnx"
CARD_FILE = "card.json"
FIRST_VERSION = "1.0.0"
_VERSION = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


def parse_version(text: str) -> tuple[int, int, int]:
    """Return a version as numbers that compare.

    Raises: ConfigError when it is not `major.minor.patch`.
    """
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ConfigError("version", f"{text!r} is not major.minor.patch")
    major, minor, patch = (int(part) for part in match.groups())
    return major, minor, patch


def read_artifact(folder: Path) -> ModelCard:
    """Return the card of the model in `folder` after checking that the file is the one it speaks of.

    Raises: ModelIncompatible when one is missing or they do not belong together.
    """
    card = read_card(folder / CARD_FILE)
    try:
        sha256 = file_sha256(folder / MODEL_FILE)
    except OSError as exc:
        raise ModelIncompatible(f"{folder / MODEL_FILE} cannot be read: {exc.strerror}") from exc
    if sha256 != card.sha256:
        raise ModelIncompatible(f"{card.name} {card.version}: the card speaks of {card.sha256[:12]}, not {sha256[:12]}")
    return card


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a training gave: the card, where it lies and the seconds it took.

    `parameters` are the choices behind it, for the tracker.
    """

    card: ModelCard
    folder: Path
    seconds: float
    parameters: dict[str, object]


class Artifacts:
    """The trained models of one cloud."""

    def __init__(self, layout: Layout) -> None:
        self._folder = layout.root / "models"

    def folder(self, name: str, version: str) -> Path:
        """Return the folder of one version.

        Raises: ConfigError when name or version could lead out of the models' folder.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError("model", f"{name!r} is not a model name (a-z, 0-9, _)")
        parse_version(version)
        return self._folder / name / version

    def versions(self, name: str) -> list[str]:
        """Return the known versions, oldest first."""
        found = [path.parent.name for path in (self._folder / name).glob(f"*/{CARD_FILE}")]
        return sorted((text for text in found if _VERSION.fullmatch(text)), key=parse_version)

    def newest(self, name: str) -> str:
        """Return the newest version.

        Raises: ConfigError when there is none.
        """
        versions = self.versions(name)
        if not versions:
            raise ConfigError(str(self._folder / name), "holds no trained model; run `python -m cloud train` first")
        return versions[-1]

    def next_version(self, name: str) -> str:
        """Return the next patch after the newest version."""
        versions = self.versions(name)
        if not versions:
            return FIRST_VERSION
        major, minor, patch = parse_version(versions[-1])
        return f"{major}.{minor}.{patch + 1}"

    def write(self, card: ModelCard, model: bytes) -> Path:
        """Write a version and return its folder; the card last, so that a version without one does not count.

        Raises: ModelIncompatible when this version exists with other bytes.
        """
        folder = self.folder(card.name, card.version)
        if (folder / CARD_FILE).exists():
            if read_artifact(folder) != card:
                raise ModelIncompatible(f"{card.name} {card.version} exists already and is another model")
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MODEL_FILE).write_bytes(model)
        write_card(card, folder / CARD_FILE)
        return folder
