"""One training step: draw the targets, run the network, move the weights."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from bpnet.encode import draw_maps
from bpnet.model.loss import pose_loss
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataloader import BpNetDataloader
from bpnet.spec.optimizer import BpNetLoss
from bpnet.training.checkpoints import TrainingState
from bpnet.training.optimizer import leaf_layers

Step = Callable[[Any, Any, Any], dict[str, Any]]


@dataclass(frozen=True)
class Targets:
    """How pixels are normalised and maps drawn.

    Attributes:
        limbs: (L, 2) keypoint numbers from 0.
        map_height: Cells.
        map_width: Cells.
        stride: Input pixels a cell.
        sigma: Standard deviation of a keypoint's Gaussian, input pixels.
        limb_width: Half the width of a limb's field, input pixels.
        image_scale: Pixels are divided by this, a number a channel.
        image_offset: Then this is subtracted, a number a channel.
    """

    limbs: tuple[tuple[int, int], ...]
    map_height: int
    map_width: int
    stride: int
    sigma: float
    limb_width: float
    image_scale: tuple[float, ...]
    image_offset: tuple[float, ...]

    @classmethod
    def of(cls, loader: BpNetDataloader, skeleton: Skeleton) -> "Targets":
        """What a training spec's dataloader section says."""
        height, width = loader.pose_config.target_shape
        stride = loader.image_config.image_dims.height // height
        labels = loader.label_processor_config
        return cls(
            limbs=skeleton.limbs,
            map_height=height,
            map_width=width,
            stride=stride,
            sigma=labels.heatmap_gaussian_sigma,
            limb_width=labels.paf_ortho_dist_thresh * stride,
            image_scale=tuple(loader.normalization_params.image_scale),
            image_offset=tuple(loader.normalization_params.image_offset),
        )

    def draw(self, keypoints: Any) -> tuple[Any, Any]:
        """Heatmaps (N, h, w, K+1) and PAFs (N, h, w, 2L) of keypoints (N, P, K, 3)."""
        heatmaps, pafs = draw_maps(
            keypoints,
            limbs=self.limbs,
            map_height=self.map_height,
            map_width=self.map_width,
            stride=self.stride,
            sigma=self.sigma,
            limb_width=self.limb_width,
        )
        return heatmaps, pafs

    def normalise(self, images: Any) -> Any:
        """Network input (N, H, W, 3) float32 of pixels (N, H, W, 3) 0..255."""
        pixels = keras.ops.cast(images, "float32")
        return pixels / tf.constant(self.image_scale) - tf.constant(self.image_offset)


def build_step(
    state: TrainingState,
    targets: Targets,
    *,
    loss: BpNetLoss,
    batch_spec: dict[str, tf.TensorSpec],
) -> Step:
    """The step as one graph: (images, masks, keypoints) -> its losses by name, ``loss`` the total.

    It moves the weights and then counts itself in ``state.step``, so that a state saved at any
    moment between two steps is exact.

    Args:
        state: Network, optimizer and step counter; the optimizer's rate is set from outside.
        targets: How the maps are drawn.
        loss: Focal loss and foreground weight.
        batch_spec: Shapes of a batch; what varies is None, so that the graph is traced once.
    """
    model, optimizer = state.model, state.optimizer

    def step(images: Any, masks: Any, keypoints: Any) -> dict[str, Any]:
        heatmaps, pafs = targets.draw(keypoints)
        with tf.GradientTape() as tape:
            with unbiased_statistics(model, state.step):
                outputs = model(targets.normalise(images), training=True)
            outputs = [keras.ops.cast(output, "float32") for output in outputs]
            maps_loss, losses = pose_loss(outputs, heatmaps, pafs, masks, settings=loss)
            penalty = keras.ops.sum(model.losses) if model.losses else tf.zeros(())
            total = maps_loss + penalty
            scaled = optimizer.scale_loss(total)
        gradients = tape.gradient(scaled, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        state.step.assign_add(1)
        return {"loss": total, **losses, "regularization_loss": penalty}

    signature = [batch_spec[name] for name in ("images", "masks", "keypoints")]
    return tf.function(step, input_signature=signature)  # type: ignore[no-any-return]


@contextlib.contextmanager
def unbiased_statistics(model: keras.Model, step: Any) -> Iterator[None]:
    """Batch norms called inside the block average over the steps there have been, at first.

    Their moving averages begin at variance 1, of which momentum 0.99 leaves 2 % after 400 steps:
    many times the true variance of a first layer, so that a short training ends in a network that
    sees nothing outside of training. With momentum t/(t+1) until that reaches the layer's own, no
    start value is left after one step.
    """
    layers = [x for x in leaf_layers(model) if isinstance(x, keras.layers.BatchNormalization)]
    own = [layer.momentum for layer in layers]
    done = keras.ops.cast(step, "float32")
    for layer, momentum in zip(layers, own, strict=True):
        layer.momentum = keras.ops.minimum(done / (done + 1.0), momentum)
    try:
        yield
    finally:
        for layer, momentum in zip(layers, own, strict=True):
            layer.momentum = momentum
