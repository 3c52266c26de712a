"""What is asked about a model file that does not say what it is."""

from collections.abc import Callable
from pathlib import Path

from bpnet.errors import ModelError
from bpnet.pose.contract import ModelContract

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
