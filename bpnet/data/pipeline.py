"""Records -> batches for the training step.

One Python call a batch works out its geometry and spreads its images over a pool of threads; each
thread reads, decodes and warps whole images, nearly all of it outside Python's lock. A batch is a
pure function of the seed and its step, so neither the number of threads nor a resumed training
changes it.
"""

import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bpnet.data.batch_memory import BatchMemory
from bpnet.data.batch_reader import BatchReader
from bpnet.data.records import RecordIndex
from bpnet.data.skipped import SkippedImages
from bpnet.errors import DataError
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataloader import BpNetDataloader
from bpnet.spec.dataset import DatasetSpec

BATCHES_AT_ONCE = 2  # so that no thread idles while a batch's last image is decoded

Batch = dict[str, tf.Tensor]


def make_batches(
    loader: BpNetDataloader,
    *,
    skeleton: Skeleton,
    datasets: Mapping[str, DatasetSpec],
    records: Sequence[Path],
    seed: int,
    batch_size: int,
    first_step: int = 0,
    steps: int | None = None,
    augment: bool = True,
    shard: int = 0,
    shards: int = 1,
    threads: int | None = None,
    skipped: SkippedImages | None = None,
) -> tf.data.Dataset:
    """The batches of a training, from ``first_step`` on.

    Records are visited in a new order each epoch; a batch may hold the end of one epoch and the
    start of the next. Read it through ``iterate`` to meet errors as sentences.

    Args:
        loader: The ``dataloader`` section of the spec.
        skeleton: Whose keypoints the batches hold.
        datasets: Dataset spec of each dataset name in the records.
        records: TFRecord files.
        seed: Of the epochs' order and the augmentation.
        batch_size: Images a step, all shards' together; N is the part of one shard.
        first_step: Number of the first batch; the batch of a step never depends on it.
        steps: Batches before the end; None for no end.
        augment: Randomly flip, shift, zoom and rotate; else show each image's unrandomised view.
        shard: Which part of each step's images, where several processes or devices share a
            training; each decodes its own only.
        shards: In how many parts each step is split; the parts one after the other are the batch
            of a single shard.
        threads: Decoding threads; default: the processor's cores.
        skipped: Takes the images, masks and records that cannot be used, and the training goes on:
            a grey image, a mask of zeros and no people stand for each. None to end with the error.

    Returns:
        Dictionaries of ``images`` uint8 (N, H, W, 3) RGB; ``masks`` float32 (N, h, w, 1), 1 where
        a map's cell counts; ``keypoints`` float32 (N, P, K, 3), x and y in network-input pixels
        and 1 where labelled, P the batch's greatest number of people; ``paths`` string (N,).

    Raises:
        DataError: A record file is missing or damaged, or there are no records.
        SpecError: The maps do not fit the input, or a dataset does not fit the skeleton.
        ValueError: ``batch_size`` cannot be split into so many shards.
    """
    if not 0 <= shard < shards or batch_size % shards:
        raise ValueError(f"a batch of {batch_size} has no shard {shard} of {shards}")
    part = batch_size // shards  # images of this shard a step
    source = BatchReader(
        loader,
        skeleton=skeleton,
        datasets=datasets,
        records=records,
        seed=seed,
        augment=augment,
        threads=threads,
        skipped=skipped,
    )

    memory = BatchMemory((part, *source.network_size, 3))

    def read(step: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        return source.read(int(step) * batch_size + shard * part, memory.take())

    def to_batch(step: tf.Tensor) -> Batch:
        kinds = (tf.uint8, tf.float32, tf.float32, tf.string)
        images, masks, keypoints, paths = tf.numpy_function(read, [step], kinds)
        height, width = source.network_size
        images.set_shape((part, height, width, 3))
        masks.set_shape((part, *loader.pose_config.target_shape, 1))
        keypoints.set_shape((part, None, len(skeleton.keypoints), 3))
        paths.set_shape((part,))
        return {"images": images, "masks": masks, "keypoints": keypoints, "paths": paths}

    last_step = np.iinfo(np.int64).max if steps is None else first_step + steps
    batches = tf.data.Dataset.range(first_step, last_step)
    batches = batches.map(to_batch, num_parallel_calls=BATCHES_AT_ONCE, deterministic=True)
    options = tf.data.Options()
    # Own threads: the calls wait for the pool, and would wait in the training step's own threads.
    options.threading.private_threadpool_size = BATCHES_AT_ONCE + 1
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.with_options(options).prefetch(2)


def iterate(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches, with the errors of ``make_batches`` as they were raised there.

    Raises:
        DataError: An image, mask or record cannot be used; the sentence names it.
    """
    held = [iter(batches)]
    try:
        while True:
            try:
                batch = next(held[0])
            except StopIteration:
                return
            except tf.errors.OpError as error:
                # TensorFlow carries an error out of its threads as text: type, sentence, traceback.
                found = re.search(r"DataError: (.*?)\n\s*Traceback", error.message, re.DOTALL)
                if found is None:
                    raise
                raise DataError(found[1]) from None
            yield batch
    finally:
        # Destroying an iterator waits for its own threads. Left to the garbage collector (an
        # error's traceback holds this frame) that can happen inside one of them, for ever.
        threading.Thread(target=held.clear, name="bpnet-loader-end").start()


def steps_per_epoch(
    records: Sequence[Path], batch_size: int, skipped: SkippedImages | None = None
) -> int:
    """Whole batches of an epoch, at least one; arguments as ``make_batches``.

    Raises:
        DataError: A record file is missing or damaged.
    """
    return max(1, len(RecordIndex(records, skipped=skipped)) // batch_size)
