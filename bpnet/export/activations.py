"""What is known of the activations of a float32 graph before anything is quantised."""

import onnx

from bpnet.export.graph import constants, consumers, producers

# Their output holds values of their first input, and nothing else.
CARRIERS = ("MaxPool", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
NEVER_NEGATIVE = ("Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Exp")
KEEP_SIGN = (*CARRIERS, "AveragePool", "GlobalAveragePool", "Resize", "Pad", "Slice")


def float_activations(model: onnx.ModelProto) -> list[str]:
    """Every float tensor that depends on the input: the input, all results, the outputs."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    floats = {
        one.name
        for one in (*inferred.input, *inferred.value_info, *inferred.output)
        if one.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    fixed = constants(model)
    reached = {one.name for one in model.graph.input} - set(fixed)
    names = [one.name for one in model.graph.input if one.name in reached & floats]
    for node in model.graph.node:
        if reached.intersection(node.input):
            reached.update(node.output)
            names += [name for name in node.output if name in floats]
    return names


def shared_scales(model: onnx.ModelProto) -> dict[str, str]:
    """Tensors that are quantised with the scale of another: its name.

    Int8 values pass through a pooling or a concatenation as they are only where they have its
    output's scale; TensorRT moves the quantisation before these nodes in the same way. A tensor
    that others read too keeps its own scale: the pooling of such a one takes it over, and a
    concatenation rescales it.
    """
    readers = consumers(model)
    outputs = {one.name for one in model.graph.output}
    shared: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type not in (*CARRIERS, "Concat"):
            continue
        sources = list(node.input if node.op_type == "Concat" else node.input[:1])
        for source in sources:
            alone = len(readers[source]) == 1 and source not in outputs
            if alone and source not in shared:
                shared[source] = node.output[0]
            elif node.op_type != "Concat":
                shared[node.output[0]] = source
    return {name: _root(name, shared) for name in shared}


def _root(name: str, shared: dict[str, str]) -> str:
    while name in shared:
        name = shared[name]
    return name


def never_negative(model: onnx.ModelProto) -> set[str]:
    """The tensors whose values cannot be below zero."""
    found: set[str] = set()
    fixed = constants(model)
    for node in model.graph.node:
        clipped = node.op_type == "Clip" and len(node.input) > 1 and node.input[1] in fixed
        if (
            node.op_type in NEVER_NEGATIVE
            or (clipped and float(fixed[node.input[1]].min()) >= 0.0)
            or (node.op_type in KEEP_SIGN and node.input[0] in found)
            or (node.op_type == "Concat" and found.issuperset(node.input))
        ):
            found.update(node.output)
    return found


def output_convolutions(model: onnx.ModelProto) -> set[str]:
    """The convolutions that write the maps: the last 1x1 heads.

    Their share of the work is below 0.1 %, and an error here goes straight into the maps.
    """
    writers, fixed = producers(model), constants(model)
    found = set()
    for output in model.graph.output:
        node = writers.get(output.name)
        while node is not None and node.op_type != "Conv":
            computed = [name for name in node.input if name and name not in fixed]
            # Back through transposes, upsampling and activations, but not through a sum of two.
            node = writers.get(computed[0]) if len(computed) == 1 else None
        if node is not None:
            found.add(node.name)
    return found
