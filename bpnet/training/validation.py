"""Validation while training: the real decoder and COCO's AP on a dataset's ``test_data``."""

import logging
from pathlib import Path

import keras

from bpnet.data.coco import CocoDataset, read_coco
from bpnet.evaluation import evaluate_persons
from bpnet.inference.files import predict_files
from bpnet.inference.keras_backend import KerasBackend
from bpnet.inference.predictor import Predictor, predictor_of
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
    """
    section = dataset.test_data
    if section is None:
        logger.warning("dataset %s has no test_data: no validation", dataset.dataset)
        return None
    root = Path(dataset.root_directory_path)
    annotations = root / section.annotation_root_dir_path
    images = root / section.images_root_dir_path
    for path, exists in ((annotations, annotations.is_file()), (images, images.is_dir())):
        if not exists:
            logger.warning("test_data: %s does not exist: no validation", path)
            return None
    coco = read_coco(annotations, category=dataset.categories[0].name)
    predictors: dict[int, Predictor] = {}

    def validate(model: keras.Model, epoch: int) -> dict[str, float]:
        # The predictor of a network that goes on learning stays right: it holds its variables.
        if id(model) not in predictors:
            predictors[id(model)] = predictor_of(
                KerasBackend(model, contract, stage=inference.output_stage_to_use), inference
            )
        logger.debug("validating epoch %d on %d images", epoch, len(coco.images))
        return measure(predictors[id(model)], coco, images)

    return validate


def measure(predictor: Predictor, coco: CocoDataset, images: Path) -> dict[str, float]:
    """AP and AP50 (0..1) of ``predictor`` on the images of ``coco`` below the folder ``images``."""
    numbers = {images / image.file_name: image.id for image in coco.images}
    persons = {}
    for result in predict_files(predictor, list(numbers), upright=False):
        if result.persons is None:
            logger.warning("not validated: %s", result.failure)
        else:
            persons[numbers[result.path]] = result.persons
    if not persons:
        return {}
    metrics = evaluate_persons(
        persons, coco, predictor.backend.contract.skeleton, image_ids=persons.keys()
    )
    return {"ap": metrics.ap, "ap50": metrics.ap50}
