from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cloud.registry.release import check_releasable, open_repository, release, rollback, setup_releases
from cloud.settings import Layout
from cloud.training.artifacts import Artifacts
from shared.clock import ManualClock
from shared.errors import ConfigError, ModelIncompatible
from shared.model_card import ModelCard, read_card
from shared.release import CHANNEL_TARGET, card_target, model_target, read_channel

Trained = Callable[..., Path]


def running(layout: Layout, clock: ManualClock) -> dict[str, str]:
    body = open_repository(layout, clock).read(CHANNEL_TARGET)
    assert body is not None
    return read_channel(body).models


def test_setup_when_repeated_then_changes_nothing(layout: Layout, clock: ManualClock) -> None:
    """Keys and root are made once."""
    before = {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()}
    assert not setup_releases(layout, clock)
    assert {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()} == before
    assert running(layout, clock) == {}


def test_release_when_model_fits_its_card_then_is_signed_and_named(
    layout: Layout, clock: ManualClock, trained: Trained
) -> None:
    """Model and card become targets, and the channel names the version; the folder is kept as ours."""
    folder = trained()
    done = release(layout, clock, "effort", source=folder)
    repository = open_repository(layout, clock)
    assert repository.read(model_target("effort", "1.0.0")) == (folder / "model.onnx").read_bytes()
    assert repository.read(card_target("effort", "1.0.0")) == (folder / "card.json").read_bytes()
    assert (done.version, done.previous, done.changed) == ("1.0.0", None, True)
    assert running(layout, clock) == {"effort": "1.0.0"}
    assert Artifacts(layout).next_version("effort") == "1.0.1"
    assert not release(layout, clock, "effort", version="1.0.0").changed


def test_rollback_when_version_was_released_then_channel_names_it_again(
    layout: Layout, clock: ManualClock, trained: Trained
) -> None:
    """A rollback changes only what gateways are told to run; other models stay."""
    for version in ("1.0.0", "1.0.1"):
        release(layout, clock, "effort", source=trained(version=version))
    done = rollback(layout, clock, "effort", "1.0.0")
    assert (done.version, done.previous, done.changed) == ("1.0.0", "1.0.1", True)
    assert running(layout, clock) == {"effort": "1.0.0"}
    assert release(layout, clock, "effort").version == "1.0.1"


@pytest.mark.parametrize("version", ["1.0.1", "0.9.9"])
def test_rollback_when_version_never_was_released_then_refuses(
    layout: Layout, clock: ManualClock, trained: Trained, version: str
) -> None:
    """Only what was signed once can be pointed to."""
    release(layout, clock, "effort", source=trained())
    with pytest.raises(ConfigError, match=r"never released; known: 1\.0\.0"):
        rollback(layout, clock, "effort", version)


def test_release_when_older_than_what_runs_then_refuses(layout: Layout, clock: ManualClock, trained: Trained) -> None:
    """Going back is a decision of its own: rollback."""
    release(layout, clock, "effort", source=trained(version="1.0.1"))
    with pytest.raises(ModelIncompatible, match="use rollback"):
        release(layout, clock, "effort", source=trained(version="1.0.0"))


def test_release_when_version_has_other_bytes_then_refuses(
    layout: Layout, clock: ManualClock, trained: Trained
) -> None:
    """A version never changes once it is known."""
    release(layout, clock, "effort", source=trained())
    with pytest.raises(ModelIncompatible, match="another model"):
        release(layout, clock, "effort", source=trained(folder="other", bias=1.0))


def test_release_when_file_is_not_the_cards_then_refuses(layout: Layout, clock: ManualClock, trained: Trained) -> None:
    """A card speaks of one file, by digest."""
    folder = trained()
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelIncompatible, match="the card speaks of"):
        release(layout, clock, "effort", source=folder)
    assert running(layout, clock) == {}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"metrics": {"mae_bpm": 9.0}}, "not better than its baseline"),
        ({"metrics": {"mae_bpm": float("inf")}}, "cannot be read|not better"),
        ({"metrics": {}}, "does not compare mae_bpm"),
        ({"baseline": {}}, "does not compare mae_bpm"),
        ({"feature_hash": "0" * 64}, "has schema"),
        ({"feature_set": "athlete_effort@9"}, "not known here"),
        ({"outputs": ["other"]}, "not what its card says"),
        ({"golden": []}, "no golden vectors"),
        ({"name": "effort2"}, "holds effort2"),
        ({"card_version": 2}, "version 2 is not known"),
    ],
)
def test_release_when_card_is_not_fit_then_refuses(
    layout: Layout, clock: ManualClock, trained: Trained, change: dict[str, object], problem: str
) -> None:
    """What a gateway would refuse, or what is no better than its baseline, is not signed."""
    with pytest.raises(ModelIncompatible, match=problem):
        release(layout, clock, "effort", source=trained(**change))
    assert running(layout, clock) == {}


def test_release_check_when_golden_vectors_differ_then_refuses(trained: Trained) -> None:
    """The file must give what the trained model gave."""
    card, other = read_card(trained() / "card.json"), trained(folder="other", bias=1.0)
    body = (other / "model.onnx").read_bytes()
    with pytest.raises(ModelIncompatible, match="golden vectors differ by 1"):
        check_releasable(card, body)
    with pytest.raises(ModelIncompatible, match="cannot be loaded"):
        check_releasable(card, b"no model")


def test_release_check_when_model_has_no_known_metric_then_refuses(trained: Trained) -> None:
    """A model of a new name needs a rule for what counts as better."""
    folder = trained()
    card: ModelCard = msgspec.structs.replace(read_card(folder / "card.json"), name="other")
    with pytest.raises(ModelIncompatible, match="no primary metric"):
        check_releasable(card, (folder / "model.onnx").read_bytes())


def test_release_check_when_the_name_does_not_fit_the_features_then_refuses(trained: Trained) -> None:
    """A gateway feeds each model with its own feature set."""
    folder = trained()
    card: ModelCard = msgspec.structs.replace(read_card(folder / "card.json"), name="trajectory")
    with pytest.raises(ModelIncompatible, match="does not run on athlete_effort@1"):
        check_releasable(card, (folder / "model.onnx").read_bytes())


def test_release_check_when_golden_vectors_compare_nothing_then_refuses(trained: Trained) -> None:
    """A golden vector holds every output of the feature set."""
    folder = trained()
    card = read_card(folder / "card.json")
    empty = msgspec.structs.replace(card, golden=[msgspec.structs.replace(card.golden[0], outputs={})])
    with pytest.raises(ModelIncompatible, match="outputs are"):
        check_releasable(empty, (folder / "model.onnx").read_bytes())


def test_release_when_nothing_is_set_up_then_says_what_to_run(
    tmp_path: Path, clock: ManualClock, trained: Trained
) -> None:
    """Without a repository the message names the command that makes one."""
    with pytest.raises(ConfigError, match="release-setup"):
        release(Layout(tmp_path / "none"), clock, "effort", source=trained())


def test_release_when_nothing_was_trained_then_says_so(layout: Layout, clock: ManualClock) -> None:
    """Without a trained model the message names the command that trains one."""
    with pytest.raises(ConfigError, match="cloud train"):
        release(layout, clock, "effort")
