"""Which devices a training uses, of this machine and of others."""

import functools
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from bpnet.errors import SpecError
from bpnet.training.cluster import Worker, read_cluster

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Devices:
    """The devices that take each step together: one, several of a machine, or of several machines.

    Every device has its own copy of all variables. TensorFlow keeps the copies of a variable as one
    object; what a device does to its own copy goes through ``local``.

    Attributes:
        strategy: Creates variables on every device, and runs functions on each.
        worker: This process among those that train together.
    """

    strategy: Any = field(default_factory=tf.distribute.get_strategy)
    worker: Worker = field(default_factory=Worker)

    @property
    def count(self) -> int:
        """Devices of all machines."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def here(self) -> int:
        """Devices of this process."""
        return self.count // self.worker.count

    def local(self, value: Any, device: int) -> Any:
        """The copy of a variable, or the part of a result, on a device of this process."""
        value = value.value if isinstance(value, keras.Variable) else value
        return self.strategy.experimental_local_results(value)[device]

    def own_rows(self, rows: Any) -> Any:
        """This device's share of (n, ...), which holds those of all devices here, in their order.

        For inside of ``strategy.run``.
        """
        if self.here == 1:
            return rows
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        share = rows.shape[0] // self.here
        parts = tf.reshape(rows, tf.concat([[self.here, share], tf.shape(rows)[1:]], 0))
        own = tf.gather(parts, number - self.worker.index * self.here)
        return tf.ensure_shape(own, [share, *rows.shape[1:]])

    def total(self, values: list[Any]) -> list[Any]:
        """The sum over all devices of each of ``values``, for inside of ``strategy.run``."""
        if self.count == 1:
            return values
        context = tf.distribute.get_replica_context()
        return list(context.all_reduce(tf.distribute.ReduceOp.SUM, values))

    def share(self, value: float) -> float:
        """The chief's ``value``, for every process; all of them must ask at the same time."""
        if self.worker.count == 1:
            return value
        spoken = value if self.worker.is_chief else 0.0
        return float(self._sum(tf.constant(spoken / self.here, tf.float64)))

    @functools.cached_property
    def _sum(self) -> Callable[[Any], Any]:
        """The sum of a number of every device, as a graph."""

        def add(value: Any) -> Any:
            return self.total([tf.identity(value)])[0]  # TensorFlow asks on which device it is

        def run(value: Any) -> Any:
            return self.local(self.strategy.run(add, args=(value,)), 0)

        return tf.function(run, autograph=False)  # type: ignore[no-any-return]


def choose_devices(gpus: int, indices: list[int] | None) -> Devices:
    """The devices that ``--gpus``, ``--gpu_index`` and ``TF_CONFIG`` mean; the log says which.

    Raises:
        SpecError: This machine lacks them, or ``TF_CONFIG`` is wrong.
    """
    worker = read_cluster()
    found = tf.config.list_physical_devices("GPU")
    numbers = _gpu_numbers(gpus, indices, found=len(found))
    chosen = [found[number] for number in numbers]
    _hide_others(chosen)
    strategy = tf.distribute.get_strategy()
    if worker.count > 1:
        try:
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        except RuntimeError as error:  # something in this process has used TensorFlow already
            raise SpecError(
                f"TF_CONFIG: several machines must be set up first of all ({error}); "
                "start `bpnet train` as a process of its own"
            ) from error
    elif len(chosen) > 1:
        names = [device.name for device in tf.config.list_logical_devices("GPU")]
        strategy = tf.distribute.MirroredStrategy(names if len(names) == len(chosen) else None)
    _say(chosen, worker)
    return Devices(strategy, worker)


def _gpu_numbers(gpus: int, indices: list[int] | None, *, found: int) -> list[int]:
    """The GPUs to use, by number; none where there is none and none was asked for."""
    if indices and gpus > 1 and len(indices) != gpus:
        raise SpecError(f"--gpus {gpus} and --gpu_index {' '.join(map(str, indices))} disagree")
    numbers = list(indices or range(gpus))
    if not found and numbers == [0]:
        return []
    if len(set(numbers)) < len(numbers):
        raise SpecError(f"--gpu_index {' '.join(map(str, numbers))} names a GPU twice")
    if max(numbers) >= found:
        option = f"--gpu_index {max(numbers)}" if indices else f"--gpus {gpus}"
        raise SpecError(f"{option}: this machine has {found} GPU(s)")
    return numbers


def _hide_others(chosen: list[Any]) -> None:
    """Show TensorFlow the chosen GPUs alone, and let it take their memory as it needs it."""
    if not chosen:
        return
    try:
        tf.config.set_visible_devices(chosen, "GPU")
        for device in chosen:
            tf.config.experimental.set_memory_growth(device, enable=True)
    except RuntimeError:  # a command before this one, in the same process, has begun to use them
        logger.debug("TensorFlow has its devices already")


def _say(chosen: list[Any], worker: Worker) -> None:
    if worker.count > 1:
        logger.info("worker %d of %d", worker.index + 1, worker.count)
    if not chosen:
        logger.info("training on the CPU, %d cores", os.cpu_count() or 1)
    for device in chosen:
        details = tf.config.experimental.get_device_details(device)
        number = device.name.rpartition(":")[2]
        logger.info("training on GPU %s, %s", number, details.get("device_name", "of unknown name"))
