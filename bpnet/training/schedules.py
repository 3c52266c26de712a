"""Learning rates. Plain functions of how far the training is: the trainer asks before every step.

They are no ``keras`` schedules because a training with a time budget is as far as the clock says,
which a step number alone cannot tell.
"""

import math

from bpnet.spec.optimizer import (
    BpNetExponentialDecayLRSchedule,
    CosineLearningRateSchedule,
    SoftstartAnnealingLearningRateSchedule,
)

Schedule = (
    SoftstartAnnealingLearningRateSchedule
    | BpNetExponentialDecayLRSchedule
    | CosineLearningRateSchedule
)


def learning_rate(
    schedule: Schedule,
    *,
    progress: float,
    epochs: int,
) -> float:
    """The rate at ``progress`` (0..1) of a training of ``epochs`` epochs."""
    if isinstance(schedule, SoftstartAnnealingLearningRateSchedule):
        return softstart_annealing(
            progress,
            base=schedule.base_learning_rate,
            least=schedule.min_learning_rate,
            soft_start=schedule.soft_start,
            annealing=schedule.annealing,
        )
    if isinstance(schedule, CosineLearningRateSchedule):
        return cosine(
            progress,
            base=schedule.base_learning_rate,
            least=schedule.min_learning_rate,
            warm_up=schedule.warm_up,
        )
    return exponential_decay(
        progress * epochs,
        base=schedule.learning_rate,
        least=schedule.min_learning_rate,
        decay_epochs=schedule.decay_epochs,
        decay_rate=schedule.decay_rate,
        staircase=schedule.staircase,
    )


def softstart_annealing(
    progress: float, *, base: float, least: float, soft_start: float, annealing: float
) -> float:
    """Up from ``least`` to ``base``, along, and down again: straight lines in the rate's logarithm.

    Args:
        progress: Part of the training done, 0..1.
        base: Rate of the plateau.
        least: Rate at both ends; 0 makes the lines straight in the rate itself.
        soft_start: Progress at which the rise ends; 0: no rise.
        annealing: Progress at which the fall begins; 1: no fall.
    """
    progress = min(max(progress, 0.0), 1.0)
    height = 1.0
    if progress < soft_start:
        height = progress / soft_start
    elif progress > annealing:
        height = (1.0 - progress) / (1.0 - annealing)
    if least <= 0.0 or base <= 0.0:
        return least + height * (base - least)
    return math.exp(math.log(least) + height * (math.log(base) - math.log(least)))


def cosine(progress: float, *, base: float, least: float, warm_up: float) -> float:
    """Up from 0 to ``base`` in a straight line, then down to ``least`` by half a cosine.

    Args:
        progress: Part of the training done, 0..1.
        base: Greatest rate.
        least: Rate at the end.
        warm_up: Progress at which the rise ends; 0: no rise.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < warm_up:
        return base * progress / warm_up
    fallen = (progress - warm_up) / (1.0 - warm_up) if warm_up < 1.0 else 0.0
    return least + (base - least) * 0.5 * (1.0 + math.cos(math.pi * fallen))


def exponential_decay(
    epoch: float,
    *,
    base: float,
    least: float,
    decay_epochs: float,
    decay_rate: float,
    staircase: bool,
) -> float:
    """``base * decay_rate ** (epoch / decay_epochs)``, in whole decays if ``staircase``."""
    decays = epoch / decay_epochs
    if staircase:
        # The epoch comes from a product of floats: the end of a decay must not be missed by 1e-16.
        decays = math.floor(decays + 1e-9)
    return float(max(least, base * decay_rate**decays))
