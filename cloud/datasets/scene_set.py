"""Scenes as a versioned data set: arrays on disk beside a card that names them by digest."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path
from zipfile import BadZipFile

import msgspec
import numpy as np

from cloud.datasets.card import DatasetCard, read_dataset_card
from cloud.datasets.lineage import Lineage, from_files
from cloud.datasets.public.read import of_weeks
from cloud.datasets.scenes import NOBODY, Field, Scenes
from cloud.datasets.validate.check import Checked, validated
from cloud.settings import Layout
from shared.clock import Clock
from shared.errors import ConfigError, StoreCorrupt
from shared.features.base import FeatureSet
from shared.features.team import BALL_TEAM

CARD, SCENES = "card.json", "scenes.npz"
HELD_OUT = 0.15
"""Games whose share lies below are measured on, wherever they are read."""
_FIELD, _HELD_OUT = "field", "held_out"


def game_share(game: str) -> float:
    """Return a number 0..1 that depends on the name of a game alone."""
    return int(hashlib.sha256(game.encode()).hexdigest(), 16) % 1000 / 1000


def held_out_games(scenes: Scenes) -> tuple[str, ...]:
    """Return the games that are measured on."""
    return tuple(game for game in sorted(set(scenes.game.tolist())) if game_share(game) < HELD_OUT)


def make_scene_set(
    layout: Layout, clock: Clock, path: Path, weeks: Sequence[int] | None, features: FeatureSet, *, skip: bool = False
) -> tuple[Path, DatasetCard, Checked]:
    """Read a folder without its bad rows (with `skip` all), and write it as a data set with its lineage.

    Raises: ConfigError as `validated`.
    """
    name = f"{features.model}_scenes"
    checked = validated(path, weeks, skip=skip, quarantine=layout.root / "quarantine" / f"{name}.csv")
    scenes = checked.scenes
    query = f"{path.name} in layout {checked.report.layout}{of_weeks(weeks)}, {'all' if skip else 'good'} rows"
    held_out = held_out_games(scenes)
    split = "whole games, SHA-256 of the name in the lowest 15 %"
    card = scene_card(
        scenes, name=name, version="files", query=query, features=features, held_out=held_out, split=split
    )
    with Lineage(layout, clock).job(f"dataset {name}", from_files(checked.report.files, checked.validation)) as outcome:
        folder = write_scenes(layout, scenes, held_out, card)
        outcome.made(card)
    return folder, card, checked


def scene_card(
    scenes: Scenes, *, name: str, version: str, query: str, features: FeatureSet, held_out: Collection[str], split: str
) -> DatasetCard:
    """Return the card of scenes whose `held_out` games were kept back by the rule in `split`.

    `version` is the table's version or `files`; a row is a player in a frame, a session a game. The digest covers
    the scenes in their order and which games were held out.
    """
    out = np.isin(scenes.game, list(held_out))
    return DatasetCard(
        name=name,
        version=version,
        digest=_digest(scenes, held_out),
        feature_set=features.set_id,
        feature_hash=features.schema_hash,
        query=query,
        split=split,
        rows=_rows(scenes, np.ones_like(out)),
        held_out_rows=_rows(scenes, out),
        athletes=len(_people(scenes, np.ones_like(out))),
        held_out_athletes=len(_people(scenes, out) - _people(scenes, ~out)),
        sessions=len(np.unique(scenes.game)),
    )


def write_scenes(layout: Layout, scenes: Scenes, held_out: Collection[str], card: DatasetCard) -> Path:
    """Write scenes and card under `datasets/<name>/<version>-<digest>/` and return the folder; the card is last.

    The same digest gives the same bytes.
    """
    folder = layout.root / "datasets" / card.name / f"{card.version}-{card.digest[:12]}"
    if (folder / CARD).exists() and read_dataset_card(folder / CARD) == card:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {item.name: getattr(scenes, item.name) for item in fields(scenes) if item.name != _FIELD}
    size = [] if scenes.field is None else [scenes.field.length_m, scenes.field.width_m]
    more = {_FIELD: np.array(size, np.float64), _HELD_OUT: np.array(sorted(held_out), np.str_)}
    np.savez(folder / SCENES, allow_pickle=False, **arrays, **more)
    (folder / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")
    return folder


def read_scene_set(folder: Path) -> tuple[Scenes, tuple[str, ...], DatasetCard]:
    """Return the scenes, the held-out games and the card that `write_scenes` wrote.

    Raises: ConfigError when they are not there; StoreCorrupt when the scenes are not those of the card.
    """
    card = read_dataset_card(folder / CARD)
    try:
        with np.load(folder / SCENES, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        size, held_out = arrays.pop(_FIELD).tolist(), tuple(arrays.pop(_HELD_OUT).tolist())
        field = Field(length_m=size[0], width_m=size[1]) if size else None
        scenes = Scenes(field=field, **arrays)
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as exc:
        raise ConfigError(str(folder / SCENES), f"is no set of scenes: {exc}") from exc
    if _digest(scenes, held_out) != card.digest:
        raise StoreCorrupt(str(folder / SCENES), 0)
    return scenes, held_out, card


def _digest(scenes: Scenes, held_out: Collection[str]) -> str:
    digest = hashlib.sha256(scenes.digest().encode())
    digest.update("\0".join(sorted(held_out)).encode())
    return digest.hexdigest()


def _rows(scenes: Scenes, chosen: np.ndarray) -> int:
    frames = np.repeat(chosen, np.diff(scenes.first))
    return int(np.isfinite(scenes.xy_m[frames]).all(axis=-1).sum())


def _people(scenes: Scenes, chosen: np.ndarray) -> set[str]:
    there = (scenes.team[chosen] != NOBODY) & (scenes.team[chosen] != BALL_TEAM)
    return set(scenes.player[chosen][there].tolist())
