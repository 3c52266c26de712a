"""One training step: draw the targets, run the network on every device, move the weights."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bpnet.model.loss import pose_loss
from bpnet.model.outputs import stages_of
from bpnet.spec.optimizer import BpNetLoss
from bpnet.training.checkpoints import TrainingState
from bpnet.training.devices import Devices
from bpnet.training.optimizer import leaf_layers, pull_towards
from bpnet.training.precision import LossScale
from bpnet.training.targets import Targets
from bpnet.training.teacher import Teacher

INPUTS = ("images", "masks", "keypoints")  # of the batches, that the step takes

Batch = dict[str, Any]
Step = Callable[[Sequence[Batch], float], dict[str, float]]


@dataclass(frozen=True)
class StepSettings:
    """What a step does besides the network.

    Attributes:
        loss: Focal loss, foreground weight and distillation.
        batches: Batches whose gradients add up to those of one step.
        clip_norm: Greatest length of all gradients together; 0: any.
        ema_decay: Of the averaged weights, after a start in which it grows.
        use_xla: Compile forward and backward pass; one device only.
    """

    loss: BpNetLoss
    batches: int = 1
    clip_norm: float = 0.0
    ema_decay: float = 0.0
    use_xla: bool = False


def build_step(
    state: TrainingState,
    targets: Targets,
    devices: Devices,
    *,
    settings: StepSettings,
    batch_spec: dict[str, tf.TensorSpec],
    teacher: Teacher | None = None,
) -> Step:
    """The step as one graph: (batches, rate) -> its losses by name, ``loss`` the total.

    It moves the weights and then counts itself in ``state.step``, so that a state saved at any
    moment between two steps is exact. Gradients are those of one device with the whole batch:
    losses are over the images of all devices, batch norms see all of them, and every device's
    gradients are summed before each moves its own copy of the weights.

    Args:
        state: What the step changes.
        targets: How the maps are drawn.
        devices: Where it runs.
        settings: What it does besides.
        batch_spec: Shapes of a batch; what varies is None, so that the graph is traced once.
        teacher: Whose maps are further targets.
    """
    gradients_of = _gradients(state, targets, devices, settings=settings, teacher=teacher)
    names: list[str] = []

    def step(rate: Any, *arrays: Any) -> Any:
        rows = [arrays[start : start + len(INPUTS)] for start in range(0, len(arrays), len(INPUTS))]
        gradients, losses = devices.strategy.run(gradients_of, args=(rows,))
        names[:] = losses
        for device in range(devices.here):
            own = [devices.local(gradient, device) for gradient in gradients]
            with tf.device(devices.local(state.step, device).device):
                _move(state, devices, device, own, rate=rate, settings=settings)
        return tf.stack([devices.local(loss, 0) for loss in losses.values()])

    shapes = [batch_spec[name] for name in INPUTS] * settings.batches
    signature = [tf.TensorSpec((), tf.float32), *shapes]
    graph = tf.function(step, input_signature=signature, autograph=False)

    def take(batches: Sequence[Batch], rate: float) -> dict[str, float]:
        arrays = [batch[name] for batch in batches for name in INPUTS]
        values = graph(np.float32(rate), *arrays).numpy().tolist()
        return dict(zip(names, values, strict=True))

    return take


def _gradients(
    state: TrainingState,
    targets: Targets,
    devices: Devices,
    *,
    settings: StepSettings,
    teacher: Teacher | None,
) -> Callable[[Any], tuple[list[Any], dict[str, Any]]]:
    """What every device runs: its images' gradients and losses, summed over all devices."""
    model = state.model
    stages = stages_of(model)
    share = 1.0 / (devices.count * settings.batches)

    def of_batch(
        images: Any, masks: Any, heatmaps: Any, pafs: Any, batch: Any
    ) -> tuple[list[Any], dict[str, Any]]:
        weights = [weight.value for weight in model.trainable_variables]
        taught = teacher.maps(images) if teacher is not None else None
        with tf.GradientTape() as tape:
            with batch_norms(model, batch, synchronized=devices.count > 1):
                outputs = model(targets.normalise(images), training=True)
            loss, losses = pose_loss(
                outputs,
                heatmaps,
                pafs,
                masks,
                settings=settings.loss,
                stages=stages,
                taught=taught,
            )
            penalty = keras.ops.sum(model.losses) if model.losses else tf.zeros(())
            total = loss + penalty
            scaled = total * share * state.scale
        gradients = tape.gradient(scaled, weights, unconnected_gradients="zero")
        named = {"loss": total, **losses, "regularization_loss": penalty}
        return gradients, {name: value * share for name, value in named.items()}

    if settings.use_xla and devices.count == 1:
        of_batch = tf.function(of_batch, jit_compile=True, autograph=False)

    def of_step(rows: Sequence[Sequence[Any]]) -> tuple[list[Any], dict[str, Any]]:
        gradients: list[Any] = []
        losses: dict[str, Any] = {}
        for number, arrays in enumerate(rows):
            # One batch after the other: all at once would take the memory of all.
            with tf.control_dependencies(gradients):
                images, masks, keypoints = (devices.own_rows(array) for array in arrays)
                heatmaps, pafs = targets.draw(keypoints)
                batch = state.step * settings.batches + number
                found, seen = of_batch(images, masks, heatmaps, pafs, batch)
                pairs = zip(gradients or found, found, strict=True)
                gradients = [a + b for a, b in pairs] if gradients else found
                losses = {name: losses.get(name, 0.0) + value for name, value in seen.items()}
        sums = devices.total([*gradients, *losses.values()])
        return sums[: len(gradients)], dict(zip(losses, sums[len(gradients) :], strict=True))

    return of_step


def _move(
    state: TrainingState,
    devices: Devices,
    device: int,
    gradients: list[Any],
    *,
    rate: Any,
    settings: StepSettings,
) -> None:
    """Move one device's copy of everything that a step changes."""

    def here(variables: Sequence[Any]) -> list[Any]:
        return [devices.local(variable, device) for variable in variables]

    step = here([state.step])[0]
    scaling = here(state.loss_scale.variables) if state.loss_scale else []
    if scaling:
        gradients = [gradient / scaling[0] for gradient in gradients]
    norm = tf.linalg.global_norm(gradients) if scaling or settings.clip_norm else None
    if settings.clip_norm:
        factor = settings.clip_norm / tf.maximum(norm, settings.clip_norm)
        gradients = [factor * gradient for gradient in gradients]

    def move() -> Any:
        state.optimizer.move(
            here(state.model.trainable_variables),
            here(state.optimizer.variables),
            gradients,
            rate=rate,
            step=step,
        )
        return tf.constant(0)

    if scaling:
        finite = tf.math.is_finite(norm)
        tf.cond(finite, move, lambda: tf.constant(0))
        LossScale.adapt(scaling, finite=finite)
    else:
        move()
    if state.averaged is not None:
        done = tf.cast(step, tf.float32) + 1.0
        # Less at first, so that nothing is left of the weights before the first step.
        decay = tf.minimum(settings.ema_decay, done / (done + 9.0))
        averages = here(state.averaged.weights)
        for average, weight in zip(averages, here(state.model.weights), strict=True):
            pull_towards(average, weight, by=1.0 - decay)
    step.assign_add(1)


@contextlib.contextmanager
def batch_norms(model: keras.Model, batch: Any, *, synchronized: bool) -> Iterator[None]:
    """Batch norms called inside see every device's images, and average over all batches at first.

    Their moving averages begin at variance 1, of which momentum 0.99 leaves 2 % after 400 steps:
    many times the true variance of a first layer, so that a short training ends in a network that
    sees nothing outside of training. With momentum t/(t+1) until that reaches the layer's own, no
    start value is left after one step.

    Several devices share the layers while each records its part of the graph, and take turns
    wherever they add something up. So all wait until all are here, and again before they leave.

    Args:
        model: The network.
        batch: Batches before this one, a tensor.
        synchronized: Whether there are several devices.
    """
    layers = [x for x in leaf_layers(model) if isinstance(x, keras.layers.BatchNormalization)]
    own = [(layer.momentum, layer.synchronized) for layer in layers]
    done = keras.ops.cast(batch, "float32")
    if synchronized:
        _wait_for_all()
    for layer, (momentum, _) in zip(layers, own, strict=True):
        layer.momentum = keras.ops.minimum(done / (done + 1.0), momentum)
        layer.synchronized = synchronized
    try:
        yield
        if synchronized:
            _wait_for_all()
    finally:
        for layer, (momentum, before) in zip(layers, own, strict=True):
            layer.momentum, layer.synchronized = momentum, before


def _wait_for_all() -> None:
    """Let every device record its part of the graph up to here, for inside of ``strategy.run``."""
    tf.distribute.get_replica_context().merge_call(lambda strategy: None)
