"""Files that grow piece by piece and are valid whatever ends the process that writes them."""

import contextlib
import os
from pathlib import Path

from bpnet.errors import DataError
from bpnet.files import part_of


class GrowingFile:
    """A text file of pieces between a head and a tail.

    Every piece is handed to the system whole and at once. A piece that does not fit on the disk is
    taken back; when there is no room for the tail either, the last piece gives way to it.

    Attributes:
        path: The name that the file has at the end, and from the start where it is ``followed``.
        pieces: How many it holds.
    """

    def __init__(
        self,
        path: Path,
        *,
        head: str = "",
        between: str = "",
        tail: str = "",
        followed: bool = False,
    ) -> None:
        """Begin the file, under a temporary name unless it is ``followed`` while it grows.

        Raises:
            DataError: It cannot be written.
        """
        self.path = path
        self.pieces = 0
        self._between = between
        self._tail = tail
        self._file = part_of(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if followed:
                self._file = path
            self._descriptor = os.open(
                self._file,
                os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0),
                0o666,
            )
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
        self._end = self._before_last = 0  # bytes
        self._open = True
        try:
            self._write(head)
        except DataError:
            self._open = False
            os.close(self._descriptor)
            self._file.unlink()
            raise

    def append(self, piece: str) -> None:
        """Add a piece.

        Raises:
            DataError: It does not fit on the disk; the file is as before.
        """
        before = self._end
        self._write(self._between + piece if self.pieces else piece)
        self._before_last = before
        self.pieces += 1

    def close(self) -> None:
        """Add the tail and give the file its name; a second time does nothing.

        A file that had no room for a single piece is removed.

        Raises:
            DataError: The disk is full, so that the last piece is missing; the file is valid. Or
                its name is taken by a folder.
        """
        if not self._open:
            return
        self._open = False
        try:
            try:
                self._write(self._tail)
            except DataError:
                if not self.pieces:
                    self._file.unlink()
                    raise
                self._end = self._before_last
                self._write(self._tail)
                raise
            finally:
                os.close(self._descriptor)
        finally:
            self._take_its_name()

    def _take_its_name(self) -> None:
        try:
            self._file.replace(self.path)
        except FileNotFoundError:  # removed, for nothing is in it
            return
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be written: {error.strerror or error}; what was written is "
                f"in {self._file}"
            ) from error

    def _write(self, text: str) -> None:
        """All of ``text`` at the end of what is there, or nothing."""
        data = memoryview(text.encode("utf-8"))
        try:
            os.ftruncate(self._descriptor, self._end)
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
            while data:
                data = data[os.write(self._descriptor, data) :]
            self._end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise DataError(f"{self.path} cannot be written: {error.strerror or error}") from error
