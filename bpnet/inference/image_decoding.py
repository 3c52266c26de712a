"""The bytes of an image file -> the picture that a person would see, 8 bits RGB."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.data.image_headers import JPEG_START, exif_orientation, pixel_size
from bpnet.errors import DataError
from bpnet.inference.orientation import EXIF

BEHIND = 128  # grey seen through transparent pixels, as in the padding (`pad_value`)
MOST_PIXELS = 2**28  # 268 million: 0.8 GB as RGB, more than any camera's


def decode_image(data: bytes, name: str, *, upright: bool = True) -> NDArray[np.uint8]:
    """An image file as (H, W, 3) uint8 RGB.

    16 bits become 8; real numbers count from 0 (black) to 1 (white); transparent pixels are laid
    over the grey ``BEHIND``; grey, palette and CMYK become RGB; of an animation the first picture.

    Args:
        data: JPEG, PNG, WebP, TIFF, BMP, or what else OpenCV reads.
        name: What to call it in an error.
        upright: turn the picture as its EXIF orientation says (a TIFF is always turned).

    Raises:
        DataError: It is empty, cut short, too large or not an image.
    """
    if not data:
        raise DataError(f"{name} is empty")
    if _is_cut(data):
        raise DataError(f"{name} is cut short: its end-of-image mark is missing")
    size = pixel_size(data)
    if size is not None and size[0] * size[1] > MOST_PIXELS:
        raise DataError(
            f"{name} has {size[1]} x {size[0]} pixels, more than the {MOST_PIXELS >> 20} million "
            "that are read; make it smaller"
        )
    if data.startswith(JPEG_START):  # 8 bits, no transparency; OpenCV turns it and undoes CMYK
        flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        return as_rgb(_decode(data, name, flags), name)
    image = as_rgb(_decode(data, name, cv2.IMREAD_UNCHANGED), name)
    return EXIF[exif_orientation(data)].apply(image) if upright else image


def as_rgb(pixels: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """OpenCV's pixels (H, W) or (H, W, C) in blue, green, red (, alpha) as (H, W, 3) uint8 RGB.

    Raises:
        DataError: They are neither 8 nor 16 bits nor real numbers, or of 2 or more than 4 channels.
    """
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)
    elif pixels.dtype.kind == "f":
        pixels = np.rint(255 * np.clip(np.nan_to_num(pixels), 0, 1)).astype(np.uint8)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if pixels.dtype != np.uint8 or channels not in (1, 3, 4):
        raise DataError(
            f"{name} has {channels} channels of {pixels.dtype}; save it as an image of 8 or 16 "
            "bits in grey or colour"
        )
    if channels == 1:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
    if channels == 3:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    colours = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB)
    alpha = pixels[..., 3:].astype(np.uint16)
    if alpha.min() == 255:
        return np.asarray(colours, np.uint8)
    return ((colours * alpha + BEHIND * (255 - alpha) + 127) // 255).astype(np.uint8)


def _is_cut(data: bytes) -> bool:
    """Whether a JPEG or PNG ends early; the decoders would fill the rest with grey.

    Scan data cannot hold a marker, so after a whole JPEG's last start of scan there is an end of
    image, even where thumbnails come before or other bytes after.
    """
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return data.startswith(b"\x89PNG") and b"IEND" not in data


def _decode(data: bytes, name: str, flags: int) -> NDArray[Any]:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if "MAX_IMAGE" in error.err:
            raise DataError(f"{name} has more pixels than OpenCV reads; make it smaller") from error
        raise DataError(f"{name} cannot be decoded: {error.err}") from error
    if image is None:
        raise DataError(f"{name} is not an image that can be decoded, or is damaged")
    return np.asarray(image)
