"""Image files -> the pixels that the network sees."""

import os
from collections.abc import Sequence

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bpnet.data import storage
from bpnet.data.colour import change_colours
from bpnet.data.crop import Crop
from bpnet.data.image_headers import JPEG_START, jpeg_size
from bpnet.errors import DataError

BORDER = 127  # grey value outside the image
VALID = 255  # of a mask's pixels that count
JPEG_END = b"\xff\xd9"


def read_file(path: str, *, name: str) -> bytes:
    """All bytes of a file, plain or behind an address such as ``gs://bucket/a.jpg``.

    Args:
        path: The file.
        name: What to call it in an error.

    Raises:
        DataError: It is missing or cannot be read.
    """
    try:
        if storage.is_remote(path):
            return storage.read_bytes(path)
        # Path.read_bytes costs four times as much, 3 % of decoding.
        file = os.open(path, os.O_RDONLY)
        try:
            size = os.fstat(file).st_size
            data = os.read(file, size)
            while len(data) < size and (more := os.read(file, size - len(data))):
                data += more
        finally:
            os.close(file)
        return data
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}") from error


def draw_image(
    data: bytes,
    *,
    name: str,
    crop: Crop,
    image_size: tuple[int, int],
    colours: tuple[NDArray[np.float32], float] | None,
    target: NDArray[np.uint8],
) -> None:
    """Draw an image file as the network sees it.

    Args:
        data: A JPEG (decoded only where and as finely as needed), PNG or what else OpenCV reads.
        name: What to call it in an error.
        crop: What to decode, and from there to network-input pixels; of the file's pixels as they
            are stored, whatever its EXIF orientation says.
        image_size: Height and width that the file must have.
        colours: Change of the colours (3, 4) and standard deviation of the blur in network-input
            pixels, as in ``Colours``; None to keep them.
        target: (H, W, 3) RGB, written to; grey where the image does not reach.

    Raises:
        DataError: The file is damaged or of another size.
    """
    if data.startswith(JPEG_START):
        size = jpeg_size(data)
        if size is None:
            raise _damaged(name)
        _check_size(size, name, image_size)
        image = _decode_jpeg(data, name, crop)
    else:
        whole = _decode_whole(data, name, cv2.IMREAD_COLOR_RGB)
        _check_size(whole.shape, name, image_size)
        image = crop.cut(whole)
    if colours is not None:
        matrix, sigma = colours
        image = change_colours(image, matrix, sigma=sigma / crop.scale)
    crop.warp(image, target.shape[:2], border=BORDER, target=target)


def draw_mask(
    data: bytes,
    *,
    name: str,
    crop: Crop,
    image_size: tuple[int, int],
    network_size: tuple[int, int],
    map_size: tuple[int, int],
) -> NDArray[np.float32]:
    """How much (h, w) of each map cell counts, 0 to 255; what lies outside the image does.

    Args:
        data: An image file of one channel: 255 where pixels count, 0 where they do not.
        name: What to call it in an error.
        crop: That of the image.
        image_size: Height and width that the file must have.
        network_size: Height and width of the network's input.
        map_size: Height h and width w of the maps, a whole number of times smaller.

    Raises:
        DataError: The file is damaged or of another size.
    """
    mask = _decode_whole(data, name, cv2.IMREAD_GRAYSCALE)
    _check_size(mask.shape, name, image_size)
    part = crop.cut(mask)
    rows, columns = map_size
    if part.min() == VALID:
        return np.full((rows, columns), VALID, np.float32)
    seen = crop.warp(part, network_size, border=VALID)
    averaged = cv2.resize(seen.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(averaged, np.float32)


def _decode_jpeg(data: bytes, name: str, crop: Crop) -> NDArray[np.uint8]:
    """The pixels (h, w, 3) of a crop of a JPEG."""
    try:
        if not data.endswith(JPEG_END):  # perhaps cut short below the crop, where nobody looks
            tf.io.decode_jpeg(data, channels=3)
        # Tensors and every option: only so TensorFlow takes its fast way, half as long under
        # Python's lock.
        pixels = tf.raw_ops.DecodeAndCropJpeg(
            contents=tf.constant(data),
            crop_window=tf.constant([crop.top, crop.left, crop.height, crop.width]),
            channels=3,
            ratio=crop.reduction,
            fancy_upscaling=True,
            try_recover_truncated=False,
            acceptable_fraction=1.0,
            dct_method="INTEGER_ACCURATE",  # the default moves small things by 0.05 pixels
        )
    except tf.errors.InvalidArgumentError as error:
        raise _damaged(name) from error
    return np.asarray(memoryview(pixels))


def _decode_whole(data: bytes, name: str, flags: int) -> NDArray[np.uint8]:
    """The pixels of any image that OpenCV reads, as they are stored."""
    buffer = np.frombuffer(data, np.uint8)
    image = cv2.imdecode(buffer, flags | cv2.IMREAD_IGNORE_ORIENTATION) if data else None
    if image is None:
        raise _damaged(name)
    return np.asarray(image, np.uint8)


def _check_size(found: Sequence[int], name: str, expected: tuple[int, int]) -> None:
    if tuple(found[:2]) != expected:
        raise DataError(
            f"{name} is {found[1]} x {found[0]} pixels but {expected[1]} x {expected[0]} in its "
            "record; convert the dataset again"
        )


def _damaged(name: str) -> DataError:
    return DataError(f"{name} is not an image, or is damaged; replace it or leave it out")
