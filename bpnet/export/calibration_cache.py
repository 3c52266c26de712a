"""TensorRT's calibration cache: the table of ranges as TensorRT 7 to 10 reads it.

A text file. The first line says the TensorRT release and the algorithm; each other line is a
tensor's name and its scale (range / 127), the eight hexadecimal digits of a float32, most
significant byte first. TensorRT that finds a cache of its own release takes the scales as they are
and runs no image. TensorRT 11 has no calibration: there the scales stand in the ONNX file.
"""

import re
import struct
from collections.abc import Mapping
from pathlib import Path

from bpnet.errors import DataError, SpecError
from bpnet.export.qdq import LEVELS, SMALLEST
from bpnet.files import replacing

ALGORITHM = "EntropyCalibration2"  # of the calibrators of DeepStream, TAO, trtexec and ours
LAST_MAJOR = 10  # TensorRT 11 has dropped calibration
LINE = re.compile(r"(?P<name>.+): (?P<scale>[0-9a-fA-F]{1,8})")
HEADER = re.compile(r"TRT-\d+-\w+")


def header(tensorrt: str) -> str:
    """The first line of a cache for the release ``tensorrt``, such as "8.6.1" or "10.3".

    Raises:
        SpecError: It is no release of TensorRT, or one without calibration caches.
    """
    found = re.fullmatch(r"(\d+)\.(\d+)(?:\.(\d+)(?:\.\d+)?)?", tensorrt.strip())
    if found is None:
        raise SpecError(
            f"the TensorRT release of a calibration cache is {tensorrt!r}; give it as 8.6.1 or 10.3"
        )
    major, minor, patch = (int(part or 0) for part in found.groups())
    if major > LAST_MAJOR:
        raise SpecError(
            f"TensorRT {tensorrt} reads no calibration cache: build its engine from the INT8 ONNX "
            "file of the tensorrt form, which has the same scales"
        )
    # NV_TENSORRT_VERSION of NvInferVersion.h, which gained a digit with release 10.
    number = major * (10_000 if major >= 10 else 1000) + minor * 100 + patch
    return f"TRT-{number}-{ALGORITHM}"


def write_cache(path: Path, ranges: Mapping[str, float], *, tensorrt: str) -> None:
    """Write the table ``ranges`` (largest absolute value of each tensor) as a cache.

    Args:
        path: The file; it is replaced.
        ranges: By the names of the tensors in the float32 or float16 ONNX file.
        tensorrt: The release that will read it: another refuses it by its first line.

    Raises:
        DataError: The file cannot be written.
        SpecError: The release has no calibration caches.
    """
    lines = [header(tensorrt)]
    for name, largest in ranges.items():
        if "\n" in name:
            raise ValueError(f"{name!r} has a line break, which a cache cannot hold")
        lines.append(f"{name}: {struct.pack('>f', max(largest, SMALLEST) / LEVELS).hex()}")
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def read_cache(path: Path) -> dict[str, float]:
    """The table of ranges in a cache of any release, by tensor name.

    Raises:
        DataError: It cannot be read, or is no calibration cache; the line is named.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a calibration cache: it is not text") from error
    if not lines or HEADER.fullmatch(lines[0].strip()) is None:
        raise DataError(
            f"{path} is not a calibration cache: its first line must be like "
            f"TRT-8601-EntropyCalibration2, found {lines[0][:60] if lines else 'nothing'!r}"
        )
    ranges: dict[str, float] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        found = LINE.fullmatch(line.rstrip())
        scale = _scale(found["scale"]) if found is not None else None
        if found is None or scale is None:
            raise DataError(
                f"{path}, line {number}: expected a tensor's name and eight hexadecimal digits of "
                f"a positive scale, found {line[:60]!r}"
            )
        ranges[found["name"]] = scale * LEVELS
    return ranges


def _scale(digits: str) -> float | None:
    """The float32 of up to eight digits (some writers drop leading zeros); None: no scale."""
    (value,) = struct.unpack(">f", bytes.fromhex(digits.rjust(8, "0")))
    return float(value) if 0.0 <= value < float("inf") else None
