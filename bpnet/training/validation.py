"""Validation while training: the real decoder and COCO's AP on a dataset's ``test_data``."""

import logging
from pathlib import Path

import keras

from bpnet.data.coco import read_subset
from bpnet.errors import DataError
from bpnet.inference.keras_backend import KerasBackend
from bpnet.inference.predictor import Predictor, predictor_of
from bpnet.inference.validation import validate
from bpnet.pose.contract import ModelContract
from bpnet.spec.dataset import DatasetSpec
from bpnet.spec.inference import InferenceSpec
from bpnet.training.loop import Validate

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
