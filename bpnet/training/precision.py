"""Mixed precision: half-size numbers where they are faster, float32 where they matter."""

import logging
import re
from pathlib import Path

import keras
import tensorflow as tf

from bpnet.model.graph import with_precision

logger = logging.getLogger(__name__)

FLOAT32 = "float32"


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


def with_loss_scale(
    optimizer: keras.optimizers.Optimizer, model: keras.Model
) -> keras.optimizers.Optimizer:
    """``optimizer``, for float16 with a loss scale that keeps small gradients above zero."""
    if precision_of(model) != "mixed_float16":
        return optimizer
    scaled = keras.optimizers.LossScaleOptimizer(optimizer)
    scaled.build(model.trainable_variables)
    return scaled
