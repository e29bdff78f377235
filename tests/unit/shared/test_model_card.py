"""Cards and channels: what cannot be read is an error of ours."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from shared.errors import ModelIncompatible, ModelUntrusted
from shared.features.athlete import ATHLETE_EFFORT
from shared.model_card import Tensor, file_sha256, read_card, tensor, write_card
from shared.release import Channel, card_target, model_target, read_channel
from tests.factories import model_card


def test_card_when_written_and_read_then_it_is_the_same(tmp_path: Path) -> None:
    """Rule: a card survives its file."""
    card = model_card("0" * 64)
    write_card(card, tmp_path / "card.json")
    assert read_card(tmp_path / "card.json") == card


def test_card_when_its_version_is_unknown_then_it_is_refused(tmp_path: Path) -> None:
    """Rule: a newer card may mean something else."""
    write_card(msgspec.structs.replace(model_card("0" * 64), card_version=2), tmp_path / "card.json")
    with pytest.raises(ModelIncompatible, match="version 2"):
        read_card(tmp_path / "card.json")


@pytest.mark.parametrize("body", [None, b"", b"{}", b'{"name": 1}', b'{"name": "\xff"}'])
def test_card_when_it_cannot_be_read_then_it_is_incompatible(tmp_path: Path, body: bytes | None) -> None:
    """Rule: whatever the bytes, the error is ours."""
    if body is not None:
        (tmp_path / "card.json").write_bytes(body)
    with pytest.raises(ModelIncompatible, match="cannot be read"):
        read_card(tmp_path / "card.json")


def test_tensor_when_its_shape_does_not_fit_then_it_is_incompatible() -> None:
    """Rule: golden vectors are checked before they are used."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(tensor(array).array(), array)
    with pytest.raises(ModelIncompatible, match="5 values"):
        Tensor(shape=[2, 3], values=[0.0] * 5).array()


def test_sha256_when_a_byte_changes_then_it_is_another(tmp_path: Path) -> None:
    """Rule: the digest is of the exact bytes (FIPS 180-4 example: 'abc')."""
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    assert file_sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"models": {"effort": 1}}', b'{"models": {}, "x": 1}', b'{"models": {"\xff": "1"}}']
)
def test_channel_when_it_cannot_be_read_then_it_is_untrusted(body: bytes) -> None:
    """Rule: a channel that is none changes nothing."""
    with pytest.raises(ModelUntrusted):
        read_channel(body)


def test_channel_when_read_then_it_names_versions_and_targets_follow() -> None:
    """Rule: the names that the cloud signs are those that a gateway asks for."""
    assert read_channel(b'{"models": {"effort": "1.2.0"}}') == Channel(models={"effort": "1.2.0"})
    assert model_target("effort", "1.2.0") == "models/effort/1.2.0/model.onnx"
    assert card_target("effort", "1.2.0") == "models/effort/1.2.0/card.json"


def test_card_when_movement_is_beyond_what_it_was_fitted_on_then_the_row_is_not_covered() -> None:
    """A row counts as covered only if every feature with a range lies inside it; others do not matter."""
    card = msgspec.structs.replace(model_card("0" * 64), ranges={"speed_mean_5s": (1.0, 4.0)})
    rows = np.zeros((4, len(ATHLETE_EFFORT.features)), np.float32)
    rows[:, 0] = (0.5, 1.0, 4.0, 4.5)
    rows[:, -1] = 1e6
    assert card.covers(ATHLETE_EFFORT, rows).tolist() == [False, True, True, False]
    assert model_card("0" * 64).covers(ATHLETE_EFFORT, rows).all()
