"""Model files: their names, their digests, and writing so that a kill never leaves half of one."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from bpnet.errors import DataError

HDF5_SUFFIXES = (".hdf5", ".h5")  # TAO's models; ours are never these
KERAS_SUFFIXES = (".keras", ".tlt", *HDF5_SUFFIXES)
SIDECAR_SUFFIX = ".json"  # appended to the name of the file that it describes
DIGEST_CHUNK = 1 << 20  # bytes


def model_candidates(path: Path) -> tuple[Path, ...]:
    """The files that ``path`` may mean, best first: TAO's names also find ours beside them."""
    if path.suffix not in KERAS_SUFFIXES or path.suffix == ".keras":
        return (path,)
    return path, path.with_suffix(".keras"), path.with_suffix(".tlt")


def sidecar_path(path: Path) -> Path:
    """Where the sidecar of a model file is: ``model.engine.json`` of ``model.engine``."""
    return path.with_name(f"{path.name}{SIDECAR_SUFFIX}")


def part_of(path: Path) -> Path:
    """The temporary name beside ``path`` of a file that is being written.

    It keeps the suffix, so writers that look at it still work.
    """
    return path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends well.

    Raises:
        DataError: The folder cannot be made or written, or the disk is full.
    """
    temporary = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def make_folder(path: Path) -> Path:
    """``path``, made if it is not there, and known to be writable.

    Raises:
        DataError: It cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits.

    Raises:
        DataError: It cannot be read.
    """
    summed = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(DIGEST_CHUNK):
                summed.update(chunk)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return summed.hexdigest()
