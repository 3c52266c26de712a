"""A trained Keras network as an ONNX graph: last stage only, names that do not change.

The graph takes images that are already normalised, as the contract in its metadata says:
float32 ``pixels / image_scale - image_offset``. It is written layer by layer: TensorFlow takes no
part, and memory holds little more than the weights.
"""

import dataclasses

import keras
import numpy as np
import onnx

from bpnet.export.choices import OPSETS
from bpnet.export.folding import fold_into_convolutions
from bpnet.export.graph import least_ir_version, rename_tensors, set_contract
from bpnet.export.onnx_layers import write_network
from bpnet.export.onnx_writer import LayerWriter
from bpnet.model.graph import without_wrapper
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
TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)

helper = onnx.helper


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
        opset: Version of the ONNX operators, one of ``OPSETS``.
        paf_upsampling: PAFs are upsampled (nearest) this many times; TAO's
            ``--sdk_compatible_model`` has 4.

    Returns:
        The graph, and its contract, which is also in its metadata.

    Raises:
        ModelError: The network has a layer that cannot be written.
    """
    if opset not in OPSETS:
        raise ValueError(f"opset is {opset}, not one of {OPSETS[0]} to {OPSETS[-1]}")
    names = TAO_NAMES if layout == "nhwc" else PLAIN_NAMES
    paf_name = names["upsampled_paf" if paf_upsampling > 1 else "paf"]
    writer = LayerWriter()
    image = names["input"]
    writer.shapes[image] = (3, height, width)
    source = image
    if layout == "nhwc":
        shape = writer.shapes[image]
        source = writer.add("Transpose", [image], layer="input", shape=shape, perm=TO_NCHW)
    pafs, heatmaps = write_network(writer, last_stage(without_wrapper(model)), source)
    layers = {"paf": "paf_out", "heatmap": "heatmap_out"}
    if paf_upsampling > 1:
        layers["paf"] = names["upsampled_paf"].split("/")[0]
        pafs = _upsample(writer, pafs, paf_upsampling, layer=layers["paf"])
    outputs = {pafs: paf_name, heatmaps: names["heatmap"]}
    if layout == "nhwc":
        outputs = {
            writer.add(
                "Transpose", [tensor], layer=layer, shape=writer.shapes[tensor], perm=TO_NHWC
            ): name
            for (tensor, name), layer in zip(outputs.items(), layers.values(), strict=True)
        }
    exported = _make_model(writer, image, outputs, batch=batch, layout=layout, opset=opset)
    fold_into_convolutions(exported)
    exported_contract = dataclasses.replace(
        contract,
        paf_stride=contract.paf_stride / paf_upsampling,
        layout=layout,
        input_name=image,
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


def _upsample(writer: LayerWriter, source: str, ratio: int, *, layer: str) -> str:
    """TAO's ``--sdk_compatible_model`` layer: nearest upsampling as a ConvTranspose.

    TAO's kernel is ones on the channel diagonal; one group a channel says the same in less work.
    """
    channels, height, width = writer.shapes[source]
    return writer.add(
        "ConvTranspose",
        [source],
        layer=layer,
        shape=(channels, height * ratio, width * ratio),
        constants={"weight": np.ones((channels, 1, ratio, ratio), np.float32)},
        kernel_shape=[ratio, ratio],
        strides=[ratio, ratio],
        group=channels,
    )


def _make_model(
    writer: LayerWriter,
    image: str,
    outputs: dict[str, str],
    *,
    batch: int | None,
    layout: str,
    opset: int,
) -> onnx.ModelProto:
    """The model of what was written, whose ``outputs`` get the names that they stand for."""

    def declare(tensor: str, name: str) -> onnx.ValueInfoProto:
        channels, *size = writer.shapes[tensor]
        sides = [channels, *size] if layout == "nchw" else [*size, channels]
        shape = ["batch" if batch is None else batch, *sides]
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        writer.nodes,
        "bpnet",
        [declare(image, image)],
        [declare(tensor, tensor) for tensor in outputs],
        writer.constants,
    )
    model: onnx.ModelProto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=least_ir_version(opset)
    )
    rename_tensors(model, outputs)
    return model
