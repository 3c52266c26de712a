"""Reads any batch of a training: records, images and masks from files, geometry by the seed."""

import functools
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.data.augment import epoch_order, move_keypoints, random_numbers, sample_views
from bpnet.data.colour import Colours, sample_colours
from bpnet.data.crop import Crop, find_crops
from bpnet.data.images import BORDER, VALID, draw_image, draw_mask, read_file
from bpnet.data.keypoints import KeypointReader
from bpnet.data.records import PoseRecord, RecordIndex
from bpnet.data.skipped import SkippedImages
from bpnet.errors import DataError, SpecError
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataloader import BpNetDataloader
from bpnet.spec.dataset import DatasetSpec

NICER = 10  # of a thread's niceness
SWITCH_INTERVAL = 2e-4  # seconds; Python's own is 5e-3, three images' decoding

Arrays = tuple[
    NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], NDArray[np.bytes_]
]  # images, masks, keypoints, paths


@dataclass(frozen=True)
class Job:
    """What the threads need to draw the images and masks of a batch, and where they draw.

    Attributes:
        records: N records.
        crops: Of each, what to decode.
        colours: Of all, None to keep them.
        images: (N, H, W, 3), written to.
        masks: (N, h, w), written to.
    """

    records: Sequence[PoseRecord]
    crops: Sequence[Crop]
    colours: Colours | None
    images: NDArray[np.uint8]
    masks: NDArray[np.float32]


def step_back() -> None:
    """Let this thread run when the network leaves a core idle, as it often does for a moment.

    A thread that decodes in the middle of an operation holds up all cores that share it.
    """
    if sys.platform == "linux":  # elsewhere it would be the whole process
        own = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, own) + NICER)


class BatchReader:
    """Batches by the number of their first image."""

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
        skipped: SkippedImages | None = None,
    ) -> None:
        """Scan the record files; arguments and errors as ``make_batches``.

        It turns OpenCV's own threads off, for the whole process: beside the pool's they cost
        more than they save. And Python's threads wait less for each other: a thread back from
        decoding needs the lock for microseconds, which one that prepares a batch would keep.
        """
        cv2.setNumThreads(1)
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL))
        dims = loader.image_config.image_dims
        self.network_size = (dims.height, dims.width)
        rows, columns = loader.pose_config.target_shape
        self._map_size = (rows, columns)
        self._check_maps()
        self._loader = loader
        self._mirror = skeleton.mirror
        self._readers = {
            name: KeypointReader.build(skeleton, spec) for name, spec in datasets.items()
        }
        self._index = RecordIndex(records, skipped=skipped)
        if len(self._index) == 0:
            raise DataError(
                f"there is no record in {', '.join(map(str, records)) or 'no files'}; "
                "convert a dataset with labelled people"
            )
        self._seed = seed
        self._augment = augment
        self._skipped = skipped
        self._order = functools.lru_cache(maxsize=2)(
            lambda epoch: epoch_order(seed, epoch, len(self._index))
        )
        self._blank = _blank_record(next(iter(self._readers)), self.network_size)
        self._threads = threads or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._threads, "bpnet-loader", step_back)

    def read(self, first: int, images: NDArray[np.uint8]) -> Arrays:
        """Images, masks, keypoints and paths of N training images.

        Args:
            first: Position of the first, counted from the first image of the first epoch.
            images: (N, H, W, 3), written to and returned.

        Raises:
            DataError: An image, mask or record cannot be used; the sentence names it.
        """
        count = len(images)
        parsed = [self._parse(position) for position in range(first, first + count)]
        records = [self._blank if record is None else record for record in parsed]
        sizes = np.array([(one.height, one.width) for one in records], np.float64)
        draws = random_numbers(self._seed, first, count) if self._augment else None
        augmentation = self._loader.augmentation_config
        views = sample_views(
            augmentation,
            image_sizes=sizes,
            people=_main_people(records),
            network_size=self.network_size,
            draws=draws,
        )
        params = augmentation.color_aug_params
        job = Job(
            records=records,
            crops=find_crops(views.matrices, image_sizes=sizes, network_size=self.network_size),
            colours=None if params is None or draws is None else sample_colours(params, draws),
            images=images,
            masks=np.full((count, *self._map_size), VALID, np.float32),
        )
        keypoints = move_keypoints(self._keypoints(records), views, self._mirror)
        pixels = self._loader.normalization_params
        skipped = self._draw(job)
        masks = job.masks / np.float32(pixels.mask_scale[0]) - np.float32(pixels.mask_offset[0])
        job.images[skipped], masks[skipped], keypoints[skipped] = BORDER, 0, 0
        paths = np.array([self._path(record.image_path).encode() for record in records])
        return job.images, masks[..., None], keypoints, paths

    def _parse(self, position: int) -> PoseRecord | None:
        """The record of a training image; None where it is damaged and that is skipped."""
        epoch, place = divmod(position, len(self._index))
        number = int(self._order(epoch)[place])
        try:
            record = self._index.parse(number)
        except DataError as error:
            if self._skipped is None:
                raise
            self._skipped.add(f"record {number}", str(error))
            return None
        if record.dataset not in self._readers:
            raise DataError(
                f"the record of {record.image_path} is of dataset {record.dataset}, which "
                f"dataset_specs does not name ({', '.join(self._readers)}); add its dataset spec"
            )
        return record

    def _keypoints(self, records: Sequence[PoseRecord]) -> NDArray[np.float32]:
        """Keypoints (N, P, K, 3) in source pixels; P the most people of a record, at least 1."""
        people = max(1, *(len(record.joints) for record in records))
        padded = np.zeros((len(records), people, len(self._mirror), 3), np.float32)
        for name, reader in self._readers.items():
            rows = [row for row, record in enumerate(records) if record.dataset == name]
            found = reader.read_all([records[row].joints for row in rows])
            begin = 0
            for row in rows:
                end = begin + len(records[row].joints)
                padded[row, : end - begin] = found[begin:end]
                begin = end
        return padded

    def _draw(self, job: Job) -> list[int]:
        """Draw all images and masks, on all threads; the rows that had to be skipped."""
        blank = [row for row, record in enumerate(job.records) if record is self._blank]
        rows = iter([row for row in range(len(job.records)) if row not in blank])
        failed: dict[int, DataError] = {}

        def work() -> None:
            for row in rows:  # shared: each thread takes the next image when it is free
                try:
                    self._draw_one(job, row)
                except DataError as error:
                    failed[row] = error

        try:
            tasks = [self._pool.submit(work) for _ in range(min(self._threads, len(job.records)))]
        except RuntimeError:  # the program is ending while batches are still fetched ahead
            raise StopIteration from None
        wait(tasks)
        for task in tasks:
            task.result()
        for row, error in sorted(failed.items()):  # the same first one whatever the threads
            if self._skipped is None:
                raise error
            self._skipped.add(self._path(job.records[row].image_path), str(error))
        return [*blank, *failed]

    def _draw_one(self, job: Job, row: int) -> None:
        """Draw an image and its mask into their row of the batch."""
        record, crop = job.records[row], job.crops[row]
        size = (record.height, record.width)
        colours = None
        if job.colours is not None:
            colours = (job.colours.matrices[row], float(job.colours.sigmas[row]))
        path = self._path(record.image_path)
        name = f"{path} (image {record.image_id})"
        draw_image(
            record.image_bytes or read_file(path, name=name),
            name=name,
            crop=crop,
            image_size=size,
            colours=colours,
            target=job.images[row],
        )
        if not (record.mask_path or record.mask_bytes):
            return
        path = self._path(record.mask_path)
        name = f"{path} (mask of image {record.image_id})"
        job.masks[row] = draw_mask(
            record.mask_bytes or read_file(path, name=name),
            name=name,
            crop=crop,
            image_size=size,
            network_size=self.network_size,
            map_size=self._map_size,
        )

    def _path(self, path: str) -> str:
        """A path of a record, below the root of the data."""
        return f"{self._loader.dataset_config.root_data_path}/{path}"

    def _check_maps(self) -> None:
        (height, width), (rows, columns) = self.network_size, self._map_size
        if height % rows or width % columns or height // rows != width // columns:
            raise SpecError(
                f"pose_config.target_shape [{rows}, {columns}] does not fit image_dims "
                f"{height} x {width}; both sides must be the same whole number smaller"
            )


def _main_people(records: Sequence[PoseRecord]) -> NDArray[np.float64]:
    """Box centre and height (N, 3) of each record's main person; NaN where there is none."""
    people = np.full((len(records), 3), np.nan)
    for row, record in zip(people, records, strict=True):
        if len(record.scales):
            row[:2], row[2] = record.centers[0], record.scales[0]
    return people


def _blank_record(dataset: str, size: tuple[int, int]) -> PoseRecord:
    """Stands for a record that cannot be read: an image of this height and width, no people."""
    height, width = size
    return PoseRecord(
        image_id=-1,
        height=height,
        width=width,
        image_path="",
        mask_path="",
        dataset=dataset,
        joints=np.zeros((0, 0, 3)),
        scales=np.zeros(0),
        centers=np.zeros((0, 2)),
        person_idx=-1,
        num_other_people=0,
    )
