"""Optimizers with a factor on each layer's learning.

TAO multiplies gradients (the regulariser's part too). For momentum that is a factor on the learning
rate; AdamW divides each gradient by its own size, so there the factor multiplies the rate instead.
"""

import difflib
import re
from collections.abc import Iterator
from typing import Any

import keras

from bpnet.errors import SpecError
from bpnet.spec.optimizer import AdamWOptimizer, WeightedMomentumOptimizer

LATER_STAGES = re.compile(r"stage([2-9]|\d\d+)\.|(paf_out|heatmap_out)$")


def build_optimizer(
    spec: WeightedMomentumOptimizer | AdamWOptimizer, model: keras.Model, *, stagewise: bool
) -> keras.optimizers.Optimizer:
    """The spec's optimizer, with its slots built for ``model``.

    Args:
        spec: Its section of the training spec.
        model: The network; layers are known by their names, so pruned networks keep their factors.
        stagewise: Later stages learn at 4 times the rate, biases at twice their kernels'.

    Raises:
        SpecError: ``grad_weights_dict`` names a layer that the network lacks.
    """
    factors = learning_factors(spec, model, stagewise=stagewise)
    if isinstance(spec, WeightedMomentumOptimizer):
        optimizer = Momentum(factors, momentum=spec.momentum, nesterov=spec.use_nesterov)
    else:
        decays = [
            spec.weight_decay if variable.name == "kernel" else 0.0
            for variable in model.trainable_variables
        ]
        optimizer = AdamW(factors, decays, beta_1=spec.beta_1, beta_2=spec.beta_2)
    optimizer.build(model.trainable_variables)
    return optimizer


def learning_factors(
    spec: WeightedMomentumOptimizer | AdamWOptimizer, model: keras.Model, *, stagewise: bool
) -> list[float]:
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


class Momentum(keras.optimizers.Optimizer):  # type: ignore[misc]
    """TensorFlow 1's momentum, with factors: v = m * v + f * g; w = w - rate * v.

    Keras keeps the rate inside v (v = m * v - rate * g), which is another path whenever the rate
    changes.
    """

    def __init__(self, factors: list[float], *, momentum: float, nesterov: bool) -> None:
        super().__init__(learning_rate=0.0, name="momentum")
        self.factors = factors
        self.momentum = momentum
        self.nesterov = nesterov
        self.velocities: list[keras.Variable] = []

    def build(self, variables: list[keras.Variable]) -> None:
        """Make a velocity for each of the variables."""
        if not self.built:
            super().build(variables)
            self.velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        """Move one variable."""
        index = self._get_variable_index(variable)
        velocity = self.velocities[index]
        gradient = self.factors[index] * gradient
        self.assign(velocity, self.momentum * velocity + gradient)
        step = gradient + self.momentum * velocity if self.nesterov else velocity
        self.assign_sub(variable, learning_rate * step)


class AdamW(keras.optimizers.Adam):  # type: ignore[misc]
    """AdamW, with factors on the rate; only kernels decay."""

    def __init__(
        self, factors: list[float], decays: list[float], *, beta_1: float, beta_2: float
    ) -> None:
        super().__init__(learning_rate=0.0, beta_1=beta_1, beta_2=beta_2, name="adamw")
        self.factors = factors
        self.decays = decays

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        """Move one variable."""
        index = self._get_variable_index(variable)
        rate = self.factors[index] * learning_rate
        if self.decays[index]:
            self.assign_sub(variable, rate * self.decays[index] * variable)
        super().update_step(gradient, variable, rate)
