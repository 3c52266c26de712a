"""The float16 version of an ONNX graph, with float32 inputs and outputs."""

import warnings

import onnx
from onnxconverter_common import float16


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of ``model`` that computes in float16; inputs and outputs stay float32.

    Weights below float16's smallest step become that step, as a trained network has few and a zero
    would lose their sign.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with warnings.catch_warnings():
        # It reports every clamped weight; the comparison with the trained network judges them.
        warnings.filterwarnings("ignore", message=".*(truncated|will be).*", category=UserWarning)
        converted: onnx.ModelProto = float16.convert_float_to_float16(copy, keep_io_types=True)
    return converted
