"""Where images come from: a file, a folder, a JSON list."""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.errors import DataError

logger = logging.getLogger(__name__)

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class ImageList:
    """The images of one input.

    Attributes:
        paths: of the image files, in the order of the results.
        records: what the input says of each image (``image_id`` and the like), kept in the results.
        header: what the input says besides, kept in the results.
        skipped: files of the input that are not images.
    """

    paths: tuple[Path, ...]
    records: tuple[dict[str, Any], ...]
    header: dict[str, Any] = field(default_factory=dict)
    skipped: tuple[Path, ...] = ()


def list_images(source: Path, *, input_type: str, root: Path = Path()) -> ImageList:
    """The images of ``source``.

    Args:
        source: an image file, a folder (searched with its subfolders, sorted) or a JSON file: a
            list of paths, or an object whose ``images`` have a ``full_image_path`` each.
        input_type: image, dir or json.
        root: folder that relative image paths are below.

    Raises:
        DataError: There is no such input, or it holds no image.
    """
    if input_type == "dir":
        return _list_folder(source)
    if input_type == "json":
        return _list_json(source, root)
    path = root / source
    if not path.is_file():
        raise DataError(f"{path} is not there or is not a file; --input takes an image file")
    return ImageList((path,), ({},))


def read_image(path: Path, *, upright: bool = True) -> NDArray[np.uint8]:
    """The image file as (H, W, 3) uint8 RGB, whatever its depth and number of channels.

    Args:
        path: The file.
        upright: turn the image as its EXIF orientation says; False for COCO data, whose annotations
            are in the pixels as stored.

    Raises:
        DataError: The file is missing, cut short or not an image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not data:
        raise DataError(f"{path} is empty")
    if _is_cut(data):
        raise DataError(f"{path} is cut short: its end-of-image mark is missing")
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise DataError(f"{path} cannot be decoded: {error.err}") from error
    if image is None:
        raise DataError(f"{path} is not an image that can be decoded")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _is_cut(data: bytes) -> bool:
    """Whether a JPEG or PNG ends early; the decoders would fill the rest with grey.

    Scan data cannot hold a marker, so after a whole JPEG's last start of scan there is an end of
    image, even where thumbnails come before or other bytes after.
    """
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return data.startswith(b"\x89PNG") and b"IEND" not in data


def _list_folder(folder: Path) -> ImageList:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; --input_type dir takes a folder of images")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    paths = tuple(path for path in files if path.suffix.lower() in EXTENSIONS)
    skipped = tuple(path for path in files if path.suffix.lower() not in EXTENSIONS)
    for path in skipped:
        logger.warning("%s skipped: not one of %s", path, " ".join(EXTENSIONS))
    if not paths:
        raise DataError(f"{folder} holds no image ({' '.join(EXTENSIONS)})")
    return ImageList(paths, tuple({} for _ in paths), skipped=skipped)


def _list_json(path: Path, root: Path) -> ImageList:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    header: dict[str, Any] = {}
    entries = content
    if isinstance(content, dict):
        header = {key: value for key, value in content.items() if key != "images"}
        entries = content.get("images")
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path} lists no images: a list of paths, or an object with `images`")
    records = [{"full_image_path": entry} if isinstance(entry, str) else entry for entry in entries]
    for number, record in enumerate(records):
        if not isinstance(record, dict) or not isinstance(record.get("full_image_path"), str):
            raise DataError(f"{path}: image {number} has no full_image_path")
    paths = tuple(root / record["full_image_path"] for record in records)
    return ImageList(paths, tuple(dict(record) for record in records), header)
