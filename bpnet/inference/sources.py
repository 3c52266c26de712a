"""Where frames come from: photos, folders, JSON lists, and what ``open_source`` opens besides."""

import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bpnet.errors import DataError
from bpnet.inference.addresses import is_address, without_password
from bpnet.inference.frames import Frame, FrameSource
from bpnet.inference.image_decoding import decode_image
from bpnet.spec.mounts import read_mounts

if TYPE_CHECKING:
    from bpnet.inference.live import StreamPolicy

logger = logging.getLogger(__name__)

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
LARGEST_FILE = 2**30  # bytes; a larger one is no photo
READERS = 4  # photos that are decoded at once


@dataclass(frozen=True)
class ImageList:
    """The images of one input.

    Attributes:
        paths: of the image files, in the order of the results.
        records: what the input says of each image (``image_id`` and the like), kept in the results.
        header: what the input says besides, kept in the results.
        skipped: files of the input that are not images.
        unreadable: why a folder below the input could not be searched, a sentence each.
    """

    paths: tuple[Path, ...]
    records: tuple[dict[str, Any], ...]
    header: dict[str, Any] = field(default_factory=dict)
    skipped: tuple[Path, ...] = ()
    unreadable: tuple[str, ...] = ()


class PhotoSource:
    """Photos, some read ahead of the one that is asked for; a ``FrameSource``.

    Each frame's record is that of the list with ``full_image_path``, the file's path.

    Args:
        images: The files.
        name: Of the photo, folder or list.
        upright: turn photos as their EXIF orientation says; False for COCO data.
    """

    moving = False
    dropped = 0

    def __init__(self, images: ImageList, *, name: str, upright: bool = True) -> None:
        self.name = name
        self.frame_rate: float | None = None
        self.count: int | None = len(images.paths) + len(images.unreadable)
        self.header = images.header
        self._images = images
        self._upright = upright
        self._closed = False

    def __iter__(self) -> Iterator[Frame]:
        """The photos in order, and then a failure for each folder that could not be searched."""
        paths = self._images.paths
        with ThreadPoolExecutor(READERS) as pool:
            reading: deque[Future[Frame]] = deque()
            for index in range(len(paths) + READERS):
                if self._closed:
                    pool.shutdown(cancel_futures=True)
                    return
                if index < len(paths):
                    reading.append(pool.submit(self._read, index))
                if index >= READERS and reading:
                    yield reading.popleft().result()
        for number, failure in enumerate(self._images.unreadable, len(paths)):
            yield Frame(None, number, failure=failure)

    def close(self) -> None:
        """Read no more photos."""
        self._closed = True

    def _read(self, index: int) -> Frame:
        path = self._images.paths[index]
        record = {**self._images.records[index], "full_image_path": str(path)}
        try:
            return Frame(read_image(path, upright=self._upright), index, record=record)
        except DataError as error:
            return Frame(None, index, record=record, failure=str(error))


def open_source(
    text: str, *, input_type: str, root: Path = Path(), policy: "StreamPolicy | None" = None
) -> FrameSource:
    """The frames of one input.

    Args:
        text: a file, a folder, a camera (its number or device) or the address of a stream.
        input_type: image, dir, json, video, camera or stream.
        root: folder that relative image and video paths are below, those in a JSON file too.
        policy: what a camera or stream does when the network is slower or the connection is lost.

    Raises:
        DataError: There is no such input, or it holds no image.
    """
    if input_type == "camera":
        from bpnet.inference.live import open_camera

        return open_camera(text, policy=policy)
    if input_type == "stream":
        from bpnet.inference.live import open_stream

        return open_stream(text, policy=policy)
    if is_address(text):
        raise DataError(
            f"{without_password(text)} is an address, which --input_type stream takes; "
            f"{input_type} takes a file"
        )
    if input_type == "video":
        from bpnet.inference.video import VideoSource

        return VideoSource(root / text)
    images = list_images(Path(text), input_type=input_type, root=root)
    name = images.paths[0] if input_type == "image" else text
    return PhotoSource(images, name=str(name))


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
    """The image file as (H, W, 3) uint8 RGB; ``decode_image`` says how.

    Args:
        path: The file.
        upright: turn the image as its EXIF orientation says; False for COCO data, whose annotations
            are in the pixels as stored.

    Raises:
        DataError: The file is missing, cut short, too large or not an image.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise DataError(
                f"{path} has {size / 2**30:.1f} GiB, more than the {LARGEST_FILE >> 30} GiB that "
                "are read of an image; make it smaller"
            )
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return decode_image(data, str(path), upright=upright)


def _list_folder(folder: Path) -> ImageList:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; --input_type dir takes a folder of images")
    unreadable: list[str] = []
    files = sorted(
        _files_below(
            folder,
            lambda error: unreadable.append(
                f"{error.filename} cannot be searched: {error.strerror}"
            ),
        )
    )
    shown = {
        path
        for path in files
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
    }
    paths = tuple(path for path in files if path in shown)
    skipped = tuple(path for path in files if path not in shown)
    for path in skipped:
        reason = "hidden" if path.name.startswith(".") else f"not one of {' '.join(EXTENSIONS)}"
        logger.warning("%s skipped: %s", path, reason)
    if not paths:
        raise DataError(
            "; ".join([f"{folder} holds no image ({' '.join(EXTENSIONS)})", *unreadable])
        )
    return ImageList(paths, tuple({} for _ in paths), {}, skipped, tuple(unreadable))


def _files_below(folder: Path, on_error: Callable[[OSError], object]) -> Iterator[Path]:
    """Every file of a folder and its subfolders, linked ones too but none twice."""
    seen: set[tuple[int, int]] = set()
    for parent, folders, names in os.walk(folder, onerror=on_error, followlinks=True):
        status = Path(parent).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        for name in names:
            path = Path(parent, name)
            if path.is_file() or path.is_symlink():  # a link to nothing is named when it is read
                yield path


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
    mounts = read_mounts()
    paths = tuple(root / mounts(record["full_image_path"]) for record in records)
    return ImageList(paths, tuple(dict(record) for record in records), header)
