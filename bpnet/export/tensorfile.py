"""TAO's tensorfile: calibration images in HDF5, normalised, as ``--cal_data_file`` has them.

Root attributes ``count`` and ``shape``; a group ``_tensorfile_array_key__0``, ``__1``... for every
batch, in it the dataset ``_tensorfile_array_key_``, gzip, (B, H, W, C). TAO writes float64; any
float is read. One batch is in memory at a time.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bpnet.errors import DataError, MissingLibraryError
from bpnet.files import replacing

ARRAY = "_tensorfile_array_key_"
DTYPES = ("float16", "float32")
CHANNELS = 3


def write_tensorfile(
    path: Path,
    images: Iterable[NDArray[np.float32]],
    *,
    dtype: str = "float32",
    batch_size: int = 1,
    total: int | None = None,
) -> int:
    """Write ``images`` (H, W, 3), normalised, all of one size; returns how many.

    Args:
        path: The file; it is replaced when all images have been written.
        images: Read once, a batch at a time.
        dtype: float16, half the size, or float32.
        batch_size: Images a batch; the last batch may be smaller.
        total: How many images there are, for the progress bar.

    Raises:
        DataError: There are none, or the file cannot be written.
        MissingLibraryError: h5py is not installed.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}, not one of {DTYPES}")
    library = _h5py()
    count = batches = 0
    shown = tqdm(images, total=total, desc=f"writing {path.name}", unit="image", disable=None)
    shape: tuple[int, ...] = ()  # of an image
    with replacing(path) as temporary, library.File(temporary, "w") as file:
        remaining = iter(shown)
        while chunk := list(itertools.islice(remaining, batch_size)):
            batch = np.stack(chunk).astype(dtype)
            if batches == 0:
                shape = batch.shape[1:]
                file.attrs["shape"] = batch.shape
            elif batch.shape[1:] != shape:
                raise ValueError(f"an image is {batch.shape[1:]}, those before it {shape}")
            group = file.create_group(f"{ARRAY}_{batches}")
            group.create_dataset(ARRAY, data=batch, compression="gzip", shuffle=True)
            batches += 1
            count += len(batch)
        if not count:
            raise DataError(f"there are no images to write into {path}")
        file.attrs["count"] = batches
    return count


def tensorfile_shape(path: Path) -> tuple[int, int, int]:
    """Number of images, height and width, pixels, of the file.

    Raises:
        DataError: It is not there, or is no tensorfile.
        MissingLibraryError: h5py is not installed.
    """
    images, height, width = 0, 0, 0
    with _open(path) as file:
        for number in range(_count(file, path)):
            batch, height, width = _images_shape(_dataset(file, path, number), path)
            images += batch
    return images, height, width


def read_tensorfile(path: Path) -> Iterator[NDArray[np.float32]]:
    """The images (H, W, 3) of the file, normalised as they were written, one after the other.

    Raises:
        DataError: It is not there, or is no tensorfile.
        MissingLibraryError: h5py is not installed.
    """
    tensorfile_shape(path)  # faults show before the first image is asked for
    return _read_images(path)


def _read_images(path: Path) -> Iterator[NDArray[np.float32]]:
    with _open(path) as file:
        for number in range(_count(file, path)):
            try:
                batch = _dataset(file, path, number)[()].astype(np.float32)
            except OSError as error:
                raise DataError(f"{path}: batch {number} is damaged: {error}") from error
            if not np.isfinite(batch).all():
                raise DataError(f"{path}: batch {number} has values that are not finite")
            if batch.shape[-1] != CHANNELS:
                batch = np.ascontiguousarray(batch.transpose(0, 2, 3, 1))
            yield from batch


def _open(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"{path} is not there; --cal_data_file names a tensorfile (HDF5)")
    try:
        return _h5py().File(path, "r")
    except OSError as error:
        raise DataError(f"{path} is no tensorfile: HDF5 is expected, {error}") from error


def _count(file: Any, path: Path) -> int:
    count = int(file.attrs.get("count", 0))
    if count < 1:
        raise DataError(f"{path} is no tensorfile, or an empty one: it has no attribute `count`")
    return count


def _dataset(file: Any, path: Path, number: int) -> Any:
    name = f"{ARRAY}_{number}/{ARRAY}"
    if name not in file:
        raise DataError(f"{path} has no {name}; a tensorfile as TAO writes it is expected")
    return file[name]


def _images_shape(dataset: Any, path: Path) -> tuple[int, int, int]:
    """Images, height and width of a batch, whose channels may come last or first."""
    shape = dataset.shape
    if len(shape) == 4 and CHANNELS in (shape[3], shape[1]) and dataset.dtype.kind == "f":
        height, width = shape[1:3] if shape[3] == CHANNELS else shape[2:4]
        return shape[0], height, width
    raise DataError(
        f"{path}: {dataset.name} is {dataset.dtype} {shape}; floats (images, height, width, "
        f"{CHANNELS}) are expected"
    )


def _h5py() -> Any:
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            "tensorfiles (--cal_data_file) need h5py: pip install h5py; or give the photos "
            "themselves with --cal_image_dir"
        ) from error
    return h5py
