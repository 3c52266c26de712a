"""Model files: their names, their digests, and writing so that a kill never leaves half of one."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from bpnet.errors import DataError

HDF5_SUFFIXES = (".hdf5", ".h5")  # TAO's models; ours are never these
KERAS_SUFFIXES = (".keras", ".tlt", *HDF5_SUFFIXES)
DIGEST_CHUNK = 1 << 20  # bytes


def model_candidates(path: Path) -> tuple[Path, ...]:
    """The files that ``path`` may mean, best first: TAO's names also find ours beside them."""
    if path.suffix not in KERAS_SUFFIXES or path.suffix == ".keras":
        return (path,)
    return path, path.with_suffix(".keras"), path.with_suffix(".tlt")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends well.

    The temporary name keeps the suffix, so writers that look at it still work.

    Raises:
        DataError: The folder cannot be made or written, or the disk is full.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
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
