"""Networks as Keras models, run by TensorFlow."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bpnet.errors import ModelError
from bpnet.inference.tensors import make_maps
from bpnet.model.outputs import stages_of
from bpnet.pose.contract import ModelContract
from bpnet.pose.maps import PoseMaps

logger = logging.getLogger(__name__)


def use_threads(threads: int) -> None:
    """Give TensorFlow so many threads, which it takes before its first work only."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        logger.warning("threads: TensorFlow already runs, and keeps the threads that it has")


def use_full_float32() -> None:
    """Compute in float32 on GPUs too, where TensorFlow rounds products to TF32: 10 bits of 23."""
    tf.config.experimental.enable_tensor_float_32_execution(False)


class KerasBackend:
    """A Keras model, its normalisation in front of it.

    The model's variables are read at every run, so a model in training can be validated.

    Attributes:
        contract: what the network is; ``height`` and ``width`` where its input fixes them.
        runs_on: TensorFlow and the kind of device.
    """

    def __init__(
        self, model: keras.Model, contract: ModelContract, *, stage: int | None = None
    ) -> None:
        """Run ``stage`` (from 1, None: the last) of a model with outputs [heat_1.., paf_1..].

        Raises:
            ModelError: The model has no such stage, or its channels are not the skeleton's.
        """
        outputs = [model.outputs[place] for place in stages_of(model).outputs_at(stage)]
        skeleton = contract.skeleton
        channels = tuple(output.shape[-1] for output in outputs)
        expected = (skeleton.heatmap_channels, skeleton.paf_channels)
        if channels != expected:
            raise ModelError(
                f"the model's maps have {channels} channels, but the skeleton {skeleton.name} "
                f"needs {expected}"
            )
        rows, columns = model.inputs[0].shape[1:3]
        self.contract: ModelContract = dataclasses.replace(
            contract, height=rows or contract.height, width=columns or contract.width
        )
        self.runs_on = f"TensorFlow {'gpu' if tf.config.list_physical_devices('GPU') else 'cpu'}"
        chosen = keras.Model(model.inputs, outputs)
        scale = tf.constant(contract.image_scale, tf.float32)
        offset = tf.constant(contract.image_offset, tf.float32)

        def forward(images: tf.Tensor) -> Any:
            if contract.channel_order == "bgr":
                images = images[..., ::-1]
            return chosen(tf.cast(images, tf.float32) / scale - offset, training=False)

        signature = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
        self._forward = tf.function(forward, input_signature=signature)

    def predict(self, images: NDArray[np.uint8]) -> list[PoseMaps]:
        """The maps of each of ``images``, (N, H, W, 3) uint8 RGB."""
        heatmaps, pafs = (np.asarray(maps, np.float32) for maps in self._forward(images))
        height, width = images.shape[1:3]
        return make_maps(heatmaps, pafs, self.contract, Path("the model"), size=(height, width))
