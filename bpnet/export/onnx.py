"""A trained Keras network as an ONNX graph: last stage only, names that do not change.

The graph takes images that are already normalised, as the contract in its metadata says:
float32 ``pixels / image_scale - image_offset``.
"""

import dataclasses
import gc
import re

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx

from bpnet.export.graph import constants, rename_tensors, set_contract
from bpnet.model.outputs import stages_of
from bpnet.pose.contract import ModelContract

TAO_NAMES = {
    "input": "input_1:0",
    "paf": "paf_out/BiasAdd:0",
    "heatmap": "heatmap_out/BiasAdd:0",
    "upsampled_paf": "conv2d_transpose_1/BiasAdd:0",
}
PLAIN_NAMES = {
    "input": "input_1",
    "paf": "paf_out",
    "heatmap": "heatmap_out",
    "upsampled_paf": "paf_upsampled",
}


def to_onnx(
    model: keras.Model,
    contract: ModelContract,
    *,
    height: int,
    width: int,
    batch: int | None = None,
    layout: str = "nhwc",
    opset: int = 17,
    paf_upsampling: int = 1,
) -> tuple[onnx.ModelProto, ModelContract]:
    """The last stage of ``model`` as an ONNX graph with outputs [PAFs, heatmaps].

    Args:
        model: Outputs [heatmaps of stage 1..T, PAFs of stage 1..T].
        contract: What the trained network says of itself.
        height: Height of the input, pixels.
        width: Width of the input, pixels.
        batch: Images a run; None: any number, a dimension called "batch".
        layout: "nhwc" with TAO's tensor names, or "nchw" with plain names and no Transpose.
        opset: Version of the ONNX operators.
        paf_upsampling: PAFs are upsampled (nearest) this many times; TAO's
            ``--sdk_compatible_model`` has 4.

    Returns:
        The graph, and its contract, which is also in its metadata.
    """
    exported = _convert(model, height=height, width=width, batch=batch, layout=layout, opset=opset)
    _name_after_layers(exported, [layer.name for layer in model.layers])
    names = TAO_NAMES if layout == "nhwc" else PLAIN_NAMES
    if paf_upsampling > 1:
        _upsample_pafs(exported, paf_upsampling, name=names["upsampled_paf"])
    paf_name = names["upsampled_paf" if paf_upsampling > 1 else "paf"]
    rename_tensors(
        exported, {"input": names["input"], "paf": paf_name, "heatmap": names["heatmap"]}
    )
    _declare_shapes(exported, [names["input"], paf_name, names["heatmap"]], batch)
    exported_contract = dataclasses.replace(
        contract,
        paf_stride=contract.paf_stride / paf_upsampling,
        layout=layout,
        input_name=names["input"],
        paf_output=paf_name,
        heatmap_output=names["heatmap"],
        height=height,
        width=width,
        precision="fp32",
    )
    set_contract(exported, exported_contract)
    return exported, exported_contract


def last_stage(model: keras.Model) -> keras.Model:
    """The network of ``model`` with the outputs of its last stage only: [PAFs, heatmaps]."""
    heatmaps, pafs = stages_of(model).outputs_at(None)
    return keras.Model(model.inputs[0], [model.outputs[pafs], model.outputs[heatmaps]])


def _convert(
    model: keras.Model, *, height: int, width: int, batch: int | None, layout: str, opset: int
) -> onnx.ModelProto:
    """The graph as tf2onnx writes it, with input "input" and outputs "paf" and "heatmap"."""
    network = last_stage(model)
    nchw = layout == "nchw"
    shape = (batch, 3, height, width) if nchw else (batch, height, width, 3)
    signature = [tf.TensorSpec(shape, tf.float32, name="input")]

    # Transposes around the network cancel tf2onnx's own, so that none is left in the NCHW graph.
    def forward(images: tf.Tensor) -> dict[str, tf.Tensor]:
        if nchw:
            images = tf.transpose(images, (0, 2, 3, 1))
        pafs, heatmaps = network(images, training=False)
        if nchw:
            pafs, heatmaps = (tf.transpose(maps, (0, 3, 1, 2)) for maps in (pafs, heatmaps))
        return {"paf": pafs, "heatmap": heatmaps}

    function = tf.function(forward, input_signature=signature)
    exported: onnx.ModelProto
    exported, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=opset)
    gc.collect()  # tf2onnx leaves some fifty copies of the weights in reference cycles
    return exported


def _name_after_layers(model: onnx.ModelProto, layers: list[str]) -> None:
    """Name nodes and tensors after the Keras layers they come from.

    tf2onnx's names count the models made in the process, so they differ from run to run.
    """
    fixed = {one.name for one in (*model.graph.input, *model.graph.output)}
    weights = constants(model)
    taken: dict[str, int] = {}
    names: dict[str, str] = {}
    for node in model.graph.node:
        weight = [name for name in node.input[1:2] if node.op_type == "Conv" and name in weights]
        layer = _layer_of((weight or [node.name])[0], layers)
        if node.input[0] in fixed and node.op_type == "Transpose":
            layer = node.input[0]
        wanted = f"{layer}/{node.op_type}" if layer else node.op_type
        taken[wanted] = taken.get(wanted, 0) + 1
        node.name = wanted if taken[wanted] == 1 else f"{wanted}_{taken[wanted]}"
        for index, output in enumerate(node.output):
            if output not in fixed:
                names[output] = node.name if index == 0 else f"{node.name}.{index}"
        for index, name in enumerate(node.input):
            if name in weights and name not in names:
                role = {1: "weight", 2: "bias"}.get(index, "") if node.op_type == "Conv" else ""
                names[name] = f"{node.name}.{role or f'constant{index}'}"
    rename_tensors(model, names)
    model.graph.name = "bpnet"
    model.graph.doc_string = ""  # tf2onnx's says which model of the process it was
    used = {node.domain for node in model.graph.node}
    kept = [(one.domain, one.version) for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(*one) for one in kept)


def _layer_of(name: str, layers: list[str]) -> str | None:
    """The layer a tf2onnx name speaks of; Keras adds ``_1``, ``_2``... to a layer's own name."""
    known = set(layers)
    for part in name.split("/")[1:]:
        for candidate in (part, re.sub(r"_\d+$", "", part.split("__")[0])):
            if candidate in known:
                return candidate
    return None


def _upsample_pafs(model: onnx.ModelProto, ratio: int, *, name: str) -> None:
    """Append TAO's ``--sdk_compatible_model`` layer: nearest upsampling as a ConvTranspose.

    TAO's kernel is ones on the channel diagonal; one group a channel says the same in less work.
    """
    helper = onnx.helper
    last = next(node for node in model.graph.node if "paf" in node.output)
    transposed = last.op_type == "Transpose"
    source = last.input[0] if transposed else "paf_native"
    channels = _channels(model, "paf", transposed=transposed)
    kernel = np.ones((channels, 1, ratio, ratio), np.float32)
    weight = onnx.numpy_helper.from_array(kernel, f"{name}.weight")
    model.graph.initializer.append(weight)
    target = f"{name}/ConvTranspose" if transposed else "paf"
    upsample = helper.make_node(
        "ConvTranspose",
        [source, weight.name],
        [target],
        name=f"{name.split('/')[0]}/ConvTranspose",
        kernel_shape=[ratio, ratio],
        strides=[ratio, ratio],
        group=channels,
    )
    if transposed:
        last.input[0] = target
        nodes = list(model.graph.node)
        model.graph.node.insert(nodes.index(last), upsample)
    else:
        last.output[0] = source
        model.graph.node.append(upsample)
    output = next(one for one in model.graph.output if one.name == "paf")
    height_axis = 1 if transposed else 2
    for axis in (height_axis, height_axis + 1):
        output.type.tensor_type.shape.dim[axis].dim_value *= ratio


def _channels(model: onnx.ModelProto, output: str, *, transposed: bool) -> int:
    declared = next(one for one in model.graph.output if one.name == output)
    axis = 3 if transposed else 1
    return int(declared.type.tensor_type.shape.dim[axis].dim_value)


def _declare_shapes(model: onnx.ModelProto, names: list[str], batch: int | None) -> None:
    """Put the outputs into the order of ``names``, and call the free dimension "batch"."""
    outputs = {one.name: one for one in model.graph.output}
    ordered = [outputs[name] for name in names if name in outputs]
    for declared in (*model.graph.input, *ordered):
        first = declared.type.tensor_type.shape.dim[0]
        first.ClearField("dim_param")
        if batch is None:
            first.ClearField("dim_value")
            first.dim_param = "batch"
        else:
            first.dim_value = batch
    kept = [onnx.ValueInfoProto.FromString(one.SerializeToString()) for one in ordered]
    del model.graph.output[:]
    model.graph.output.extend(kept)
