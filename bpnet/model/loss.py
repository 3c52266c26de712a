"""The masked squared error of every stage's maps."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from bpnet.model.outputs import MapStages
from bpnet.spec.optimizer import BpNetLoss, FocalLossParams

_SMALLEST = 1e-12  # under square roots and powers, whose slope at 0 is infinite


def pose_loss(
    outputs: Sequence[Any],
    heatmaps: Any,
    pafs: Any,
    masks: Any,
    *,
    settings: BpNetLoss | None = None,
    stages: MapStages | None = None,
    taught: Sequence[Any] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """The loss of one batch, without regularisation.

    Args:
        outputs: What the network drew: the heatmaps of its stages, then the PAFs.
        heatmaps: Target (N, h, w, K+1).
        pafs: Target (N, h, w, 2L), x in channel 2l and y in 2l+1.
        masks: (N, h, w, 1): 1 where the picture is labelled, 0 where it says nothing.
        settings: Focal loss, foreground weight and distillation; None: the plain squared error.
        stages: Whose maps they are; None: each stage drew both.
        taught: What the teacher drew for each output, of the same shape; None for an output that
            learns from the labels alone. Every cell weighs as much as it does for the labels.

    Returns:
        The sum over outputs of 0.5 * sum(((output - target) * mask)^2) / N, float32, and the share
        of each map and stage in it: "cmap_loss_stage1", "paf_loss_stage1"... Of an output with a
        teacher, ``settings.distillation.weight`` of the sum is against what that drew, and the
        rest against the target; the shares are whole, and "distillation_loss" is all of the former.
    """
    stages = stages or MapStages.in_parallel(len(outputs) // 2)
    numbers = stages.heatmaps + stages.pafs
    if len(outputs) != len(numbers):
        raise ValueError(f"outputs must be the {len(numbers)} of {stages}, not {len(outputs)}")
    heatmaps, pafs, masks = (ops.cast(x, "float32") for x in (heatmaps, pafs, masks))
    settings = settings or BpNetLoss()
    focal = settings.focal_loss_params
    images = ops.cast(ops.shape(heatmaps)[0], "float32")
    shares: dict[str, Any] = {}
    teachers = [None] * len(outputs) if taught is None else taught
    if taught is not None and settings.distillation is None:
        raise ValueError("taught needs settings.distillation")
    weight = settings.distillation.weight if settings.distillation else 0.0
    terms, distilled = [], []
    for index, (number, output, teacher) in enumerate(zip(numbers, outputs, teachers, strict=True)):
        drawn = ops.cast(output, "float32")
        is_paf = index >= len(stages.heatmaps)
        target = pafs if is_paf else heatmaps
        factor = present = None
        if focal.use_focal_loss:
            factor = _focal_factor(drawn, target, focal, vectors=is_paf)
        if settings.foreground_weight != 1.0 and not is_paf:
            present = _shows_keypoint(heatmaps, focal.bkg_thresh)
        errors = [
            _error((drawn - ops.cast(maps, "float32")) * masks, factor, present, settings) / images
            for maps in (target, teacher)
            if maps is not None
        ]
        shares[f"{'paf' if is_paf else 'cmap'}_loss_stage{number}"] = errors[0]
        if teacher is None:
            terms.append(errors[0])
        else:
            terms.append((1.0 - weight) * errors[0] + weight * errors[1])
            distilled.append(errors[1])
    if distilled:
        shares["distillation_loss"] = sum(distilled)
    return sum(terms), shares


def _error(residual: Any, factor: Any, present: Any, settings: BpNetLoss) -> Any:
    """Half the sum of squares of ``residual`` (N, h, w, C).

    Args:
        residual: Masked.
        factor: Focal weight of each cell; None: 1.
        present: Where the target shows a keypoint; None: where all cells count alike.
        settings: The weight of cells that show one.
    """
    error = ops.square(residual if factor is None else residual * factor)
    if present is not None:
        error = ops.where(present, settings.foreground_weight * error, error)
    return 0.5 * ops.sum(error)


def _shows_keypoint(heatmaps: Any, threshold: float) -> Any:
    """Where the target heatmaps show a keypoint; the background channel never does."""
    keypoints = heatmaps[..., :-1] > threshold
    return ops.concatenate([keypoints, ops.zeros_like(keypoints[..., :1])], axis=-1)


def _focal_factor(drawn: Any, target: Any, focal: FocalLossParams, *, vectors: bool) -> Any:
    """The weight of each cell's residual, near 0 where the cell is already right.

    As in https://arxiv.org/abs/1911.10529. A PAF cell is foreground by the length of its vector,
    and right as far as the drawn vector goes along it. (TAO looks at each component by itself and
    takes the negative ones for background.)
    """
    if vectors:
        target_x, target_y = target[..., 0::2], target[..., 1::2]
        drawn_x, drawn_y = drawn[..., 0::2], drawn[..., 1::2]
        present = _length(target_x, target_y)
        along = (drawn_x * target_x + drawn_y * target_y) / present
        stray = _length(drawn_x, drawn_y)
    else:
        present, along, stray = target, drawn, drawn
    rightness = ops.where(present > focal.bkg_thresh, along - focal.alpha, 1.0 - stray - focal.beta)
    factor = ops.power(ops.maximum(ops.abs(1.0 - rightness), _SMALLEST), focal.gamma)
    return ops.repeat(factor, 2, axis=-1) if vectors else factor


def _length(x: Any, y: Any) -> Any:
    """Length of vectors; its gradient at 0 is 0."""
    return ops.sqrt(ops.maximum(ops.square(x) + ops.square(y), _SMALLEST))
