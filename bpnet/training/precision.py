"""Mixed precision: half-size numbers where they are faster, float32 where they matter."""

import logging
import re
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from bpnet.model.graph import with_precision

logger = logging.getLogger(__name__)

FLOAT32 = "float32"
FIRST_SCALE, GREATEST_SCALE = 2.0**15, 2.0**24
GROWTH_STEPS = 2000  # good steps before the loss scale doubles


def choose_precision(*, use_amp: bool) -> str:
    """The Keras dtype policy that ``--use_amp`` means on this machine."""
    if not use_amp:
        return FLOAT32
    if tf.config.list_logical_devices("GPU"):
        return "mixed_float16"
    if cpu_has_bfloat16():
        return "mixed_bfloat16"
    logger.warning(
        "--use_amp has no effect: no GPU, and this CPU has neither avx512_bf16 nor amx_bf16"
    )
    return FLOAT32


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 itself; where it does not, bfloat16 is slower."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16)\b", flags) is not None


def in_precision(model: keras.Model, policy: str) -> keras.Model:
    """``model`` if it computes by ``policy`` already, else a copy of it that does."""
    return model if precision_of(model) == policy else with_precision(model, policy)


def precision_of(model: keras.Model) -> str:
    """The dtype policy of the network's convolutions; its output layers are always float32."""
    policies = {layer.dtype_policy.name for layer in model.layers}
    return next(iter(policies - {FLOAT32}), FLOAT32)


class LossScale:
    """A factor on the loss that keeps small float16 gradients above zero, as high as it can be.

    Attributes:
        names: What each of ``variables`` is.
        variables: The factor, and the steps since it last changed.
    """

    def __init__(self) -> None:
        self.names = ["loss_scale", "loss_scale_steps"]
        self.variables = [
            tf.Variable(FIRST_SCALE, trainable=False),
            tf.Variable(0, dtype=tf.int64, trainable=False),
        ]

    @staticmethod
    def adapt(variables: list[Any], *, finite: Any) -> None:
        """Halve one device's factor after gradients that overflowed, double it after many good."""
        scale, steps = variables
        grown = steps + 1 >= GROWTH_STEPS
        higher = tf.where(grown, tf.minimum(scale * 2.0, GREATEST_SCALE), scale)
        scale.assign(tf.where(finite, higher, tf.maximum(scale / 2.0, 1.0)))
        steps.assign(tf.where(finite & ~grown, steps + 1, tf.zeros_like(steps)))
