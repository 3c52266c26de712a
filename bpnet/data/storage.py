"""Files of a data set, on this machine or behind an address such as ``gs://bucket/folder``.

A path with a scheme goes through TensorFlow's file systems, which is imported only then; every
other path is a plain file. Both fail with ``OSError``. Paths stay ``Path`` throughout, which folds
the two slashes of ``gs://`` into one: ``address`` puts them back.
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from bpnet import files
from bpnet.errors import DataError

PART = re.compile(r"\..+\.(\d+)\.part(\.\w+)?$")  # what ``files.replacing`` names its files
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")  # two letters or more: C:/ is a drive


def is_remote(path: str | Path) -> bool:
    """Whether a path has a scheme, so that it is no plain file."""
    return SCHEME.match(str(path)) is not None


def address(path: str | Path) -> str:
    """A path as TensorFlow's file systems take it; a plain path as it is."""
    found = SCHEME.match(str(path))
    if found is None:
        return str(path)
    slashes = "///" if found[1].lower() == "file" else "//"
    return f"{found[1]}:{slashes}{str(path)[found.end() :]}"


def join(folder: str | Path, name: str | Path) -> Path:
    """A path below a folder; the path itself where it is absolute or has a scheme of its own."""
    return Path(name) if is_remote(name) else Path(folder, name)


def open_binary(path: str | Path) -> IO[bytes]:
    """A file opened for reading, plain or remote.

    Raises:
        OSError: It cannot be opened. Reads of a remote file raise it inside ``remote_errors``.
    """
    if not is_remote(path):
        return Path(path).open("rb")
    import tensorflow as tf

    with remote_errors(path):
        if not tf.io.gfile.exists(address(path)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), address(path))
        opened: IO[bytes] = tf.io.gfile.GFile(address(path), "rb")
    return opened


def read_bytes(path: str | Path) -> bytes:
    """All bytes of a file.

    Raises:
        OSError: It cannot be read.
    """
    with remote_errors(path), open_binary(path) as file:
        return file.read()


def size_of(path: str | Path) -> int:
    """The length of a file, bytes.

    Raises:
        OSError: There is no such file.
    """
    if not is_remote(path):
        return Path(path).stat().st_size
    import tensorflow as tf

    with remote_errors(path):
        length: int = tf.io.gfile.stat(address(path)).length
    return length


def is_file(path: str | Path) -> bool:
    """Whether there is a file, not a folder, at a path.

    Raises:
        OSError: A remote file system cannot be asked.
    """
    if not is_remote(path):
        return Path(path).is_file()
    import tensorflow as tf

    with remote_errors(path):
        place = address(path)
        return bool(tf.io.gfile.exists(place)) and not tf.io.gfile.isdir(place)


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder at a path.

    Raises:
        OSError: A remote file system cannot be asked.
    """
    if not is_remote(path):
        return Path(path).is_dir()
    import tensorflow as tf

    with remote_errors(path):
        return bool(tf.io.gfile.isdir(address(path)))


def names_in(folder: Path) -> list[str]:
    """The sorted names of the files and folders in a folder; none where it does not exist.

    Raises:
        OSError: It cannot be listed.
    """
    if not is_folder(folder):
        return []
    if not is_remote(folder):
        return sorted(path.name for path in folder.iterdir())
    import tensorflow as tf

    with remote_errors(folder):
        return sorted(name.rstrip("/") for name in tf.io.gfile.listdir(address(folder)))


def find_files(folder: Path, pattern: str) -> list[Path]:
    """The files below a folder whose path matches a pattern with ``*`` and ``?``, sorted.

    Raises:
        OSError: A remote file system cannot be asked.
    """
    if not is_remote(folder):
        return sorted(path for path in folder.glob(pattern) if path.is_file())
    import tensorflow as tf

    with remote_errors(folder):
        found = [Path(place) for place in tf.io.gfile.glob(address(folder / pattern))]
    return sorted(path for path in found if is_file(path))


def remove(path: Path) -> None:
    """Delete a file; nothing happens where there is none.

    Raises:
        OSError: It cannot be deleted.
    """
    if not is_remote(path):
        path.unlink(missing_ok=True)
        return
    import tensorflow as tf

    with remote_errors(path):
        if tf.io.gfile.exists(address(path)):
            tf.io.gfile.remove(address(path))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        DataError: It cannot be written.
    """
    with replacing(path) as temporary:
        if not is_remote(path):
            Path(temporary).write_bytes(data)
            return
        import tensorflow as tf

        with tf.io.gfile.GFile(temporary, "wb") as file:
            file.write(data)


def remove_leftovers(folder: Path) -> int:
    """Delete what processes that were killed left half-written; returns how many files.

    Raises:
        OSError: One cannot be deleted.
    """
    if is_remote(folder):  # whose process wrote it cannot be told, and it may be alive
        return 0
    left = [name for name in names_in(folder) if (found := PART.match(name)) and not _runs(found)]
    for name in left:
        remove(folder / name)
    return len(left)


def _runs(found: re.Match[str]) -> bool:
    """Whether the process that a temporary file's name tells is running."""
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return int(found[1]) != os.getpid()  # nothing of our own is half-written now


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[str]:
    """The address of a temporary file that takes the place of ``path`` when the block ends well.

    Raises:
        DataError: The folder cannot be made or written, or the disk is full.
    """
    if not is_remote(path):
        with files.replacing(path) as temporary:
            yield str(temporary)
        return
    import tensorflow as tf

    place = address(path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}"))
    try:
        with remote_errors(path):
            tf.io.gfile.makedirs(address(path.parent))
            yield place
            tf.io.gfile.rename(place, address(path), overwrite=True)
    except OSError as error:
        raise DataError(f"{address(path)} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(tf.errors.OpError):
            if tf.io.gfile.exists(place):
                tf.io.gfile.remove(place)


@contextlib.contextmanager
def remote_errors(path: str | Path) -> Iterator[None]:
    """Turns what TensorFlow raises about a remote file into ``OSError``; plain files pass."""
    if not is_remote(path):
        yield
        return
    import tensorflow as tf

    try:
        yield
    except tf.errors.NotFoundError as error:
        raise _os_error(FileNotFoundError, errno.ENOENT, error, path) from error
    except tf.errors.UnimplementedError as error:
        scheme = address(path).partition("://")[0]
        raise OSError(
            errno.EPROTONOSUPPORT,
            f"this TensorFlow has no {scheme}:// file system; copy the data to a folder, "
            "or mount the bucket as one",
        ) from error
    except tf.errors.OpError as error:
        raise _os_error(OSError, errno.EIO, error, path) from error


def _os_error(kind: type[OSError], number: int, error: Any, path: str | Path) -> OSError:
    """TensorFlow's message on one line, as the error's ``strerror``."""
    return kind(number, " ".join(str(error.message).split()), address(path))
