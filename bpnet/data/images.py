"""Image files -> the pixels that the network sees."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bpnet.data.crop import Crop, find_crop
from bpnet.errors import DataError
from bpnet.pose.transform import ImageTransform

BORDER = 127  # grey value outside the image
JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
# Start-of-frame markers, which hold the size; C4, C8 and CC between them are something else.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def read_image(
    path: str,
    *,
    transform: ImageTransform,
    image_size: tuple[int, int],
    network_size: tuple[int, int],
) -> NDArray[np.uint8]:
    """An image file as the network sees it, uint8 (H, W, 3) RGB.

    Args:
        path: JPEG (decoded only where and as finely as needed), PNG or what else OpenCV reads.
        transform: From the file's pixels, as they are stored, to network-input pixels.
        image_size: Height and width that the file must have.
        network_size: Height H and width W of the result.

    Raises:
        DataError: The file is missing, damaged or of another size.
    """
    data = _read_file(path)
    if not data.startswith(JPEG_START):
        image = _decode_whole(data, path, cv2.IMREAD_COLOR_RGB)
        _check_size(image.shape, path, image_size)
        return _warp(image, transform, network_size)
    _check_size(_jpeg_size(data, path), path, image_size)
    crop = find_crop(transform, image_size=image_size, network_size=network_size)
    return _warp(_decode_jpeg(data, path, crop), crop.transform, network_size)


def read_mask(path: str, *, image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask file, uint8 (H, W): 255 where pixels count, 0 where they do not.

    Args:
        path: An image of one channel.
        image_size: Height and width that the file must have.

    Raises:
        DataError: The file is missing, damaged or of another size.
    """
    mask = _decode_whole(_read_file(path), path, cv2.IMREAD_GRAYSCALE)
    _check_size(mask.shape, path, image_size)
    return mask


def _read_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _warp(
    image: NDArray[np.uint8], transform: ImageTransform, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """An image (h, w, 3) drawn into one of ``size`` (height, width)."""
    # OpenCV warps four channels 2.5 times faster than three, to the same pixels.
    padded = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2RGBA), np.uint8)
    warped = transform.warp(padded, size, border=BORDER)
    return np.asarray(cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB), np.uint8)


def _decode_jpeg(data: bytes, path: str, crop: Crop) -> NDArray[np.uint8]:
    """The pixels (h, w, 3) of a crop of a JPEG."""
    try:
        if not data.endswith(JPEG_END):  # perhaps cut short below the crop, where nobody looks
            tf.io.decode_jpeg(data, channels=3)
        pixels = tf.io.decode_and_crop_jpeg(
            data,
            [crop.top, crop.left, crop.height, crop.width],
            channels=3,
            ratio=crop.reduction,
            dct_method="INTEGER_ACCURATE",  # the default moves small things by 0.05 pixels
        )
    except tf.errors.InvalidArgumentError as error:
        raise _damaged(path) from error
    return np.asarray(memoryview(pixels))


def _decode_whole(data: bytes, path: str, flags: int) -> NDArray[np.uint8]:
    """The pixels of any image that OpenCV reads, as they are stored."""
    buffer = np.frombuffer(data, np.uint8)
    image = cv2.imdecode(buffer, flags | cv2.IMREAD_IGNORE_ORIENTATION) if data else None
    if image is None:
        raise _damaged(path)
    return np.asarray(image, np.uint8)


def _jpeg_size(data: bytes, path: str) -> tuple[int, int]:
    """Height and width of a JPEG, from its start-of-frame segment."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in JPEG_FRAMES:
            height = int.from_bytes(data[place + 5 : place + 7], "big")
            return height, int.from_bytes(data[place + 7 : place + 9], "big")
        # A marker may be padded with any number of FF; other segments say how long they are.
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        place += 1 if marker == 0xFF else 2 + length
    raise _damaged(path)


def _check_size(found: Sequence[int], path: str, expected: tuple[int, int]) -> None:
    if tuple(found[:2]) != expected:
        raise DataError(
            f"{path} is {found[1]} x {found[0]} pixels but {expected[1]} x {expected[0]} in its "
            "record; convert the dataset again"
        )


def _damaged(path: str) -> DataError:
    return DataError(f"{path} is not an image, or is damaged; replace it or leave it out")
