"""The TFRecord file format, as far as finding and reading single records needs it.

https://www.tensorflow.org/tutorials/load_data/tfrecord
"""

import functools
from io import FileIO
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from bpnet.data.skipped import SkippedImages
from bpnet.data.storage import address, is_remote, open_binary, remote_errors, size_of
from bpnet.errors import DataError

HEADER_SIZE = 12  # bytes before a record's data: its length, and the checksum of that
FOOTER_SIZE = 4  # bytes after it: the data's checksum
CASTAGNOLI = 0x82F63B78  # CRC-32C's polynomial, reversed


def find_records(path: Path, *, skipped: SkippedImages | None = None) -> NDArray[np.int64]:
    """Offset and length (records, 2) of each record's data, bytes.

    Args:
        path: The file.
        skipped: Takes a file that is missing, cut short or damaged, whose records up to there are
            found; None to end with the error.

    Raises:
        DataError: The file is missing, is cut short or is not a TFRecord file.
    """
    spans: list[tuple[int, int]] = []
    try:
        with remote_errors(path):
            _find_spans(path, spans)
    except OSError as error:
        fault = DataError(f"the record file {address(path)} cannot be read: {error.strerror}")
        if skipped is None:
            raise fault from error
        skipped.add_once(address(path), str(fault))
    except DataError as error:
        if skipped is None:
            raise
        skipped.add_once(address(path), str(error))
    return np.array(spans, np.int64).reshape(-1, 2)


def read_data(path: Path, offset: int, length: int) -> bytes:
    """``length`` bytes of a file, fewer where it ends before.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        if not is_remote(path):  # without a buffer, opening costs half
            with FileIO(path) as plain:
                plain.seek(offset)
                return plain.read(length)
        with remote_errors(path), open_binary(path) as file:
            file.seek(offset)
            return file.read(length)
    except OSError as error:
        raise DataError(
            f"the record file {address(path)} cannot be read: {error.strerror}"
        ) from error


def _find_spans(path: Path, spans: list[tuple[int, int]]) -> None:
    """Append offset and length of each record's data, bytes."""
    size = size_of(path)
    with open_binary(path) as file:
        offset = 0
        while offset < size:
            length = _read_length(file, path, offset)
            end = offset + HEADER_SIZE + length + FOOTER_SIZE
            if end > size:
                raise DataError(
                    f"{path} is cut short: the record at byte {offset} goes on to byte "
                    f"{end}, the file ends at {size}; convert the dataset again"
                )
            spans.append((offset + HEADER_SIZE, length))
            offset = end


def _read_length(file: IO[bytes], path: Path, offset: int) -> int:
    """The length in the header of the record at ``offset``, which its checksum must fit."""
    file.seek(offset)
    header = file.read(HEADER_SIZE)
    if len(header) < HEADER_SIZE:
        raise DataError(
            f"{path} is cut short in the record at byte {offset}; convert the dataset again"
        )
    length, checksum = header[:8], int.from_bytes(header[8:], "little")
    if _masked_crc(length) != checksum:
        raise DataError(f"{path} is not a TFRecord file, or is damaged at byte {offset}")
    return int.from_bytes(length, "little")


@functools.lru_cache(maxsize=4096)  # records of equal length have equal headers
def _masked_crc(data: bytes) -> int:
    """TFRecord's checksum, a CRC-32C made different from that of its own bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (CASTAGNOLI if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
