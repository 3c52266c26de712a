"""Writing files so that a killed process or a full disk never leaves half a file."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from bpnet.errors import DataError


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
