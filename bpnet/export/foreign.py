"""Any PAF network in ONNX as what every precision starts from: float32, two outputs, clean names.

Ours say what they are in their metadata; others are described by an inference spec. Networks come
out of many exporters, so constants are put where ours are, operators are lifted to version 13, and
what stands behind convolutions is folded into them.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from bpnet.encryption import decrypt, missing_model
from bpnet.errors import ModelError
from bpnet.export.choices import OPSETS
from bpnet.export.folding import fold_into_convolutions
from bpnet.export.graph import (
    OWN_DOMAINS,
    drop_unused,
    get_contract,
    lift,
    name_nodes,
    set_contract,
    version_of,
)
from bpnet.inference.description import Describe, describe_model
from bpnet.inference.tensors import Tensor, complete_contract, stride_of
from bpnet.pose.contract import ModelContract

FLOAT = onnx.TensorProto.FLOAT
OTHER_FLOATS = {
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.BFLOAT16: "bfloat16",
    onnx.TensorProto.DOUBLE: "float64",
}
PASSING = ("Identity", "Dropout")
CONTROL_FLOW = ("If", "Loop", "Scan")


def read_graph(
    path: Path, *, describe: Describe | None = None, key: str | None = None
) -> tuple[onnx.ModelProto, ModelContract]:
    """The float32 network of an ONNX file, with the maps of its last stage as its outputs.

    Args:
        path: ``.onnx``, or ``.etlt`` which is encrypted.
        describe: Asked where the file carries no metadata of ours.
        key: Of an encrypted file.

    Returns:
        The graph, and its contract, which is also in its metadata; height and width are None where
        the graph takes any.

    Raises:
        ModelError: The file is missing, broken, no float32 PAF network, or nobody says what it is.
    """
    model = _load(path, key)
    _check(model, path)
    if version_of(model) < OPSETS[0]:
        model = lift(model, OPSETS[0])
    _gather_constants(model)
    _check_types(model, path)
    _pass_through(model)
    image = _image(model, path)
    said = get_contract(model, path) or describe_model(path, describe)
    outputs = [_tensor(one) for one in model.graph.output]
    contract = complete_contract(said, path, image, outputs, stage=None)
    _keep_outputs(model, {contract.paf_output, contract.heatmap_output})
    drop_unused(model)
    name_nodes(model)
    fold_into_convolutions(model)
    contract = dataclasses.replace(contract, precision="fp32")
    set_contract(model, contract)
    return model, contract


def with_size(
    model: onnx.ModelProto,
    contract: ModelContract,
    *,
    height: int,
    width: int,
    batch: int | None = None,
) -> tuple[onnx.ModelProto, ModelContract]:
    """A copy of ``model`` whose input has a fixed height and width.

    Args:
        model: As ``read_graph`` gives it.
        contract: Its contract.
        height: Of the input, pixels.
        width: Of the input, pixels.
        batch: Images a run; None: as the graph has it, with "batch" for any number.

    Returns:
        The graph and its contract, which is also in its metadata.

    Raises:
        ModelError: The graph is fixed to another size or batch, or cannot take this size.
    """
    fixed = (contract.height or height, contract.width or width)
    if fixed != (height, width):
        raise ModelError(
            f"the network's input is fixed to {fixed[0]}x{fixed[1]} (height x width), so it cannot "
            f"become {height}x{width}; export it again at that size from the network it came from"
        )
    sized = onnx.ModelProto()
    sized.CopyFrom(model)
    dims = sized.graph.input[0].type.tensor_type.shape.dim
    has = dims[0].dim_value if dims[0].HasField("dim_value") else None
    if has is not None and batch not in (None, has):
        raise ModelError(
            f"the network's batch is fixed to {has} images, so it cannot become {batch}; export "
            "it again from the network it came from"
        )
    count = has or batch or "batch"
    sides = [height, width]
    shape = [count, 3, *sides] if contract.layout == "nchw" else [count, *sides, 3]
    _declare(sized.graph.input[0], shape)
    _infer_outputs(sized, count)
    maps = {one.name: _tensor(one).shape for one in sized.graph.output}
    skeleton = contract.skeleton
    result = dataclasses.replace(
        contract,
        height=height,
        width=width,
        heatmap_stride=_stride(
            maps[contract.heatmap_output],
            skeleton.heatmap_channels,
            height,
            contract.heatmap_stride,
        ),
        paf_stride=_stride(
            maps[contract.paf_output], skeleton.paf_channels, height, contract.paf_stride
        ),
    )
    set_contract(sized, result)
    return sized, result


def _stride(shape: tuple[Any, ...], channels: int, height: int, said: float) -> float:
    """Pixels a cell of maps of ``shape``; what is said where the graph does not tell."""
    rows = shape[2] if shape[1] == channels else shape[1]
    return said if rows is None else stride_of(height, rows, said)


def _load(path: Path, key: str | None) -> onnx.ModelProto:
    if not path.exists():
        raise missing_model(path)
    try:
        if path.suffix.lower() == ".etlt":
            data = decrypt(path.read_bytes(), key, source=str(path))
            model = onnx.load_from_string(data)
        else:
            model = onnx.load(path)  # weights in files beside it, too
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        raise ModelError(f"{path} is not an ONNX model: {error}") from error
    if not model.graph.node or not any(one.domain in OWN_DOMAINS for one in model.opset_import):
        raise ModelError(f"{path} is not an ONNX model: it has no operators")
    return model


def _check(model: onnx.ModelProto, path: Path) -> None:
    """Refuse what is int8 already, and what cannot be looked through."""
    for node in model.graph.node:
        if "Quantize" in node.op_type or "Integer" in node.op_type or "QLinear" in node.op_type:
            _refuse(path, "int8")
        if node.op_type in CONTROL_FLOW:
            raise ModelError(
                f"{path} holds the control flow {node.op_type}; export it as one plain graph"
            )
        if node.domain not in OWN_DOMAINS:
            raise ModelError(
                f"{path} holds {node.op_type} of {node.domain}, which is no ONNX operator; export "
                "it without the optimisations of one runtime"
            )
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"{path} is not sound ONNX: {error}") from error


def _check_types(model: onnx.ModelProto, path: Path) -> None:
    """Refuse numbers that are not float32."""
    kinds = [one.data_type for one in model.graph.initializer]
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    kinds += [one.i for node in casts for one in node.attribute if one.name == "to"]
    for kind in kinds:
        if kind in OTHER_FLOATS:
            _refuse(path, OTHER_FLOATS[kind])


def _refuse(path: Path, precision: str) -> None:
    raise ModelError(
        f"{path} is {precision} already; export starts from the float32 network that it was made of"
    )


def _gather_constants(model: onnx.ModelProto) -> None:
    """Constants become initializers; older files also list theirs as inputs."""
    graph = model.graph
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        tensor = _constant_of(node) if node.op_type == "Constant" else None
        if tensor is not None:
            graph.initializer.append(tensor)
            del graph.node[index]
    names = {one.name for one in graph.initializer}
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name in names:
            del graph.input[index]


def _pass_through(model: onnx.ModelProto) -> None:
    """Drop the nodes that hand on what they read, in inference."""
    graph = model.graph
    shown = {one.name for one in graph.output}
    given = {one.name for one in (*graph.input, *graph.initializer)}
    same: dict[str, str] = {}  # what a dropped node wrote, and what is read in its place
    kept: dict[str, str] = {}  # what a node writes that such a node read, and its new name
    for node in graph.node:
        source = same.get(node.input[0], node.input[0]) if node.input else ""
        if node.op_type not in PASSING or len(node.output) > 1:
            continue
        if node.output[0] not in shown:
            same[node.output[0]] = source
        elif source not in given | shown and source not in kept:
            kept[source] = node.output[0]
            same[node.output[0]] = source
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if node.output[0] in same:
            del graph.node[index]
            continue
        for place, name in enumerate(node.input):
            source = same.get(name, name)
            node.input[place] = kept.get(source, source)
        for place, name in enumerate(node.output):
            node.output[place] = kept.get(name, name)
    del graph.value_info[:]


def _constant_of(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """What a Constant node holds; None where it is text or sparse."""
    (attribute,) = node.attribute
    value: Any = onnx.helper.get_attribute_value(attribute)
    tensor: onnx.TensorProto
    if attribute.name == "value":
        tensor = onnx.TensorProto.FromString(value.SerializeToString())
    elif attribute.name in ("value_float", "value_floats", "value_int", "value_ints"):
        kind = onnx.TensorProto.FLOAT if "float" in attribute.name else onnx.TensorProto.INT64
        several = isinstance(value, list | tuple) or hasattr(value, "__len__")
        tensor = onnx.helper.make_tensor(
            "", kind, [len(value)] if several else [], value if several else [value]
        )
    else:
        return None
    tensor.name = node.output[0]
    return tensor


def _image(model: onnx.ModelProto, path: Path) -> Tensor:
    """The network's input."""
    found = [_tensor(one) for one in model.graph.input]
    kinds = {one.type.tensor_type.elem_type for one in model.graph.input}
    if len(found) != 1 or len(found[0].shape) != 4:
        listed = ", ".join(map(str, found)) or "none"
        raise ModelError(f"{path}: expected one input of four axes, found {listed}")
    if kinds != {FLOAT}:
        kind = onnx.TensorProto.DataType.Name(next(iter(kinds))).lower()
        raise ModelError(f"{path}: expected a float32 input, found {found[0]} {kind}")
    return found[0]


def _tensor(declared: onnx.ValueInfoProto) -> Tensor:
    dims = declared.type.tensor_type.shape.dim
    return Tensor(
        declared.name, tuple(one.dim_value if one.HasField("dim_value") else None for one in dims)
    )


def _keep_outputs(model: onnx.ModelProto, names: set[str]) -> None:
    for index in reversed(range(len(model.graph.output))):
        if model.graph.output[index].name not in names:
            del model.graph.output[index]


def _declare(value: onnx.ValueInfoProto, shape: Sequence[int | str | None]) -> None:
    value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, FLOAT, shape))


def _infer_outputs(model: onnx.ModelProto, count: int | str) -> None:
    """Declare the outputs' shapes as they follow from the input's."""
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"the network cannot take this size: {error}") from error
    for output, found in zip(model.graph.output, inferred.graph.output, strict=True):
        sides = [
            one.dim_value if one.HasField("dim_value") else None
            for one in found.type.tensor_type.shape.dim
        ]
        _declare(output, [count, *sides[1:]])
