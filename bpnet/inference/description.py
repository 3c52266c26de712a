"""What a model file is that does not say so itself: its contract, from specs that describe it."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

from bpnet.errors import ModelError
from bpnet.files import HDF5_SUFFIXES
from bpnet.pose.contract import ModelContract
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.reader import read_spec
from bpnet.spec.train import BpNetTrainer

logger = logging.getLogger(__name__)

Describe = Callable[[Path], ModelContract]
"""Describes a model file that does not describe itself; raises ModelError where it cannot."""


def describe_model(path: Path, describe: Describe | None) -> ModelContract:
    """The contract of a model file that carries none.

    Raises:
        ModelError: Nothing else describes the model.
    """
    if describe is None:
        raise ModelError(
            f"{path} carries no metadata of bpnet; give an inference spec (-i) that sets "
            "pose_config_path or train_spec, and model_input and model_output where its pixel "
            "format or output names are not TAO's"
        )
    return describe(path)


def describe_by_training_spec(path: Path, spec: BpNetTrainer) -> ModelContract:
    """The contract of the model ``path``, which was trained as ``spec`` says.

    HDF5 files are TAO's, whose networks learned PAFs on cell corners.

    Raises:
        SpecError: The skeleton file is faulty.
    """
    loader = spec.dataloader
    skeleton = Skeleton.load(Path(loader.pose_config.pose_config_path))
    contract = ModelContract.trained_on(loader, skeleton)
    return dataclasses.replace(contract, paf_cell_corners=_is_taos(path))


def describe_by_inference_spec(path: Path, spec: InferenceSpec) -> ModelContract:
    """The contract of the foreign model ``path``, from the spec and the training spec it names.

    What ``model_input`` and ``model_output`` say comes before what the training spec says.

    Raises:
        ModelError: Neither says which skeleton the model has.
        SpecError: A file that they name is faulty.
    """
    contract = _trained_contract(path, spec)
    if spec.pose_config_path is not None:
        skeleton = Skeleton.load(Path(spec.pose_config_path))
        if contract is None:
            contract = ModelContract(skeleton, paf_cell_corners=_is_taos(path))
        contract = dataclasses.replace(contract, skeleton=skeleton)
    if contract is None:
        raise ModelError(
            f"{path} carries no metadata of bpnet, and the inference spec does not say what it is: "
            "set pose_config_path to its skeleton file, and model_input and model_output where its "
            "pixel format or output names are not TAO's"
        )
    pixels, outputs = spec.model_input, spec.model_output
    if pixels is not None:
        scale, offset = pixels.image_scale, pixels.image_offset
        contract = dataclasses.replace(
            contract,
            image_scale=(scale[0], scale[1], scale[2]),
            image_offset=(offset[0], offset[1], offset[2]),
            layout=pixels.layout or contract.layout,
            channel_order=pixels.channel_order,
        )
    if outputs is not None:
        corners = outputs.paf_cell_corners
        contract = dataclasses.replace(
            contract,
            heatmap_output=outputs.heatmaps or contract.heatmap_output,
            paf_output=outputs.pafs or contract.paf_output,
            paf_cell_corners=contract.paf_cell_corners if corners is None else corners,
        )
    return contract


def _trained_contract(path: Path, spec: InferenceSpec) -> ModelContract | None:
    """The contract by the training spec; None, and a warning, where that is not there."""
    if spec.train_spec is None:
        return None
    if not Path(spec.train_spec).is_file():
        logger.warning(
            "train_spec: %s does not exist, so it says nothing about %s", spec.train_spec, path
        )
        return None
    return describe_by_training_spec(path, read_spec(Path(spec.train_spec), BpNetTrainer))


def _is_taos(path: Path) -> bool:
    return path.suffix.lower() in HDF5_SUFFIXES
