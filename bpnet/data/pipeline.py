"""Records -> batches for the training step.

One Python call a batch spreads its images over a pool of threads; each thread reads, decodes and
warps whole images, nearly all of it outside Python's lock. A batch is a pure function of the seed
and its step, so neither the number of threads nor a resumed training changes it.
"""

import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bpnet.data.augment import (
    MainPerson,
    epoch_order,
    move_keypoints,
    random_numbers,
    sample_view,
)
from bpnet.data.images import read_image, read_mask
from bpnet.data.keypoints import KeypointReader
from bpnet.data.records import PoseRecord, RecordIndex
from bpnet.errors import DataError, SpecError
from bpnet.pose.skeleton import Skeleton
from bpnet.pose.transform import ImageTransform
from bpnet.spec.dataloader import BpNetDataloader
from bpnet.spec.dataset import DatasetSpec

BATCHES_AT_ONCE = 2  # so that no thread idles while a batch's last image is decoded

Batch = dict[str, tf.Tensor]
Example = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], str]


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
        batch_size: Images a batch, N.
        first_step: Number of the first batch; the batch of a step never depends on it.
        steps: Batches before the end; None for no end.
        augment: Randomly flip, shift, zoom and rotate; else show each image's unrandomised view.
        shard: Which part of each step's images, where several processes share a training.
        shards: Among how many processes a step is shared, ``batch_size`` images each.
        threads: Decoding threads; default: the processor's cores.

    Returns:
        Dictionaries of ``images`` uint8 (N, H, W, 3) RGB; ``masks`` float32 (N, h, w, 1), 1 where
        a map's cell counts; ``keypoints`` float32 (N, P, K, 3), x and y in network-input pixels
        and 1 where labelled, P the batch's greatest number of people; ``paths`` string (N,).

    Raises:
        DataError: A record file is missing or damaged, or there are no records.
        SpecError: The maps do not fit the input, or a dataset does not fit the skeleton.
    """
    source = BatchReader(
        loader,
        skeleton=skeleton,
        datasets=datasets,
        records=records,
        seed=seed,
        augment=augment,
        threads=threads,
    )

    def read(step: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        first = (int(step) * shards + shard) * batch_size
        return source.read(range(first, first + batch_size))

    def to_batch(step: tf.Tensor) -> Batch:
        kinds = (tf.uint8, tf.float32, tf.float32, tf.string)
        images, masks, keypoints, paths = tf.numpy_function(read, [step], kinds)
        height, width = source.network_size
        images.set_shape((batch_size, height, width, 3))
        masks.set_shape((batch_size, *loader.pose_config.target_shape, 1))
        keypoints.set_shape((batch_size, None, len(skeleton.keypoints), 3))
        paths.set_shape((batch_size,))
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
    iterator = iter(batches)
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except tf.errors.OpError as error:
            # TensorFlow carries an error out of its threads as text: type, sentence, traceback.
            found = re.search(r"DataError: (.*?)\n\s*Traceback", error.message, re.DOTALL)
            if found is None:
                raise
            raise DataError(found[1]) from None
        yield batch


def steps_per_epoch(records: Sequence[Path], batch_size: int) -> int:
    """Whole batches of an epoch, at least one; ``batch_size`` counts all processes' images.

    Raises:
        DataError: A record file is missing or damaged.
    """
    return max(1, len(RecordIndex(records)) // batch_size)


class BatchReader:
    """Reads any batch of a training: records, images and masks from files, geometry by seed."""

    def __init__(
        self,
        loader: BpNetDataloader,
        *,
        skeleton: Skeleton,
        datasets: Mapping[str, DatasetSpec],
        records: Sequence[Path],
        seed: int,
        augment: bool,
        threads: int | None = None,
    ) -> None:
        """Scan the record files; arguments and errors as ``make_batches``.

        It turns OpenCV's own threads off, for the whole process: beside the pool's they cost
        more than they save.
        """
        cv2.setNumThreads(1)
        self.network_size = (
            loader.image_config.image_dims.height,
            loader.image_config.image_dims.width,
        )
        self._check_maps(loader)
        self._loader = loader
        self._mirror = skeleton.mirror
        self._readers = {
            name: KeypointReader.build(skeleton, spec) for name, spec in datasets.items()
        }
        self._index = RecordIndex(records)
        if len(self._index) == 0:
            raise DataError(
                f"there is no record in {', '.join(map(str, records)) or 'no files'}; "
                "convert a dataset with labelled people"
            )
        self._seed = seed
        self._augment = augment
        self._order = functools.lru_cache(maxsize=2)(
            lambda epoch: epoch_order(seed, epoch, len(self._index))
        )
        self._pool = ThreadPoolExecutor(threads or len(os.sched_getaffinity(0)), "bpnet-loader")

    def read(self, positions: Sequence[int]) -> tuple[NDArray[Any], ...]:
        """Images, masks, keypoints and paths of the training images at these positions.

        Args:
            positions: Counted from the first image of the first epoch.

        Raises:
            DataError: An image, mask or record cannot be used; the sentence names it.
        """
        try:
            tasks = [self._pool.submit(self._read_one, position) for position in positions]
        except RuntimeError:  # the program is ending while batches are still fetched ahead
            raise StopIteration from None
        wait(tasks)  # once, not once an image
        examples = [task.result() for task in tasks]
        people = max(1, *(len(keypoints) for _, _, keypoints, _ in examples))
        padded = np.zeros((len(examples), people, len(self._mirror), 3), np.float32)
        for row, (_, _, keypoints, _) in zip(padded, examples, strict=True):
            row[: len(keypoints)] = keypoints
        images, masks, _, paths = zip(*examples, strict=True)
        return np.stack(images), np.stack(masks), padded, np.array([p.encode() for p in paths])

    def _read_one(self, position: int) -> Example:
        """Image (H, W, 3), mask (h, w, 1), keypoints (P, K, 3) and path of one training image."""
        epoch, place = divmod(position, len(self._index))
        record = self._index.parse(int(self._order(epoch)[place]))
        if record.dataset not in self._readers:
            raise DataError(
                f"the record of {record.image_path} is of dataset {record.dataset}, which "
                f"dataset_specs does not name ({', '.join(self._readers)}); add its dataset spec"
            )
        keypoints = self._readers[record.dataset].read(record.joints)
        person = None
        if len(record.scales):
            (x, y), height = record.centers[0], record.scales[0]
            person = MainPerson(x=float(x), y=float(y), height=float(height))
        view = sample_view(
            self._loader.augmentation_config,
            image_size=(record.height, record.width),
            person=person,
            network_size=self.network_size,
            draws=random_numbers(self._seed, position) if self._augment else None,
        )
        path = f"{self._loader.dataset_config.root_data_path}/{record.image_path}"
        image = read_image(
            path,
            transform=view.transform,
            image_size=(record.height, record.width),
            network_size=self.network_size,
        )
        mask = self._read_mask(record, view.transform)
        return image, mask, move_keypoints(keypoints, view, self._mirror), path

    def _read_mask(self, record: PoseRecord, transform: ImageTransform) -> NDArray[np.float32]:
        """The mask (h, w, 1) of an image: how much of each cell counts, by default 0 to 1."""
        rows, columns = self._loader.pose_config.target_shape
        params = self._loader.normalization_params
        averaged: NDArray[np.float32] = np.full((rows, columns), 255, np.float32)
        if record.mask_path:
            path = f"{self._loader.dataset_config.root_data_path}/{record.mask_path}"
            mask = read_mask(path, image_size=(record.height, record.width))
            seen = transform.warp(mask, self.network_size, border=255).astype(np.float32)
            # Averaged, so that a cell counts by as much of it as is valid.
            area = cv2.resize(seen, (columns, rows), interpolation=cv2.INTER_AREA)
            averaged = np.asarray(area, np.float32)
        scale, offset = np.float32(params.mask_scale[0]), np.float32(params.mask_offset[0])
        return averaged[..., None] / scale - offset

    @staticmethod
    def _check_maps(loader: BpNetDataloader) -> None:
        height, width = (
            loader.image_config.image_dims.height,
            loader.image_config.image_dims.width,
        )
        rows, columns = loader.pose_config.target_shape
        if height % rows or width % columns or height // rows != width // columns:
            raise SpecError(
                f"pose_config.target_shape [{rows}, {columns}] does not fit image_dims "
                f"{height} x {width}; both sides must be the same whole number smaller"
            )
