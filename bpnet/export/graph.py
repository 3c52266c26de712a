"""ONNX graphs: what is in them, the contract they carry, how they are opened and written."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray

import bpnet
from bpnet.encryption import encrypt
from bpnet.errors import ModelError
from bpnet.files import replacing
from bpnet.inference.onnx_backend import (
    FAILURES,
    METADATA_KEY,
    parse_contract,
    start_session,
)
from bpnet.pose.contract import ModelContract

PRODUCER = "bpnet"
OWN_DOMAINS = ("", "ai.onnx")  # of ONNX's own operators


def set_contract(model: onnx.ModelProto, contract: ModelContract) -> None:
    """Write ``contract`` into the metadata of ``model``, in place of any that is there."""
    model.producer_name = PRODUCER
    model.producer_version = bpnet.__version__
    onnx.helper.set_model_props(
        model,
        {
            METADATA_KEY: json.dumps(contract.to_dict(), sort_keys=True),
            "producer": f"{PRODUCER} {bpnet.__version__}",
        },
    )


def get_contract(model: onnx.ModelProto, source: Path) -> ModelContract | None:
    """The contract in the metadata of ``model``, which the file ``source`` holds; None: none.

    Raises:
        ModelError: It is damaged.
    """
    texts = [entry.value for entry in model.metadata_props if entry.key == METADATA_KEY]
    return parse_contract(texts[0], source) if texts else None


def constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """The constant tensors of the graph, by name."""
    return {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}


def consumers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """The nodes that read each tensor."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def producers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """The node that writes each tensor."""
    return {name: node for node in model.graph.node for name in node.output}


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A copy of ``model`` with the tensors ``names`` as outputs, for any number of images a run."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    inputs = {one.name for one in copy.graph.input}
    for declared in copy.graph.input:
        declared.type.tensor_type.shape.dim[0].dim_param = "batch"
    del copy.graph.output[:]
    del copy.graph.value_info[:]
    for name in names:
        if name in inputs:
            raise ValueError(f"{name} is an input of the graph, not a tensor that it computes")
        copy.graph.output.append(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        )
    return copy


def open_session(model: onnx.ModelProto) -> Any:
    """ONNX Runtime on all cores of the CPU, for ``model``.

    Raises:
        ModelError: ONNX Runtime cannot run the graph.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return start_session(model.SerializeToString(), options, ["CPUExecutionProvider"])
    except FAILURES as error:
        raise ModelError(f"ONNX Runtime cannot run the exported graph: {error}") from error


def write_onnx(model: onnx.ModelProto, path: Path, *, key: str | None = None) -> None:
    """Check ``model`` and write it to ``path``, encrypted where a ``key`` is given.

    Raises:
        DataError: The file cannot be written.
        ModelError: The graph is not sound ONNX.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"the graph for {path} is not sound ONNX: {error}") from error
    data = model.SerializeToString(deterministic=True)
    with replacing(path) as temporary:
        temporary.write_bytes(data if key is None else encrypt(data, key))


def rename_tensors(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Rename tensors everywhere in the graph: nodes, constants, inputs and outputs."""
    for node in model.graph.node:
        for tensors in (node.input, node.output):
            for index, name in enumerate(tensors):
                tensors[index] = names.get(name, name)
    for declared in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        declared.name = names.get(declared.name, declared.name)
    del model.graph.value_info[:]


def name_nodes(model: onnx.ModelProto) -> None:
    """Give a name to each node that has none, and another to each whose name an earlier one has.

    A node without a name is called after the tensor that it writes, which has to have one.
    """
    taken: set[str] = set()
    for node in model.graph.node:
        wanted = node.name or f"{node.output[0]}/{node.op_type}"
        name, count = wanted, 1
        while name in taken:
            count += 1
            name = f"{wanted}_{count}"
        node.name = name
        taken.add(name)


def drop_unused(model: onnx.ModelProto) -> None:
    """Drop the nodes and constants that no output depends on."""
    graph = model.graph
    needed = {one.name for one in graph.output}
    for index in reversed(range(len(graph.node))):  # a node stands behind those it reads
        node = graph.node[index]
        if needed.isdisjoint(node.output):
            del graph.node[index]
        else:
            needed.update(node.input)
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in needed:
            del graph.initializer[index]
    del graph.value_info[:]


def version_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators (opset) in ``model``."""
    return max(int(one.version) for one in model.opset_import if one.domain in OWN_DOMAINS)


def lift(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """``model`` with operators of ``version`` (opset), or itself where it has them.

    Raises:
        ModelError: It has newer ones, or one that ONNX cannot convert.
    """
    found = version_of(model)
    if found == version:
        return model
    if found > version:
        raise ModelError(
            f"the graph has operators of opset {found}; it cannot be written with opset {version}"
        )
    try:
        lifted = onnx.version_converter.convert_version(model, version)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"the graph cannot be lifted from opset {found} to {version}: {error}; write it with "
            f"opset {version} where it was made"
        ) from error
    lifted.ir_version = max(lifted.ir_version, least_ir_version(version))
    del lifted.metadata_props[:]
    lifted.metadata_props.extend(model.metadata_props)
    lifted.producer_name, lifted.producer_version = model.producer_name, model.producer_version
    return lifted


def least_ir_version(version: int) -> int:
    """The file format's version that operators of ``version`` need; older readers take no newer."""
    return int(onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", version)]))
