"""The model with its loss, learning rate and running mean of weights, as Lightning wants them."""

import copy
import math
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cloud.training.trajectory.augment import augment
from cloud.training.trajectory.losses import loss
from cloud.training.trajectory.model import TrajectoryModel
from cloud.training.trajectory.moments import GraphBatch, Moments
from cloud.training.trajectory.settings import TrajectorySettings
from cloud.training.trajectory.validation import validation_batches, validation_metrics, validation_sums
from shared.clock import NS_PER_S, Clock

_SEEDS = 1_000_003
_NS_PER_MINUTE = 60 * NS_PER_S
STATE = "sideline"


class Fitting(pl.LightningModule):
    """Draws its own batches: a batch depends on the seed and its number alone, so that a resumed run is the same run.

    `model` learns, `mean` is the running mean of its weights, the one that counts.
    """

    def __init__(
        self,
        model: TrajectoryModel,
        settings: TrajectorySettings,
        clock: Clock,
        moments: Moments,
        validation: Moments | None,
    ) -> None:
        super().__init__()
        self.model = model
        self.mean = copy.deepcopy(model).requires_grad_(requires_grad=False).eval()
        self.settings = settings
        self.learning_rate = settings.learning_rate
        self.found: list[tuple[int, dict[str, float]]] = []
        self._moments, self._validation = moments, validation
        self._looks = [] if validation is None else validation_batches(validation)
        self._clock = clock
        self._began_ns = clock.mono_ns()
        self._spent_ns = 0
        self._drawn = 0
        self._found_before = 0
        self._order: tuple[int, Tensor] | None = None
        self._sums: list[Tensor] = []
        # Kept out of the modules: a compiled model shares the weights and must not be saved twice.
        self._run: list[Callable[..., Any]] = [torch.compile(model) if settings.compile else model]

    @property
    def looks(self) -> int:
        """How many batches a look at the validation games takes."""
        return len(self._looks)

    @property
    def looked(self) -> bool:
        """Whether the newest look was taken since fitting began or was resumed."""
        return len(self.found) > self._found_before

    def on_fit_start(self) -> None:
        """Move all moments to the device once; nothing is carried over in a step."""
        for moments in (self._moments, self._validation):
            if moments is not None:
                moments.to(self.device)
        self._looks = [look.to(self.device) for look in self._looks]

    def progress(self) -> float:
        """Return how far fitting is, 0..1, by steps or by time, whichever is further."""
        spent_ns = self._spent_ns + self._clock.mono_ns() - self._began_ns
        done = max(self.global_step / self.settings.steps, spent_ns / _NS_PER_MINUTE / self.settings.max_minutes)
        if self.trainer.world_size > 1:  # all processes must take the same step
            done = self.trainer.strategy.broadcast(done)
        return min(1.0, done)

    def training_step(self, _number: Tensor, _index: int) -> Tensor:
        """Return the loss of the next batch."""
        seen = augment(self.draw(), self.settings, self._moments.field)
        batch, turn = seen
        answer = self._run[0](batch.history, batch.role, batch.team, batch.mask, turn)
        return loss(self.settings, self.model.spread, batch, answer, progress=self.progress())

    def draw(self) -> GraphBatch:
        """Return the next batch: every moment once before any comes twice, in a random order."""
        settings, world = self.settings, self.trainer.world_size
        number = self._drawn * world + self.trainer.global_rank
        self._drawn += 1
        torch.manual_seed(settings.seed * _SEEDS + number)
        positions = torch.arange(number * settings.batch, (number + 1) * settings.batch)
        epoch, place = positions // len(self._moments), positions % len(self._moments)
        picked = torch.empty_like(positions)
        for wanted in sorted(set(epoch.tolist())):
            here = epoch == wanted
            picked[here] = self._shuffled(wanted)[place[here]]
        return self._moments.gather(picked)

    def on_train_batch_end(self, *_: object) -> None:
        """Take the new weights into the running mean, and stop when steps or time are over."""
        # Early on the mean follows faster: the first weights are not worth remembering.
        decay = min(self.settings.ema, (1.0 + self.global_step) / (10.0 + self.global_step))
        with torch.no_grad():
            mean: list[Tensor] = list(self.mean.parameters())
            now: list[Tensor] = list(self.model.parameters())
            torch._foreach_lerp_(mean, now, 1.0 - decay)  # one call for all weights
        if self.progress() >= 1.0:
            self.trainer.should_stop = True

    def validation_step(self, _number: Tensor, index: int) -> None:
        """Measure the mean weights on one batch of the validation games."""
        if self._validation is not None:
            with torch.autocast(self.device.type, enabled=False):
                self._sums.append(validation_sums(self.mean, self._validation.at(self._looks[index])))

    def on_validation_epoch_end(self) -> None:
        """Note what was measured."""
        if not self._sums or self.trainer.sanity_checking:
            return
        found = validation_metrics(self.mean, torch.stack(self._sums).sum(0))
        self._sums.clear()
        self.found.append((self.global_step, found | {"minutes": self._spent_minutes()}))

    def on_train_epoch_end(self) -> None:
        """Log the newest look; a resumed run passes the end of its last round again, without another look."""
        if self.found:
            self.log_dict(self.found[-1][1])

    def configure_optimizers(self) -> Any:
        """Return AdamW whose rate warms up and, in the last part of the run, falls along a half cosine."""
        settings = self.settings
        optimizer = torch.optim.AdamW(
            self.model.parameters(),
            self.learning_rate,
            weight_decay=settings.weight_decay,
            betas=(0.9, 0.98),
            fused=self.device.type == "cuda",
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, self.progress(), settings))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep which batch comes next and how long fitting has taken."""
        spent_ns = self._spent_ns + self._clock.mono_ns() - self._began_ns
        checkpoint[STATE] = {"drawn": self._drawn, "spent_ns": spent_ns, "found": self.found}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the run was left."""
        kept = checkpoint[STATE]
        self._drawn, self._spent_ns, self.found = kept["drawn"], kept["spent_ns"], list(kept["found"])
        self._found_before = len(self.found)
        self._began_ns = self._clock.mono_ns()

    def _shuffled(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(self.settings.seed * _SEEDS + epoch)
            self._order = (epoch, torch.randperm(len(self._moments), generator=generator))
        return self._order[1]

    def _spent_minutes(self) -> float:
        return (self._spent_ns + self._clock.mono_ns() - self._began_ns) / _NS_PER_MINUTE


def rate(step: int, progress: float, settings: TrajectorySettings) -> float:
    """Return the share of the learning rate at a step."""
    warm = min(1.0, (step + 1) / max(settings.warm_up_steps, 1))
    falling = min(1.0, max(0.0, progress - (1.0 - settings.decay)) / max(settings.decay, 1e-9))
    return warm * (0.5 * (1.0 + math.cos(math.pi * falling)) * 0.98 + 0.02)
