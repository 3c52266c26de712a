"""Which pixels of a training image count, and the PNG files that say so."""

import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as run_lengths

from bpnet.data.annotation import Annotation
from bpnet.data.coco import CocoImage
from bpnet.data.image_headers import PNG_START
from bpnet.data.storage import address, read_bytes, remove, write_bytes
from bpnet.errors import DataError

USE, IGNORE = 255, 0
MASK = "bpnet mask"
RULES = f"{MASK} 1"  # raise the number when draw_mask changes, and stored masks are redrawn
HEADER_SIZE = 33  # bytes: the signature and a PNG's first chunk, IHDR
COMMENT_START = len(b"size" + b"tEXtComment\0")  # bytes of a comment's chunk before its text


class SegmentationError(DataError):
    """A segmentation that does not describe a region of its image."""


def mask_name(file_name: str) -> str:
    """The mask file of an image file, below the mask folder."""
    return PurePosixPath(file_name).with_suffix(".png").as_posix()


def needs_mask(image: CocoImage) -> bool:
    """Whether someone in the image has no keypoints, so that parts of it may not count."""
    return not all(annotation.labelled for annotation in image.annotations)


def draw_mask(image: CocoImage) -> NDArray[np.uint8]:
    """The mask (H, W) uint8 of an image: 255 where a pixel counts in the loss, 0 where not.

    Crowds and people without keypoints do not count, except where a labelled person covers them.

    Raises:
        SegmentationError: A segmentation cannot be decoded.
    """
    labelled = [one for one in image.annotations if one.labelled]
    ignored = _draw_regions([one for one in image.annotations if not one.labelled], image)
    mask = np.full((image.height, image.width), USE, np.uint8)
    mask[ignored & ~_draw_regions(labelled, image)] = IGNORE
    return mask


def store_mask(image: CocoImage, path: Path) -> str:
    """Draw the mask of an image into a PNG file, unless the file already holds it.

    A mask that is valid everywhere is not stored, and one left from older annotations is removed.

    Returns:
        "drawn", "kept" or "all valid".

    Raises:
        SegmentationError: A segmentation cannot be decoded.
        DataError: The file cannot be read or written, or is another image than a mask of ours.
    """
    label = _text_chunk(f"{RULES} {_fingerprint(image)}")
    stored = _read(path)
    if stored is not None and _is_whole(stored):
        comment = stored[HEADER_SIZE:]
        if comment.startswith(label):
            return "kept"
        if not comment[COMMENT_START:].startswith(MASK.encode()):
            raise DataError(
                f"{address(path)} is an image that bpnet did not draw; name another folder in "
                "mask_root_dir_path, or move the file away"
            )
    mask = draw_mask(image)
    if mask.all():
        try:
            remove(path)
        except OSError as error:
            raise DataError(f"{address(path)} cannot be removed: {error.strerror}") from error
        return "all valid"
    # One bit a pixel: read back to the same 0 and 255 in a third of the time.
    png = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_BILEVEL, 1])[1].tobytes()
    write_bytes(path, png[:HEADER_SIZE] + label + png[HEADER_SIZE:])
    return "drawn"


def count_boxes(image: CocoImage) -> int:
    """How many annotations, where the image needs a mask, have only a box to draw."""
    return sum(one.segmentation is None for one in image.annotations) if needs_mask(image) else 0


def _draw_regions(annotations: list[Annotation], image: CocoImage) -> NDArray[np.bool_]:
    """The union (H, W) of the annotations' regions."""
    union = np.zeros((image.height, image.width), np.bool_)
    for annotation in annotations:
        union |= _draw_region(annotation, image)
    return union


def _draw_region(annotation: Annotation, image: CocoImage) -> NDArray[np.bool_]:
    """The segmentation (H, W) of one annotation; its box where it has none."""
    segmentation = annotation.segmentation
    if segmentation is None:
        return _draw_box(annotation.bbox, image)
    if isinstance(segmentation, tuple):
        region = np.zeros((image.height, image.width), np.bool_)
        polygons = [polygon.reshape(-1).tolist() for polygon in segmentation]
        for part in run_lengths.frPyObjects(polygons, image.height, image.width):
            region |= _expand(part["counts"].decode(), image)
        return region
    try:
        return _expand(segmentation["counts"], image)
    except (TypeError, ValueError, OverflowError, IndexError) as error:
        raise SegmentationError(
            f"annotation {annotation.id} of {image.file_name} has run lengths that do not "
            f"describe {image.height} x {image.width} pixels; mend or drop its segmentation"
        ) from error


def _expand(
    counts: str | Sequence[int] | NDArray[np.uint32], image: CocoImage
) -> NDArray[np.bool_]:
    """The region (H, W) of run lengths, which go down the columns and begin with outside."""
    runs = np.asarray(_decode_counts(counts) if isinstance(counts, str) else counts, np.int64)
    if runs.sum() != image.height * image.width:
        raise ValueError("the run lengths do not add up to the image")
    columns = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return columns.reshape(image.width, image.height).T


def _decode_counts(text: str) -> list[int]:
    """The run lengths in COCO's compressed text; pycocotools trusts it and reads past its end.

    https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c, rleFrString
    """
    runs: list[int] = []
    position = 0
    while position < len(text):
        value, shift, more = 0, 0, True
        while more:
            six_bits = ord(text[position]) - 48
            value |= (six_bits & 0x1F) << shift
            more = bool(six_bits & 0x20)
            position, shift = position + 1, shift + 5
        if six_bits & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs


def _draw_box(bbox: NDArray[np.float64], image: CocoImage) -> NDArray[np.bool_]:
    """Every pixel (H, W) that the box touches."""
    region = np.zeros((image.height, image.width), np.bool_)
    left, top = np.floor(bbox[:2]).astype(int).clip(0)
    right, bottom = np.ceil(bbox[:2] + bbox[2:]).astype(int).clip(0)
    region[top:bottom, left:right] = True
    return region


def _fingerprint(image: CocoImage) -> str:
    """A digest of all that ``draw_mask`` looks at."""
    digest = hashlib.sha256(f"{image.height}x{image.width}".encode())
    for annotation in image.annotations:
        digest.update(b"labelled" if annotation.labelled else b"ignored")
        if isinstance(annotation.segmentation, tuple):
            for polygon in annotation.segmentation:
                digest.update(b"polygon")
                digest.update(polygon.tobytes())
        elif annotation.segmentation is None:
            digest.update(b"box")
            digest.update(annotation.bbox.tobytes())
        else:
            counts = annotation.segmentation["counts"]
            plain = counts.tolist() if isinstance(counts, np.ndarray) else counts
            digest.update(json.dumps(plain).encode())
    return digest.hexdigest()


def _text_chunk(text: str) -> bytes:
    """A PNG comment, as bytes. See https://www.w3.org/TR/png-3/#11tEXt ."""
    body = b"tEXtComment\0" + text.encode("ascii")
    return (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def _read(path: Path) -> bytes | None:
    """All bytes of a file; None where there is none."""
    try:
        return read_bytes(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{address(path)} cannot be read: {error.strerror or error}") from error


def _is_whole(data: bytes) -> bool:
    """Whether data are a PNG whose chunks are all there and undamaged."""
    if not data.startswith(PNG_START):
        return False
    place = len(PNG_START)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        end = place + 8 + length  # of the chunk's type and data; its checksum follows
        body, checksum = data[place + 4 : end], data[end : end + 4]
        if zlib.crc32(body) != int.from_bytes(checksum, "big"):
            return False
        if body.startswith(b"IEND"):
            return end + 4 == len(data)
        place = end + 4
    return False
