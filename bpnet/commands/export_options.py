"""The options of ``bpnet export``: TAO's, and ours for layout, INT8 and comparison."""

import argparse
from pathlib import Path

from bpnet.commands.options import (
    add_key,
    add_launcher_options,
    add_log_level,
    add_results,
    add_spec_options,
    at_least,
)
from bpnet.spec.dataloader import STRIDE

UPSAMPLE_RATIO = 4  # of --sdk_compatible_model, as NVIDIA's
ENGINE_OPTION = "it belongs to TensorRT engines, which trtexec builds from the ONNX file"
NO_EFFECT = {  # option: why it does nothing in this release
    "engine_file": "TensorRT engines are built by trtexec from the ONNX file in this release",
    "cal_data_file": "calibration reads the images of --cal_image_dir",
    "cal_cache_file": "the INT8 ranges are in the ONNX file itself",
    "max_workspace_size": ENGINE_OPTION,
    "max_batch_size": ENGINE_OPTION,
    "opt_batch_size": ENGINE_OPTION,
    "strict_type_constraints": ENGINE_OPTION,
    "force_ptq": "every INT8 export is quantised after training",
}

EPILOG = """examples:
  bpnet export -m model.keras -d 288,384,3
  bpnet export -m model.keras -d 288,384,3 -o model.fp16.onnx --data_type fp16
  bpnet export -m model.keras -d 288,384,3 -o model.int8.onnx --data_type int8 \\
      --cal_image_dir photos --batches 100
  bpnet export -m model.keras -d 288,384,3 -o model.trt.onnx --data_type int8 \\
      --int8_form tensorrt --cal_image_dir photos --batches 100
  bpnet export -m tao_model.hdf5 -d 288,384,3 -e train.yaml --dry_run
  bpnet export -m model.tlt -k KEY -o model.etlt --sdk_compatible_model

The maps of the exported model are compared with the trained network's. If they differ by more than
1e-4 (fp32) or 1e-2 (fp16) of the largest value anywhere, or by 3e-2 in the mean (int8), the file is
kept as OUTPUT.rejected and the exit code is 4."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    _add_model_options(parser)
    _add_int8_options(parser)
    _add_options_without_effect(parser)
    add_key(parser)
    add_results(parser)
    add_spec_options(parser)
    add_log_level(parser)
    add_launcher_options(parser)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-m", "--model", type=Path, required=True, metavar="FILE", help="trained model")
    add(
        "-o",
        "--output_file",
        type=Path,
        metavar="FILE",
        help="x.onnx, or x.etlt which is encrypted and needs a key "
        "(default: the model's name with .onnx, with a key .etlt)",
    )
    add("--overwrite", action="store_true", help="replace an output that exists")
    add(
        "-e",
        "--experiment_spec",
        type=Path,
        metavar="FILE",
        help="training spec; needed only for models that do not say their skeleton themselves",
    )
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
        default="channels_last",
        help="channels_last: NHWC and TAO's tensor names; channels_first: NCHW, plain names and "
        "no transposes (default: %(default)s)",
    )
    order(
        "--layout",
        choices=("nhwc", "nchw"),
        help="the same in other words: nhwc is channels_last, nchw is channels_first",
    )
    add(
        "--data_type",
        choices=("fp32", "fp16", "int8"),
        default="fp32",
        help="precision (default: %(default)s)",
    )
    add(
        "--opset",
        type=int,
        default=17,
        choices=range(13, 19),
        metavar="N",
        help="version of the operators, 13 to 18 (default: %(default)s)",
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
        default=None,
        choices=(1, 2, 4, 8),
        help=f"by how much, with --sdk_compatible_model (default: {UPSAMPLE_RATIO})",
    )
    add("-v", "--verbose", action="store_true", help="show more messages")


def _add_int8_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("INT8 and comparison").add_argument
    add("--cal_image_dir", type=Path, metavar="DIR", help="photos to calibrate INT8 with")
    add(
        "--batches",
        type=at_least(1),
        default=10,
        metavar="N",
        help="batches of photos (default: %(default)s)",
    )
    add(
        "--batch_size",
        type=at_least(1),
        default=1,
        metavar="N",
        help="photos a batch (default: %(default)s)",
    )
    add(
        "--int8_form",
        choices=("onnxruntime", "tensorrt"),
        default="onnxruntime",
        help="which runtime the INT8 file is for: ONNX Runtime on the CPU, or TensorRT; each is "
        "slow in the other (default: %(default)s)",
    )
    add(
        "--calibration_method",
        choices=("entropy", "percentile", "max", "mse"),
        default="percentile",
        help="how a tensor's range follows from its values (default: %(default)s)",
    )
    add(
        "--verify_images",
        type=at_least(1),
        default=8,
        metavar="N",
        help="images that the maps are compared on (default: %(default)s)",
    )
    add(
        "--verify_image_dir",
        type=Path,
        metavar="DIR",
        help="where they are (default: --cal_image_dir, else drawn ones)",
    )


def _add_options_without_effect(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("TAO's options without effect in this release").add_argument
    add("-t", "--backend", choices=("onnx", "tfonnx", "uff"), help="the output is ONNX")
    for name, why in NO_EFFECT.items():
        if name == "strict_type_constraints":
            add("-s", f"--{name}", action="store_true", default=None, help=why)
        elif name == "force_ptq":
            add(f"--{name}", action="store_true", default=None, help=why)
        else:
            kind = int if name.startswith(("max_", "opt_")) else Path
            add(f"--{name}", type=kind, metavar="N" if kind is int else "FILE", help=why)


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
