"""Networks as Keras models, run by TensorFlow."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bpnet.errors import ModelError
from bpnet.model.outputs import stages_of
from bpnet.pose.contract import ModelContract
from bpnet.pose.maps import PoseMaps


class KerasBackend:
    """A Keras model, its normalisation in front of it.

    The model's variables are read at every run, so a model in training can be validated.

    Attributes:
        contract: what the network is; ``height`` and ``width`` where its input fixes them.
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
        self.contract: ModelContract = contract
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
        heatmap_stride = images.shape[1] / heatmaps.shape[1]
        paf_stride = images.shape[1] / pafs.shape[1]
        return [
            PoseMaps(heatmap, paf, heatmap_stride, paf_stride)
            for heatmap, paf in zip(heatmaps, pafs, strict=True)
        ]
