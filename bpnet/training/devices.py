"""Which of the machine's devices a training uses."""

import logging
import os

import tensorflow as tf

from bpnet.errors import SpecError

logger = logging.getLogger(__name__)


def choose_gpu(gpus: int, indices: list[int] | None) -> None:
    """Show TensorFlow the one GPU to use, and say in the log which device trains.

    Raises:
        SpecError: ``--gpu_index`` names a GPU that this machine lacks.
    """
    if gpus > 1 or (indices and len(indices) > 1):
        logger.warning(
            "--gpus %d: training on several GPUs comes with a later release; using one",
            max(gpus, len(indices or [])),
        )
    found = tf.config.list_physical_devices("GPU")
    if indices and indices[0] >= max(len(found), 1):
        raise SpecError(f"--gpu_index {indices[0]}: this machine has {len(found)} GPU(s)")
    if not found:
        logger.info("training on the CPU, %d cores", os.cpu_count() or 1)
        return
    chosen = found[indices[0] if indices else 0]
    details = tf.config.experimental.get_device_details(chosen)
    number = chosen.name.rpartition(":")[2]
    logger.info("training on GPU %s, %s", number, details.get("device_name", "of unknown name"))
    try:
        tf.config.set_visible_devices([chosen], "GPU")
        tf.config.experimental.set_memory_growth(chosen, enable=True)
    except RuntimeError:  # a command before this one, in the same process, has begun to use it
        logger.debug("TensorFlow has its devices already")
