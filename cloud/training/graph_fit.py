"""Fitting of the trajectory model: augmented moments, a likelihood, a running mean of the weights."""

import copy
import logging
import math
import warnings
from collections.abc import Iterator

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.utilities.warnings import PossibleUserWarning  # type: ignore[attr-defined]
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from cloud.training.graph_data import GraphBatch, Moments
from cloud.training.graph_model import TrajectoryModel
from cloud.training.settings import TrajectorySettings
from shared.clock import NS_PER_S, Clock
from shared.features.team import BALL_TEAM

_NEAR_M = 0.02
_LINEAR_MOMENTS = 20_000
_RIDGE = 1.0
_FLOOR = 0.02


def fit_linear(moments: Moments, seed: int) -> tuple[Tensor, Tensor]:
    """Return ridge weights [2,10,20] from the last steps to each step ahead, and their residual spread [2,20] in m.

    Athletes (0) and the ball (1) apart; both axes share the weights, so that the forecast turns with the field.
    """
    count = min(len(moments), _LINEAR_MOMENTS)
    picked = np.sort(np.random.default_rng(seed).choice(len(moments), count, replace=False))
    weights, spreads = [], []
    batch = moments.gather(picked)
    for is_ball in (False, True):
        here = (batch.known.all(-1)) & ((batch.team == BALL_TEAM) == is_ball)
        if not here.any():  # a squad without a tagged ball: what holds for athletes has to do
            here = batch.known.all(-1)
        steps = batch.history[here].diff(dim=1).transpose(1, 2).reshape(-1, batch.history.shape[2] - 1).double()
        ahead = batch.future[here].transpose(1, 2).reshape(len(steps), -1).double()
        gram = steps.T @ steps + _RIDGE * torch.eye(steps.shape[1], dtype=torch.float64)
        solved = torch.linalg.solve(gram, steps.T @ ahead)
        weights.append(solved.float())
        spreads.append((ahead - steps @ solved).square().mean(0).sqrt().clamp(min=_FLOOR).float())
    return torch.stack(weights), torch.stack(spreads)


def augment(batch: GraphBatch, settings: TrajectorySettings, rng: np.random.Generator) -> GraphBatch:
    """Return the moments turned, mirrored, and with some players taken away."""
    count, players = batch.mask.shape
    turned = rng.random(count) < settings.rotate
    angle = np.where(turned, rng.uniform(-math.pi, math.pi, count), 0.0)
    flip = np.where(rng.random(count) < settings.mirror, -1.0, 1.0)
    rows = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle) * flip, np.cos(angle) * flip], -1)
    turn = torch.from_numpy(rows.reshape(count, 1, 2, 2).astype(np.float32))
    centre = batch.history[:, :1, -1:]  # turned about a player, so that numbers stay small
    history = ((batch.history - centre).flatten(1, 2) @ turn[:, 0]).view_as(batch.history)
    future = (batch.future.flatten(1, 2) @ turn[:, 0]).view_as(batch.future)
    share = np.where(rng.random(count) < settings.drop_graphs, rng.uniform(0, settings.drop_players, count), 0.0)
    kept = torch.from_numpy(rng.random((count, players)) >= share[:, None]).float()
    mask = batch.mask * kept
    return GraphBatch(
        history * mask[..., None, None],
        batch.team,
        mask,
        future * mask[..., None, None],
        batch.known * mask[..., None],
    )


class _Batches(IterableDataset[GraphBatch]):
    """Endless random batches; every step of a session may be the newest one."""

    def __init__(self, moments: Moments, settings: TrajectorySettings) -> None:
        self._moments = moments
        self._settings = settings

    def __iter__(self) -> Iterator[GraphBatch]:
        rng = np.random.default_rng(self._settings.seed)
        while True:
            picked = rng.integers(0, len(self._moments), self._settings.batch)
            yield augment(self._moments.gather(picked), self._settings, rng)


class _Fitting(pl.LightningModule):
    """The model with its loss, learning rate and running mean, as Lightning wants them."""

    def __init__(self, model: TrajectoryModel, settings: TrajectorySettings, clock: Clock) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        self.mean = copy.deepcopy(model).requires_grad_(requires_grad=False)
        self.losses: list[float] = []
        self._clock = clock
        self._began_ns = clock.mono_ns()

    def progress(self) -> float:
        """Return how far fitting is, 0..1, by steps or by time, whichever is further."""
        minutes = (self._clock.mono_ns() - self._began_ns) / NS_PER_S / 60.0
        return max(self.global_step / self.settings.steps, minutes / self.settings.max_minutes)

    def training_step(self, batch: GraphBatch, _index: int) -> Tensor:
        """Return the loss of one batch."""
        offset, sigma = self.model(batch.history, batch.team, batch.mask)
        value = loss(self.model, batch, offset, sigma, self.settings.point_weight)
        if self.global_step % 100 == 0:
            self.losses.append(float(value.detach()))
        return value

    def on_train_batch_start(self, _batch: GraphBatch, _index: int) -> None:
        """Warm up, then let the learning rate fall along a half cosine."""
        warm = min(1.0, (self.global_step + 1) / self.settings.warm_up_steps)
        fall = 0.5 * (1.0 + math.cos(math.pi * min(1.0, self.progress()))) * 0.98 + 0.02
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.settings.learning_rate * warm * fall

    def on_train_batch_end(self, *_: object) -> None:
        """Take the new weights into the running mean, and stop when the time is over."""
        # Early on the mean follows faster: the first weights are not worth remembering.
        decay = min(self.settings.ema, (1.0 + self.global_step) / (10.0 + self.global_step))
        with torch.no_grad():
            for mean, now in zip(self.mean.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(now, 1.0 - decay)
        if self.progress() >= 1.0:
            self.trainer.should_stop = True

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW."""
        settings = self.settings
        return torch.optim.AdamW(
            self.model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98)
        )


def loss(model: TrajectoryModel, batch: GraphBatch, offset: Tensor, sigma: Tensor, point_weight: float) -> Tensor:
    """Return Gaussian negative log likelihood plus the distance in units of the linear forecast's spread."""
    is_ball = (batch.team == BALL_TEAM).float()[..., None]
    scale = model.spread[0] * (1.0 - is_ball) + model.spread[1] * is_ball
    error = offset - batch.future
    likelihood = (0.5 * (error / sigma).square() + torch.log(sigma / scale[..., None])).sum(-1)
    distance = (error.square().sum(-1) + _NEAR_M**2).sqrt() / scale
    return ((likelihood + point_weight * distance) * batch.known).sum() / batch.known.sum().clamp(min=1.0)


def fit(moments: Moments, settings: TrajectorySettings, clock: Clock) -> tuple[TrajectoryModel, int]:
    """Fit a model and return it, in evaluation mode, with the number of steps taken."""
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    model = TrajectoryModel(settings, *fit_linear(moments, settings.seed))
    fitting = _Fitting(model, settings, clock)
    # Lightning greets every run with the hardware it found and a tip.
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = pl.Trainer(
        accelerator="auto",
        devices=1,
        max_steps=settings.steps,
        max_epochs=-1,
        gradient_clip_val=settings.gradient_clip,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        # Batches are drawn in this process on purpose: gathering them costs less than handing them over.
        warnings.simplefilter("ignore", PossibleUserWarning)
        # Lightning 2.6 asks torch 2.13 in a way that goes out of use.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        trainer.fit(fitting, DataLoader(_Batches(moments, settings), batch_size=None))
    return fitting.mean.cpu().eval(), trainer.global_step
