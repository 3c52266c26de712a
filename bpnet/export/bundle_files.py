"""What goes into a bundle from elsewhere: exported files, and what they say of themselves."""

import shutil
from pathlib import Path, PurePosixPath

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from bpnet.errors import DataError, ModelError
from bpnet.export.choices import MODELS
from bpnet.files import replacing, sidecar_path
from bpnet.pose.contract import ModelContract


def declared_shapes(path: Path, contract: ModelContract) -> dict[str, list[int | None]]:
    """Axes of the input and the outputs, the batch first; None: any number.

    Raises:
        DataError: The file cannot be read.
        ModelError: It is encrypted or no ONNX, or has no tensors of those names, or no fixed size.
    """
    try:
        graph = onnx.load(str(path)).graph
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except DecodeError as error:
        raise ModelError(
            f"{path} is no plain ONNX file, which DeepStream and Triton need; export it as .onnx"
        ) from error
    shapes: dict[str, list[int | None]] = {}
    for tensor in (*graph.input, *graph.output):
        axes = tensor.type.tensor_type.shape.dim
        shapes[tensor.name] = [axis.dim_value or None for axis in axes]
    for name in (contract.input_name, contract.paf_output, contract.heatmap_output):
        if name not in shapes:
            found = ", ".join(shapes)
            raise ModelError(f"{path} has no input or output {name}, only {found}")
    fixed = contract.height is not None and contract.width is not None
    if not fixed or None in shapes[contract.input_name][1:]:
        raise ModelError(
            f"{path} takes images of any size, but DeepStream needs one; export with --input_dims"
        )
    return shapes


def place(path: Path, folder: Path) -> PurePosixPath:
    """Where the exported file is in the bundle; it is copied there with its sidecar if need be."""
    inside, whole = folder.resolve(), path.resolve()
    if whole.is_relative_to(inside):
        return PurePosixPath(whole.relative_to(inside).as_posix())
    placed = PurePosixPath(MODELS) / path.name
    for source in (path, sidecar_path(path)):
        if source == path or source.exists():
            copy(source, folder / MODELS / source.name)
    return placed


def copy(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all.

    Raises:
        DataError: It cannot be read, or the copy cannot be written.
    """
    if not source.is_file():
        raise DataError(f"{source} is not there, so it cannot be copied to {target}")
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
