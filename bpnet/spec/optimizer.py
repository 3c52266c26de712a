"""What the `optimizer` and `loss` sections of a training spec say."""

from dataclasses import dataclass

from bpnet.spec.settings import setting


@dataclass(frozen=True)
class SoftstartAnnealingLearningRateSchedule:
    """Up, along and down again, linear in the logarithm of the rate."""

    base_learning_rate: float = setting("Rate of the plateau.", default=2e-5, minimum=0.0)
    min_learning_rate: float = setting("Rate at both ends.", default=8e-8, minimum=0.0)
    soft_start: float = setting(
        "Part of the training that the rise takes.", default=0.05, minimum=0.0, maximum=1.0
    )
    annealing: float = setting(
        "Part of the training after which the fall begins.", default=0.5, minimum=0.0, maximum=1.0
    )
    last_step: int | None = setting(
        "Last step.", default=None, no_effect="it is num_epoch times the steps of an epoch"
    )


@dataclass(frozen=True)
class BpNetExponentialDecayLRSchedule:
    """rate * decay_rate ** (epoch / decay_epochs), not below the least."""

    learning_rate: float = setting("Rate at the start.", default=2e-5, minimum=0.0)
    decay_epochs: float = setting("Epochs of one decay.", default=17, minimum=0.001)
    decay_rate: float = setting("Factor of one decay.", default=0.333, minimum=0.0, maximum=1.0)
    staircase: bool = setting("Decay in whole steps.", default=True)
    min_learning_rate: float = setting("Least rate.", default=8.18938e-8, minimum=0.0)


@dataclass(frozen=True)
class CosineLearningRateSchedule:
    """Up in a straight line, then down by half a cosine."""

    base_learning_rate: float = setting("Rate after the rise.", default=2e-5, minimum=0.0)
    min_learning_rate: float = setting("Rate at the end.", default=8e-8, minimum=0.0)
    warm_up: float = setting(
        "Part of the training that the rise takes.", default=0.05, minimum=0.0, maximum=1.0
    )


@dataclass(frozen=True)
class OptimizerSettings:
    """What every optimizer has."""

    learning_rate_schedule: (
        SoftstartAnnealingLearningRateSchedule
        | BpNetExponentialDecayLRSchedule
        | CosineLearningRateSchedule
    ) = setting("Learning rate.", factory=SoftstartAnnealingLearningRateSchedule)
    grad_weights_dict: dict[str, float] | None = setting(
        "Factor of each layer, by name; on top of the stage-wise ones.", default=None
    )
    weight_default_value: float = setting(
        "Factor of every layer that has none of its own.", default=1.0, minimum=0.0
    )


@dataclass(frozen=True)
class WeightedMomentumOptimizer(OptimizerSettings):
    """Momentum, with a factor on each weight's gradient (stage-wise learning rates)."""

    momentum: float = setting("Momentum.", default=0.9, minimum=0.0, maximum=1.0)
    use_nesterov: bool = setting("Nesterov momentum.", default=False)


@dataclass(frozen=True)
class AdamWOptimizer(OptimizerSettings):
    """AdamW (Loshchilov & Hutter, 2019), with the same factors."""

    beta_1: float = setting("Decay of the mean gradient.", default=0.9, minimum=0.0, maximum=1.0)
    beta_2: float = setting(
        "Decay of the mean squared gradient.", default=0.999, minimum=0.0, maximum=1.0
    )
    weight_decay: float = setting("Decoupled weight decay of kernels.", default=0.0, minimum=0.0)


@dataclass(frozen=True)
class MuonOptimizer(AdamWOptimizer):
    """Muon (Jordan et al., 2024) for the kernels of convolutions, AdamW for all other weights."""

    momentum: float = setting(
        "Decay of the kernels' mean gradient.", default=0.95, minimum=0.0, maximum=0.999
    )


@dataclass(frozen=True)
class FocalLossParams:
    """Focal L2 (Li et al., 1911.10529)."""

    use_focal_loss: bool = setting("Weight hard cells up.", default=False)
    alpha: float = setting("Foreground offset.", default=0.1)
    beta: float = setting("Background offset.", default=0.02)
    bkg_thresh: float = setting(
        "Targets whose magnitude is above this are foreground.", default=0.01, minimum=0.0
    )
    gamma: float = setting("Exponent.", default=1.0, minimum=0.0)


@dataclass(frozen=True)
class Distillation:
    """Learning from a trained network as well (Zhang et al., 2019, arXiv 1811.05419)."""

    teacher: str = setting(
        "Model file of the trained network, such as the one before pruning. It draws the maps of "
        "every batch, at a forward pass a batch, and is not changed."
    )
    key: str | None = setting(
        "Key of the teacher's file where it is not the training's own.", default=None, secret=True
    )
    weight: float = setting(
        "Part of the loss that is against the teacher's maps; the rest is against the labels, so "
        "that the learning rate may stay as it is.",
        default=0.5,
        minimum=0.01,
        maximum=1.0,
    )


@dataclass(frozen=True)
class BpNetLoss:
    """Masked squared error of every stage."""

    focal_loss_params: FocalLossParams = setting("Focal L2.", factory=FocalLossParams)
    foreground_weight: float = setting(
        "Squared errors of heatmaps count this many times where a keypoint is drawn; above 1, "
        "slim networks and short trainings find people sooner.",
        default=1.0,
        minimum=0.0,
    )
    distillation: Distillation | None = setting(
        "A trained network whose maps are further targets; null: labels alone.", default=None
    )
