"""Whether the image files of a dataset are there, whole, and of the size that it says."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from bpnet.data.coco import CocoImage
from bpnet.data.image_headers import JPEG_START
from bpnet.data.storage import address, is_file, read_bytes

MISSING, DAMAGED = "image file is missing", "image file is damaged"
REDUCTION = 8  # a JPEG is read to its end, but drawn that much smaller


@dataclass(frozen=True)
class ImageFault:
    """An image file that training could not use.

    Attributes:
        reason: MISSING or DAMAGED.
        sentence: Which image it is and what is wrong with it.
    """

    reason: str
    sentence: str


def find_missing(images: Sequence[CocoImage], folder: Path) -> dict[int, ImageFault]:
    """The images without a file, by id.

    Raises:
        OSError: A remote file system cannot be asked.
    """
    return {
        image.id: _missing(image, folder)
        for image in images
        if not is_file(folder / image.file_name)
    }


def check_images(
    images: Sequence[CocoImage], folder: Path, *, workers: int
) -> dict[int, ImageFault]:
    """The images that cannot be used, by id: every file is read and decoded.

    Args:
        images: The images of a dataset.
        folder: What their files are below.
        workers: How many are decoded at once.
    """
    cv2.setNumThreads(1)
    bar = tqdm(total=len(images), desc="checking", unit="image", disable=None)
    faults = {}
    with ThreadPoolExecutor(workers) as pool, bar:
        checked = pool.map(lambda image: check_image(image, folder), images)
        for image, fault in zip(images, checked, strict=True):
            if fault is not None:
                faults[image.id] = fault
            bar.update()
    return faults


def check_image(image: CocoImage, folder: Path) -> ImageFault | None:
    """What is wrong with an image file; None if nothing is."""
    try:
        data = read_bytes(folder / image.file_name)
    except FileNotFoundError:
        return _missing(image, folder)
    except OSError as error:
        return _damaged(image, f"cannot be read: {error.strerror or error}")
    size = _jpeg_size(data) if data.startswith(JPEG_START) else _other_size(data)
    if size is None:
        return _damaged(image, "is not an image, or is damaged")
    if size != (image.height, image.width):
        return _damaged(
            image,
            f"is {size[1]} x {size[0]} pixels but {image.width} x {image.height} in the "
            "annotation file",
        )
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG; None if it cannot be decoded to its end."""
    try:
        tf.io.decode_jpeg(data, channels=3, ratio=REDUCTION)
        height, width, _ = tf.io.extract_jpeg_shape(data).numpy().tolist()
    except tf.errors.OpError:
        return None
    return height, width


def _other_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of a file that OpenCV decodes; None if it does not."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    return None if pixels is None else (pixels.shape[0], pixels.shape[1])


def _missing(image: CocoImage, folder: Path) -> ImageFault:
    place = address(folder / image.file_name)
    return ImageFault(MISSING, f"image {image.id}: {place} does not exist")


def _damaged(image: CocoImage, said: str) -> ImageFault:
    return ImageFault(DAMAGED, f"image {image.id}: {image.file_name} {said}")
