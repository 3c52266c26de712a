"""What a training step does besides the network."""

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from worms import SKELETON, draw_worms, spec_of

from bpnet.model.network import build_network
from bpnet.spec.train import BpNetTrainer
from bpnet.training.checkpoints import TrainingState
from bpnet.training.devices import Devices
from bpnet.training.precision import LossScale
from bpnet.training.start import Start, start_state
from bpnet.training.step import Step, build_step
from bpnet.training.targets import Targets
from bpnet.training.trainer import step_settings

SPEC = {
    "images": tf.TensorSpec((2, 64, 64, 3), tf.uint8),
    "masks": tf.TensorSpec((2, 8, 8, 1), tf.float32),
    "keypoints": tf.TensorSpec((2, None, 2, 3), tf.float32),
}


def batch_of(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "images": tf.constant(rng.integers(0, 255, (2, 64, 64, 3)), tf.uint8),
        "masks": tf.ones((2, 8, 8, 1)),
        "keypoints": tf.constant(
            np.concatenate([rng.uniform(0, 63, (2, 1, 2, 2)), np.ones((2, 1, 2, 1))], -1),
            tf.float32,
        ),
    }


def start_of(spec: BpNetTrainer, precision: str = "float32") -> tuple[TrainingState, Step]:
    devices = Devices()
    state = start_state(
        spec,
        Start(None, None, resumed=False),
        skeleton=SKELETON,
        steps_per_epoch=10,
        precision=precision,
        devices=devices,
        key=None,
    )
    targets = Targets.of(spec.dataloader, SKELETON)
    settings = step_settings(spec, devices)
    return state, build_step(state, targets, devices, settings=settings, batch_spec=SPEC)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> BpNetTrainer:
    return spec_of(draw_worms(tmp_path_factory.mktemp("worms")))


def moved(spec: BpNetTrainer, groups: list[list[int]], rate: float = 1e-3) -> list[np.ndarray]:
    """The weights after steps of batches with these seeds."""
    state, take = start_of(spec)
    for group in groups:
        take([batch_of(seed) for seed in group], rate)
    return state.best_model.get_weights()


def test_gradients_of_two_batches_add_up_to_one_step(spec: BpNetTrainer) -> None:
    twice = dataclasses.replace(spec, gradient_accumulation_steps=2)
    # The same batch twice has its own mean gradient; batch statistics are seen once more.
    once, same = moved(spec, [[1]]), moved(twice, [[1, 1]])
    trainable = [i for i, weight in enumerate(build(spec).weights) if weight.trainable]
    for index in trainable:
        np.testing.assert_allclose(once[index], same[index], rtol=0, atol=1e-6)
    other = moved(twice, [[1, 2]])
    assert any(np.abs(once[i] - other[i]).max() > 1e-5 for i in trainable)


def build(spec: BpNetTrainer) -> keras.Model:
    return build_network(spec.model, seed=spec.random_seed)


def test_a_clipped_gradient_has_the_greatest_length(spec: BpNetTrainer) -> None:
    optimizer = dataclasses.replace(spec.optimizer, momentum=0.0)
    flat = dataclasses.replace(
        spec, clip_gradient_norm=0.5, optimizer=optimizer, use_stagewise_lr_multipliers=False
    )
    state, take = start_of(flat)
    before = [weight.numpy() for weight in state.model.trainable_variables]
    take([batch_of(1)], 1.0)
    steps = [a - w.numpy() for a, w in zip(before, state.model.trainable_variables, strict=True)]
    assert np.sqrt(sum(np.sum(step**2) for step in steps)) == pytest.approx(0.5, rel=1e-3)


def test_averages_forget_the_start_and_follow_at_their_decay(spec: BpNetTrainer) -> None:
    state, take = start_of(dataclasses.replace(spec, ema_decay=0.15))
    assert state.averaged is not None
    average = [weight.numpy() for weight in state.averaged.weights]
    for decay in (0.1, 0.15, 0.15):  # 1/10, then no more than what the spec says
        take([batch_of(1)], 1e-3)
        weights = [weight.numpy() for weight in state.model.weights]
        average = [decay * a + (1 - decay) * w for a, w in zip(average, weights, strict=True)]
    for a, weight in zip(average, state.averaged.weights, strict=True):
        np.testing.assert_allclose(weight.numpy(), a, rtol=1e-4, atol=1e-6)


def test_xla_takes_the_same_step(spec: BpNetTrainer) -> None:
    plain = moved(spec, [[1]])
    compiled = moved(dataclasses.replace(spec, use_xla=True), [[1]])
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_an_overflow_in_float16_moves_nothing_and_halves_the_scale(spec: BpNetTrainer) -> None:
    state, take = start_of(spec, precision="mixed_float16")
    assert state.loss_scale is not None
    state.loss_scale.variables[0].assign(2.0**24)
    before = [weight.numpy() for weight in state.model.trainable_variables]
    take([batch_of(1)], 1e-3)
    assert float(state.loss_scale.variables[0]) == 2.0**23
    for a, weight in zip(before, state.model.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, weight.numpy())
    state.loss_scale.variables[0].assign(8.0)
    take([batch_of(1)], 1e-3)
    changes = [
        np.abs(a - w.numpy()).max()
        for a, w in zip(before, state.model.trainable_variables, strict=True)
    ]
    assert max(changes) > 0


def test_many_good_steps_double_the_loss_scale() -> None:
    scale, steps = LossScale().variables
    steps.assign(1998)
    LossScale.adapt([scale, steps], finite=tf.constant(True))
    assert (float(scale), int(steps)) == (2.0**15, 1999)
    LossScale.adapt([scale, steps], finite=tf.constant(True))
    assert (float(scale), int(steps)) == (2.0**16, 0)
