"""Fitting of the trajectory model: a trainer around it, with checkpoints, early stopping and a guard against NaN."""

import logging
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import msgspec
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.tuner.tuning import Tuner
from lightning.pytorch.utilities.warnings import PossibleUserWarning  # type: ignore[attr-defined]
from torch.utils.data import DataLoader

from cloud.training.trajectory.lightning_model import STATE, Fitting
from cloud.training.trajectory.linear import fit_linear
from cloud.training.trajectory.model import TrajectoryModel
from cloud.training.trajectory.moments import Moments
from cloud.training.trajectory.settings import TrajectorySettings
from cloud.training.trajectory.validation import SCORE, validation_errors
from shared.clock import Clock
from shared.errors import ConfigError, ModelIncompatible

Report = Callable[[int, Mapping[str, float]], None]
_KEPT = 3
_NO_END = 1e9
_CHECK_EVERY_ON_GPU = 50
"""Steps; to look at a loss on a GPU is to wait for it."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to fit, where that does not change what is fitted (but for the order of sums)."""

    folder: Path | None = None
    """Where checkpoints lie: `last.ckpt` and the three best on the validation games; None keeps none."""
    resume_from: Path | None = None
    devices: int = 1
    deterministic: bool = False
    progress_bar: bool = False


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted model in evaluation mode, the steps taken, and the validation metrics by step and minute."""

    model: TrajectoryModel
    steps: int
    found: list[tuple[int, dict[str, float]]]


def is_leader() -> bool:
    """Return whether this is the first of the training processes; Lightning numbers those that it starts."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def fit(
    moments: Moments,
    settings: TrajectorySettings,
    clock: Clock,
    *,
    validation: Moments | None = None,
    options: Options | None = None,
    report: Report | None = None,
) -> Fitted:
    """Fit a model; with validation games the weights that did best on them are returned.

    Raises: ConfigError when a checkpoint to resume from does not fit; ModelIncompatible when the loss is no number.
    """
    options = options or Options()
    fitting = _fitting(moments, settings, clock, validation)
    callbacks: list[Callback] = [NanGuard()]
    best = ModelCheckpoint(
        dirpath=options.folder, filename="step{step}", auto_insert_metric_name=False, enable_version_counter=False,
        save_top_k=_KEPT, monitor=SCORE, save_on_train_epoch_end=True,
    )  # fmt: skip
    if options.folder is not None:
        # Lightning's save_last writes only together with one of the best: a run that is past its best would lose more.
        newest = ModelCheckpoint(
            dirpath=options.folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True
        )
        callbacks += [newest] if validation is None else [newest, best]
    if validation is not None:
        callbacks.append(_Patience(SCORE, patience=settings.patience, check_on_train_epoch_end=True))
    if report is not None:
        callbacks.append(_Reporter(report))
    trainer = _trainer(settings, options, callbacks)
    with _quiet():
        rounds, looks = _counting(settings.validate_every * settings.accumulate), _counting(fitting.looks)
        trainer.fit(fitting, rounds, looks if fitting.looks else None, ckpt_path=_resumed(options.resume_from, fitting))
    model = fitting.mean.cpu().eval()
    # A run that was resumed with another folder may name a file of the old one.
    if validation is not None and best.best_model_path and Path(best.best_model_path).is_file():
        _take_better(model, validation, Path(best.best_model_path))
    return Fitted(model=model, steps=trainer.global_step, found=fitting.found)


def find_learning_rate(moments: Moments, settings: TrajectorySettings, clock: Clock, *, steps: int = 100) -> float:
    """Return the rate at which the loss falls fastest while the rate grows (Smith, 2017).

    Raises: ModelIncompatible when no rate made it fall.
    """
    longer = msgspec.structs.replace(settings, steps=10 * steps, max_minutes=_NO_END)
    fitting = _fitting(moments, longer, clock, None)
    trainer = _trainer(longer, Options(), [])
    with _quiet():
        found = Tuner(trainer).lr_find(
            fitting, train_dataloaders=_counting(steps), num_training=steps, update_attr=False
        )
    suggested = None if found is None else found.suggestion()
    if suggested is None:
        raise ModelIncompatible("no learning rate made the loss fall; are the recordings all alike?")
    return float(suggested)


class NanGuard(Callback):
    """Ends a run whose loss is no number any more, saying so, instead of training on."""

    def on_train_batch_end(self, trainer: pl.Trainer, _module: pl.LightningModule, outputs: Any, *_: object) -> None:
        """Look at the loss; on a GPU only now and then.

        Raises: ModelIncompatible.
        """
        value = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if value.is_cuda and trainer.global_step % _CHECK_EVERY_ON_GPU:
            return
        if not torch.isfinite(value):
            raise ModelIncompatible(
                f"training diverged: the loss is {float(value)} at step {trainer.global_step}; "
                "try a lower --learning-rate or --gradient-clip-val, or --precision 32-true"
            )


class _Patience(EarlyStopping):
    """Counts every look once, also where a resumed run passes the end of its last round again."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not isinstance(pl_module, Fitting) or pl_module.looked:
            super().on_train_epoch_end(trainer, pl_module)
        elif self.wait_count >= self.patience:
            trainer.should_stop = True


class _Reporter(Callback):
    """Hands every look at the validation games on, once."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and isinstance(pl_module, Fitting) and pl_module.looked:
            self._report(*pl_module.found[-1])


def _fitting(moments: Moments, settings: TrajectorySettings, clock: Clock, validation: Moments | None) -> Fitting:
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    model = TrajectoryModel(settings, *fit_linear(moments, settings.seed), moments.field)
    return Fitting(model, settings, clock, moments, validation)


def _trainer(settings: TrajectorySettings, options: Options, callbacks: list[Callback]) -> pl.Trainer:
    # Lightning greets every run with the hardware it found and a tip.
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with _quiet():
        return pl.Trainer(
            accelerator="auto",
            devices=options.devices,
            strategy="ddp" if options.devices > 1 else "auto",
            precision=settings.precision,
            max_steps=settings.steps,
            max_epochs=-1,
            accumulate_grad_batches=settings.accumulate,
            gradient_clip_val=settings.gradient_clip,
            deterministic="warn" if options.deterministic else None,
            callbacks=callbacks,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=any(isinstance(one, ModelCheckpoint) for one in callbacks),
            enable_progress_bar=options.progress_bar,
            enable_model_summary=False,
        )


def _counting(count: int) -> "DataLoader[int]":
    """Return a loader that only counts: batches are drawn where they are used, and a round ends with a look."""
    numbers: Any = range(count)
    return DataLoader(numbers, batch_size=None)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what a checkpoint of a training holds.

    Raises: ConfigError when the file is not there, damaged, or something else.
    """
    if not path.is_file():
        raise ConfigError(str(path), "no such file")
    try:  # what torch saves is a zip file, whose end says whether it is whole
        kept = torch.load(path, map_location="cpu", weights_only=True) if zipfile.is_zipfile(path) else None
    except (RuntimeError, pickle.UnpicklingError) as exc:
        raise ConfigError(str(path), "is no checkpoint of a training, or is damaged") from exc
    if not isinstance(kept, dict) or not {STATE, "state_dict"} <= kept.keys():
        raise ConfigError(str(path), "is no checkpoint of a training, or is damaged")
    return kept


def _resumed(path: Path | None, fitting: Fitting) -> str | None:
    """Return the checkpoint to resume from. Raises: ConfigError when it is of another model."""
    if path is None:
        return None
    try:
        fitting.load_state_dict(read_checkpoint(path)["state_dict"])
    except RuntimeError as exc:
        raise ConfigError(str(path), "holds the weights of a model of another configuration") from exc
    return str(path)


def _take_better(model: TrajectoryModel, validation: Moments, path: Path) -> None:
    """Load the best checkpoint's mean weights into `model` where they do better on the validation games."""
    validation.to(torch.device("cpu"))
    now = {name: value.clone() for name, value in model.state_dict().items()}
    last = validation_errors(model, validation)[SCORE]
    kept = torch.load(path, map_location="cpu", weights_only=False)["state_dict"]
    model.load_state_dict({name[len("mean.") :]: value for name, value in kept.items() if name.startswith("mean.")})
    if validation_errors(model, validation)[SCORE] >= last:
        model.load_state_dict(now)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # Batches are drawn in this process on purpose: gathering them costs less than handing them over.
        warnings.simplefilter("ignore", PossibleUserWarning)
        # A resumed run goes on in the folder that it was in.
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty", UserWarning)
        # One that keeps no checkpoints takes up those of one that did.
        warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`", UserWarning)
        # Lightning 2.6 asks torch 2.13 in a way that goes out of use.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        yield
