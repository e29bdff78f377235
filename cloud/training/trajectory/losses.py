"""What fitting makes small."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from cloud.training.trajectory.decoder import Answer
from cloud.training.trajectory.moments import GraphBatch
from cloud.training.trajectory.settings import TrajectorySettings
from shared.features.team import BALL_TEAM

_NEAR_M = 0.02
_LEAST_STEP_M = 0.01
_LOG_2_PI = math.log(2.0 * math.pi)
_OTHERS = 0.05
"""Weight of the modes that did not win: none is left where nobody ever goes."""


def loss(
    settings: TrajectorySettings, spread: Tensor, batch: GraphBatch, answer: Answer, *, progress: float = 1.0
) -> Tensor:
    """Return one number for a batch; `spread` [2,H] m is the unit of error at each step, `progress` 0..1 of fitting.

    Distance, Gaussian negative log likelihood, errors of velocity and acceleration, the mixture's and the coverage's,
    each with the weight of the settings. What was not recorded does not count.
    """
    is_ball = (batch.team == BALL_TEAM).to(spread.dtype)[..., None]
    scale = spread[0] * (1.0 - is_ball) + spread[1] * is_ball
    weight = batch.known * (1.0 + (settings.ball_weight - 1.0) * is_ball)
    error = (answer.offset - batch.future) * batch.known[..., None]
    value = settings.point_weight * distance(error, settings.huber_m) / scale
    if settings.likelihood_weight and settings.decoder != "deterministic":
        likelihood = gaussian_nll(error, answer.sigma) - 2.0 * scale.log() - _LOG_2_PI
        value = value + settings.likelihood_weight * likelihood
    if settings.velocity_weight:
        grown = scale.diff(dim=-1, prepend=torch.zeros_like(scale[..., :1])).clamp(min=_LEAST_STEP_M)
        value = value + settings.velocity_weight * distance(changes(error)) / grown
    if settings.acceleration_weight:
        # What a linear forecast misses in one step is what nobody can know of the next change of speed.
        value = value + settings.acceleration_weight * distance(changes(changes(error))) / scale[..., :1]
    result = (value * weight).sum() / weight.sum().clamp(min=1.0)
    if answer.modes is not None:
        result = result + mixture_loss(batch, answer, scale, weight, progress)
    if answer.coverage_logit is not None:
        result = result + settings.coverage_weight * coverage_loss(batch.coverage, answer.coverage_logit)
    return result


def distance(error: Tensor, huber_m: float = 0.0) -> Tensor:
    """Return lengths [...] in m of vectors [...,2]; with `huber_m`, squared over twice that below it (Huber, 1964)."""
    length = (error.square().sum(-1) + _NEAR_M**2).sqrt()
    if not huber_m:
        return length
    return torch.where(length < huber_m, length.square() / (2.0 * huber_m), length - 0.5 * huber_m)


def changes(error: Tensor) -> Tensor:
    """Return how errors [...,H,2] grow from step to step, the first from 0."""
    return functional.pad(error, (0, 0, 1, 0)).diff(dim=-2)


def gaussian_nll(error: Tensor, sigma: Tensor) -> Tensor:
    """Return negative log likelihoods [...] of errors [...,2] under independent Gaussians of `sigma` [...,2]."""
    return (0.5 * (error / sigma).square() + sigma.log()).sum(-1) + _LOG_2_PI


def mixture_loss(batch: GraphBatch, answer: Answer, scale: Tensor, weight: Tensor, progress: float) -> Tensor:
    """Return the loss of the modes: at first the best mode takes all, later more and more the mixture's likelihood.

    The likelihood alone, from the beginning, lets one mode do everything and the others nothing.
    """
    if answer.modes is None or answer.mode_sigma is None or answer.mode_logit is None:
        raise ValueError("an answer without modes has no mixture")
    error = (answer.modes - batch.future[:, :, None]) * batch.known[:, :, None, :, None]
    steps = weight.sum(-1).clamp(min=1.0)
    far = (distance(error) / scale[:, :, None] * weight[:, :, None]).sum(-1) / steps[..., None]
    nll = ((gaussian_nll(error, answer.mode_sigma) - 2.0 * scale[:, :, None].log()) * weight[:, :, None]).sum(-1)
    nll = nll / steps[..., None]
    here = (weight.sum(-1) > 0).to(far.dtype)
    best = far.detach().argmin(-1)
    winner = far.gather(-1, best[..., None])[..., 0] + nll.gather(-1, best[..., None])[..., 0]
    log_share = functional.log_softmax(answer.mode_logit, -1)
    chosen = -log_share.gather(-1, best[..., None])[..., 0]
    takes_all = winner + _OTHERS * far.mean(-1) + chosen
    likelihood = -torch.logsumexp(log_share - nll, -1)
    value = (1.0 - progress) * takes_all + progress * likelihood
    return (value * here).sum() / here.sum().clamp(min=1.0)


def coverage_loss(coverage: Tensor, logit: Tensor) -> Tensor:
    """Return the cross entropy of man (0) and zone (1) where it is known (not -1)."""
    known = (coverage >= 0).to(logit.dtype)
    each = functional.binary_cross_entropy_with_logits(logit, coverage.clamp(min=0.0), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1.0)
