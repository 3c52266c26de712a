"""Validation while training: the loss on the validation records, and average precision.

The precision is COCO's, by the real decoder, on a dataset's ``test_data``.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from bpnet.data.coco import read_subset
from bpnet.data.pipeline import iterate
from bpnet.errors import DataError
from bpnet.inference.keras_backend import KerasBackend
from bpnet.inference.predictor import Predictor, predictor_of
from bpnet.inference.validation import validate
from bpnet.model.loss import pose_loss
from bpnet.model.outputs import stages_of
from bpnet.pose.contract import ModelContract
from bpnet.spec.dataset import DatasetSpec
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.optimizer import BpNetLoss
from bpnet.training.epoch_end import Validate
from bpnet.training.targets import Targets

logger = logging.getLogger(__name__)


def build_validation(
    dataset: DatasetSpec,
    contract: ModelContract,
    *,
    inference: InferenceSpec,
) -> Validate | None:
    """A function (network, epoch) -> {"ap", "ap50"}; None, with a warning, without test data.

    Args:
        dataset: Its ``test_data`` is validated on.
        contract: Skeleton, pixels and strides of the network.
        inference: How images become network inputs and maps become people.

    Raises:
        DataError: The annotation file is damaged.
        SpecError: The dataset spec and the annotation file disagree on the keypoints.
    """
    section = dataset.test_data
    if section is None:
        logger.warning("dataset %s has no test_data: no validation", dataset.dataset)
        return None
    root = Path(dataset.root_directory_path)
    for name in (section.annotation_root_dir_path, section.images_root_dir_path):
        if not (root / name).exists():
            logger.warning("test_data: %s does not exist: no validation", root / name)
            return None
    labels, images = read_subset(dataset, section)
    predictors: dict[int, Predictor] = {}

    def measure(model: keras.Model, epoch: int) -> dict[str, float]:
        # The predictor of a network that goes on learning stays right: it holds its variables.
        if id(model) not in predictors:
            predictors[id(model)] = predictor_of(
                KerasBackend(model, contract, stage=inference.output_stage_to_use), inference
            )
        logger.debug("validating epoch %d on %d images", epoch, len(labels.images))
        try:
            metrics = validate(predictors[id(model)], labels, images).metrics
        except DataError as error:  # nothing to measure is no reason to stop a training
            logger.warning("no validation: %s", error)
            return {}
        return {"ap": metrics.ap, "ap50": metrics.ap50}

    return measure


def build_validation_loss(
    batches: tf.data.Dataset, targets: Targets, *, loss: BpNetLoss
) -> Validate:
    """A function (network, epoch) -> {"val_loss"}: of ``batches``, without regularisers."""
    losses: dict[int, Callable[..., Any]] = {}

    def build(model: keras.Model) -> Callable[..., Any]:
        stages = stages_of(model)

        def of_batch(images: Any, masks: Any, keypoints: Any) -> Any:
            outputs = model(targets.normalise(images), training=False)
            heatmaps, pafs = targets.draw(keypoints)
            return pose_loss(outputs, heatmaps, pafs, masks, settings=loss, stages=stages)[0]

        signature = [batches.element_spec[name] for name in ("images", "masks", "keypoints")]
        return tf.function(of_batch, input_signature=signature)  # type: ignore[no-any-return]

    def measure(model: keras.Model, epoch: int) -> dict[str, float]:
        of_batch = losses.setdefault(id(model), build(model))
        seen = [
            float(of_batch(batch["images"], batch["masks"], batch["keypoints"]))
            for batch in iterate(batches)
        ]
        logger.debug("epoch %d: the loss of %d validation batches", epoch, len(seen))
        return {"val_loss": sum(seen) / len(seen)}

    return measure


def both(first: Validate | None, second: Validate | None) -> Validate | None:
    """One validation of what there is."""
    found = [validate for validate in (first, second) if validate is not None]

    def measure(model: keras.Model, epoch: int) -> dict[str, float]:
        return {name: x for validate in found for name, x in validate(model, epoch).items()}

    return measure if found else None
