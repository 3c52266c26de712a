"""The options of ``bpnet export`` about INT8, and about comparing exports with the network."""

import argparse
from pathlib import Path

from bpnet.commands.options import at_least, points
from bpnet.export.choices import FORMS

TENSORRT_VERSION = "10.3.0"  # of JetPack 6.1 and 6.2, which the header of a cache has to name


def add_int8_options(parser: argparse.ArgumentParser) -> None:
    """Calibration, and the form of the file."""
    add = parser.add_argument_group("INT8").add_argument
    add("--cal_image_dir", type=Path, metavar="DIR", help="photos to calibrate INT8 with")
    add(
        "--cal_data_file",
        type=Path,
        metavar="FILE",
        help="TAO's tensorfile (HDF5): read in place of photos where it exists, else written from "
        "--cal_image_dir",
    )
    add(
        "--cal_data_precision",
        choices=("float16", "float32"),
        default="float32",
        help="numbers in the tensorfile that is written (default: %(default)s)",
    )
    add(
        "--cal_cache_file",
        type=Path,
        metavar="FILE",
        help="TensorRT's calibration cache: where it exists its ranges are used, and no photos are "
        "needed; else it is written",
    )
    add(
        "--tensorrt_version",
        default=TENSORRT_VERSION,
        metavar="X.Y.Z",
        help="which TensorRT shall read the cache, 10 at most: no other accepts it "
        "(default: %(default)s)",
    )
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
        choices=FORMS,
        help="which runtime the INT8 file is for: ONNX Runtime on the CPU, or TensorRT; each is "
        "slow in the other (default: onnxruntime; tensorrt with --engine_file)",
    )
    add(
        "--calibration_method",
        choices=("best", "entropy", "percentile", "max", "mse"),
        default="best",
        help="how a tensor's range follows from its values; best: by whichever the maps differ "
        "least on some of the photos (default: %(default)s)",
    )
    add(
        "--sensitivity",
        action="store_true",
        help="measure what INT8 costs layer by layer, and keep the worst layers in float until "
        "the loss is under the limit: of AP with --verify, else of the maps",
    )
    add(
        "--force_ptq",
        action="store_true",
        help="as TAO has it; every INT8 export is quantised after training, with or without it",
    )


def add_verification_options(parser: argparse.ArgumentParser) -> None:
    """What exports are compared on, and what they may lose."""
    add = parser.add_argument_group("comparison with the trained network").add_argument
    add(
        "--verify",
        type=Path,
        metavar="DATASET_SPEC",
        help="measure AP of the trained network and of every exported model on the test_data of "
        "this dataset spec",
    )
    add(
        "--verify_limit",
        type=at_least(1),
        metavar="N",
        help="only the first N images of it (default: all)",
    )
    add(
        "--max_drop",
        type=points,
        metavar="POINTS",
        help="AP points, hundredths, that an exported model may lose, with --verify "
        "(default: 1.0 for INT8, 0.1 for others)",
    )
    add(
        "--verify_images",
        type=at_least(1),
        default=8,
        metavar="N",
        help="without --verify: images that maps and people are compared on (default: %(default)s)",
    )
    add(
        "--verify_image_dir",
        type=Path,
        metavar="DIR",
        help="without --verify: where they are (default: --cal_image_dir, else drawn ones)",
    )
