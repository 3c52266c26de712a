"""The options of ``bpnet export``: TAO's, and ours for layout, precision and files."""

import argparse
from pathlib import Path

from bpnet.commands.export_engine_options import add_engine_options
from bpnet.commands.export_int8_options import add_int8_options, add_verification_options
from bpnet.commands.options import (
    add_key,
    add_launcher_options,
    add_log_level,
    add_results,
    add_spec_options,
)
from bpnet.export.choices import DATA_TYPES, OPSETS
from bpnet.spec.dataloader import STRIDE

UPSAMPLE_RATIO = 4  # of --sdk_compatible_model, as NVIDIA's

EPILOG = """examples:
  bpnet export -m model.keras -d 288,384,3
  bpnet export -m model.keras -d 288,384,3 -o model.fp16.onnx --data_type fp16
  bpnet export -m model.keras -d 288,384,3 -o model.int8.onnx --data_type int8 \\
      --cal_image_dir photos --batches 100 --verify coco_spec.json
  bpnet export -m model.keras -d 288,384,3 -o model.trt.onnx --data_type int8+fp16 \\
      --cal_image_dir photos --batches 100 --engine_file model.engine --max_batch_size 8
  bpnet export -m model.keras -d 288,384,3 --bundle deployment --cal_image_dir photos
  bpnet export -m other.onnx --inference_spec other.yaml -o other.fp16.onnx --data_type fp16
  bpnet export -m tao_model.hdf5 -d 288,384,3 -e train.yaml --dry_run
  bpnet export -m model.tlt -k KEY -o model.etlt --sdk_compatible_model

Beside every file FILE stands FILE.json: what the network is, where it comes from, how it compares.
Maps and people of every exported model are compared with the trained network's, and with --verify
its AP. A file is kept as FILE.rejected, and the exit code is 4, where AP falls by more than
--max_drop; without --verify, where maps differ by more than 1e-4 (fp32) or 1e-2 (fp16) of the
largest value anywhere, or by 3e-2 in the mean (int8)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    _add_files(parser)
    _add_graph_options(parser)
    add_int8_options(parser)
    add_verification_options(parser)
    add_engine_options(parser)
    add_key(parser)
    add_results(parser)
    add_spec_options(parser)
    add_log_level(parser)
    add_launcher_options(parser)


def _add_files(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "-m",
        "--model",
        type=Path,
        required=True,
        metavar="FILE",
        help="trained model (.keras .hdf5 .tlt), or any PAF network in ONNX (.onnx .etlt)",
    )
    add(
        "-o",
        "--output_file",
        type=Path,
        metavar="FILE",
        help="x.onnx, or x.etlt which is encrypted and needs a key "
        "(default: the model's name with .onnx, with a key .etlt; with --bundle: none)",
    )
    add(
        "--bundle",
        type=Path,
        metavar="DIR",
        help="write the model in every precision into DIR, with what DeepStream and Triton need to "
        "run it; INT8 where there are photos to calibrate with",
    )
    add("--overwrite", action="store_true", help="replace outputs that exist")
    add(
        "-e",
        "--experiment_spec",
        type=Path,
        metavar="FILE",
        help="training spec; needed only for models that do not say their skeleton themselves",
    )
    add(
        "--inference_spec",
        type=Path,
        metavar="FILE",
        help="inference spec that says what a foreign ONNX model is, and how its maps are decoded "
        "when models are compared",
    )
    add(
        "--model_licence",
        metavar="TEXT",
        help="licence of the network's weights, for the metadata (default: as the model says)",
    )
    add(
        "--data_licence",
        metavar="TEXT",
        help="terms of the data that it was trained on, for the metadata (default: as the model "
        "says)",
    )


def _add_graph_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "-d",
        "--input_dims",
        type=_dims,
        metavar="H,W,3",
        help="size of the input, pixels, multiples of 8 (default: the model's or its training's, "
        "else 256,256,3)",
    )
    order = parser.add_mutually_exclusive_group().add_argument
    order(
        "-i",
        "--data_format",
        choices=("channels_last", "channels_first"),
        help="channels_last: NHWC and TAO's tensor names; channels_first: NCHW, plain names and "
        "no transposes (default: channels_last; a foreign ONNX model keeps its own)",
    )
    order(
        "--layout",
        choices=("nhwc", "nchw"),
        help="the same in other words: nhwc is channels_last, nchw is channels_first",
    )
    add(
        "--data_type",
        choices=DATA_TYPES,
        default="fp32",
        help="precision; int8+fp16 is TensorRT's, INT8 convolutions and the rest in FP16 "
        "(default: %(default)s)",
    )
    add(
        "--opset",
        type=int,
        choices=OPSETS,
        metavar="N",
        help=f"version of the operators, {OPSETS[0]} to {OPSETS[-1]} (default: 17; for TensorRT's "
        "INT8 13, with FP16 19)",
    )
    add(
        "--static_batch_size",
        type=int,
        default=-1,
        metavar="N",
        help="images a run, fixed in the file; -1: any number (default: %(default)s)",
    )
    add(
        "--sdk_compatible_model",
        action="store_true",
        help="upsample the PAFs as NVIDIA's deployable model does",
    )
    add(
        "-u",
        "--upsample_ratio",
        type=int,
        choices=(1, 2, 4, 8),
        help=f"by how much, with --sdk_compatible_model (default: {UPSAMPLE_RATIO})",
    )
    add(
        "-t",
        "--backend",
        choices=("onnx", "tfonnx", "uff"),
        help="as TAO has it; the output is ONNX whatever it says",
    )
    add("-v", "--verbose", action="store_true", help="show more messages")


def _dims(text: str) -> tuple[int, int]:
    """Height and width of "H,W,3" or "3,H,W"."""
    try:
        sides = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected H,W,3, found {text!r}") from None
    if len(sides) == 3 and 3 in (sides[0], sides[2]):
        sides = sides[:2] if sides[2] == 3 else sides[1:]
        if all(side > 0 and side % STRIDE == 0 for side in sides):
            return sides[0], sides[1]
    raise argparse.ArgumentTypeError(
        f"expected H,W,3 with H and W multiples of {STRIDE}, found {text!r}"
    )
