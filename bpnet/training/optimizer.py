"""Optimizers with a factor on each layer's learning.

TAO multiplies gradients (the regulariser's part too). For momentum that is a factor on the learning
rate; AdamW divides each gradient by its own size, so there the factor multiplies the rate instead.
"""

import difflib
import re
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from bpnet.errors import SpecError
from bpnet.spec.optimizer import AdamWOptimizer, MuonOptimizer, WeightedMomentumOptimizer
from bpnet.training.muon import orthogonalise, step_size

OptimizerSpec = WeightedMomentumOptimizer | AdamWOptimizer | MuonOptimizer

MOMENTUM, MUON, ADAMW = ("velocity",), ("momentum",), ("mean", "square")  # slots of a weight
LATER_STAGES = re.compile(r"stage([2-9]|\d\d+)\.|(paf_out|heatmap_out)$")


def build_optimizer(spec: OptimizerSpec, model: keras.Model, *, stagewise: bool) -> "Optimizer":
    """The spec's optimizer, with its slots for ``model``.

    Args:
        spec: Its section of the training spec.
        model: The network; layers are known by their names, so pruned networks keep their factors.
        stagewise: Later stages learn at 4 times the rate, biases at twice their kernels'.

    Raises:
        SpecError: ``grad_weights_dict`` names a layer that the network lacks.
    """
    return Optimizer(spec, model, factors=learning_factors(spec, model, stagewise=stagewise))


def learning_factors(spec: OptimizerSpec, model: keras.Model, *, stagewise: bool) -> list[float]:
    """The factor of each of the model's trainable variables, in their order."""
    layers = {layer.name: layer for layer in leaf_layers(model)}
    own = {name.replace("/", "."): f for name, f in (spec.grad_weights_dict or {}).items()}
    for name in own:
        if name not in layers:
            near = difflib.get_close_matches(name, layers, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SpecError(
                f"optimizer.grad_weights_dict names the layer {name}, "
                f"which the network does not have{hint}"
            )
    factors = {}
    for name, layer in layers.items():
        for variable in layer.trainable_variables:
            factor = own.get(name, spec.weight_default_value)
            if stagewise and isinstance(layer, keras.layers.Conv2D):
                factor *= stagewise_factor(name, variable.name)
            factors[variable.path] = factor
    return [factors[variable.path] for variable in model.trainable_variables]


def stagewise_factor(layer: str, weight: str) -> float:
    """TAO's learning-rate factor of a convolution's ``kernel`` or ``bias``, by the layer's name."""
    later = 4.0 if LATER_STAGES.match(layer) else 1.0
    return later * (2.0 if weight == "bias" else 1.0)


def leaf_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of ``model`` that hold no layers, also those of models nested in it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer)
        else:
            yield layer


class Optimizer:
    """Moves weights in place; one kernel a weight, which TensorFlow has for every device.

    Attributes:
        names: What each of ``variables`` is.
        variables: The slots, in the order of the weights.
    """

    def __init__(
        self,
        spec: OptimizerSpec,
        model: keras.Model,
        *,
        factors: list[float],
    ) -> None:
        """Slots of zeros for the trainable weights of ``model``, a factor each."""
        self.spec = spec
        self.factors = factors
        self.kernels = [weight.name == "kernel" for weight in model.trainable_variables]
        self.kinds = [self._kinds_of(weight) for weight in model.trainable_variables]
        slots = [
            (weight, kind)
            for weight, kinds in zip(model.trainable_variables, self.kinds, strict=True)
            for kind in kinds
        ]
        self.names = [f"{weight.path}/{kind}" for weight, kind in slots]
        self.variables = [
            tf.Variable(tf.zeros(weight.shape), trainable=False) for weight, _ in slots
        ]

    def move(
        self, weights: list[Any], slots: list[Any], gradients: list[Any], *, rate: Any, step: Any
    ) -> None:
        """Move ``weights``, one device's variables, by their gradients.

        Args:
            weights: The trainable weights.
            slots: The same device's copies of ``variables``.
            gradients: Summed over all devices.
            rate: Learning rate, a float32 tensor.
            step: Steps before this one, an int64 tensor.
        """
        left = iter(slots)
        for number, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            own = [next(left) for _ in self.kinds[number]]
            if self.kinds[number] == MOMENTUM:
                self._momentum(number, weight, own[0], gradient, rate=rate)
            elif self.kinds[number] == MUON:
                self._muon(number, weight, own[0], gradient, rate=rate)
            else:
                self._adamw(number, weight, own, gradient, rate=rate, step=step)

    def _kinds_of(self, weight: Any) -> tuple[str, ...]:
        """The slots of a weight.

        Muon is for matrices of hidden layers: not for layers that draw maps, nor depthwise ones.
        """
        if isinstance(self.spec, WeightedMomentumOptimizer):
            return MOMENTUM
        hidden = weight.name == "kernel" and not weight.path.split("/")[-2].endswith("out")
        matrix = len(weight.shape) == 4 and weight.shape[-1] > 1
        return MUON if isinstance(self.spec, MuonOptimizer) and hidden and matrix else ADAMW

    def _momentum(
        self, number: int, weight: Any, velocity: Any, gradient: Any, *, rate: Any
    ) -> None:
        """TensorFlow 1's momentum, with the factor f: v = m * v + f * g; w = w - rate * v.

        Keras keeps the rate inside v (v = m * v - rate * g), which is another path whenever the
        rate changes.
        """
        assert isinstance(self.spec, WeightedMomentumOptimizer)
        factor = self.factors[number]
        tf.raw_ops.ResourceApplyMomentum(
            var=weight.handle,
            accum=velocity.handle,
            lr=rate,
            grad=gradient if factor == 1.0 else factor * gradient,
            momentum=tf.constant(self.spec.momentum),
            use_nesterov=self.spec.use_nesterov,
        )

    def _muon(self, number: int, weight: Any, momentum: Any, gradient: Any, *, rate: Any) -> None:
        """Muon with Nesterov's momentum; kernels decay."""
        assert isinstance(self.spec, MuonOptimizer)
        part = self.spec.momentum
        # The momentum after this step, ahead once more, over 1 - part^2: its size does not matter.
        ahead = gradient + (part**2 / (1 - part**2)) * momentum
        direction = orthogonalise(ahead, size=step_size(weight.shape))
        pull_towards(momentum, gradient, by=tf.constant(1.0 - part))
        tf.raw_ops.ResourceApplyGradientDescent(
            var=weight.handle,
            alpha=self.factors[number] * rate,
            delta=direction + self.spec.weight_decay * weight,
        )

    def _decay(self, number: int, weight: Any, rate: Any) -> None:
        """Kernels decay, and nothing else does."""
        assert isinstance(self.spec, AdamWOptimizer)
        if self.spec.weight_decay and self.kernels[number]:
            pull_towards(weight, tf.zeros_like(weight), by=rate * self.spec.weight_decay)

    def _adamw(
        self, number: int, weight: Any, slots: list[Any], gradient: Any, *, rate: Any, step: Any
    ) -> None:
        """Adam, with the factor on the rate; only kernels decay."""
        assert isinstance(self.spec, AdamWOptimizer)
        own_rate = self.factors[number] * rate
        self._decay(number, weight, own_rate)
        beta_1, beta_2 = tf.constant(self.spec.beta_1), tf.constant(self.spec.beta_2)
        count = tf.cast(step + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=weight.handle,
            m=slots[0].handle,
            v=slots[1].handle,
            beta1_power=tf.pow(beta_1, count),
            beta2_power=tf.pow(beta_2, count),
            lr=own_rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.constant(1e-7),
            grad=gradient,
        )


def pull_towards(variable: Any, goal: Any, *, by: Any) -> None:
    """Move one device's ``variable`` by a part of its way to ``goal``."""
    tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=by, delta=variable - goal)
