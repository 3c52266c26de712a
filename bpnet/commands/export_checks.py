"""Do the options of ``bpnet export`` go together, and does each of them do something?"""

import argparse
import logging
from typing import Any

from bpnet.commands.export_int8_options import TENSORRT_VERSION
from bpnet.commands.export_plan import Plan
from bpnet.errors import SpecError
from bpnet.export.engine_settings import WORKSPACE
from bpnet.files import SIDECAR_SUFFIX

logger = logging.getLogger(__name__)

# Options whose default does nothing, and their defaults.
ENGINE_OPTIONS: dict[str, Any] = {
    "max_workspace_size": WORKSPACE,
    "min_batch_size": 1,
    "opt_batch_size": 1,
    "max_batch_size": 1,
    "strict_type_constraints": False,
    "timing_cache": None,
    "dla_core": None,
    "builder_level": None,
    "hardware_compatible": False,
    "version_compatible": False,
}
INT8_OPTIONS: dict[str, Any] = {
    "cal_data_file": None,
    "cal_cache_file": None,
    "int8_form": None,
    "calibration_method": "best",
    "sensitivity": False,
    "force_ptq": False,
}


def check_options(args: argparse.Namespace, plan: Plan) -> None:
    """Refuse options that do not go together, and outputs that exist; warn of idle options.

    Raises:
        SpecError: Something is to be changed on the command line.
    """
    on_dla = args.dla_core is not None and args.data_type.startswith("int8")
    if on_dla and args.engine_file and plan.calibration_cache is None:
        raise SpecError(
            "a DLA takes its INT8 ranges from a calibration cache: name it with --cal_cache_file; "
            "it is written where it does not exist"
        )
    _check_existing(args, plan)
    _check_batches(args)
    _warn(args, plan)


def _check_existing(args: argparse.Namespace, plan: Plan) -> None:
    """Outputs that exist are replaced only where the user says so."""
    if args.overwrite:
        return
    for path, _ in plan.files(args.engine_file):
        if path.exists() and path.suffix != SIDECAR_SUFFIX:
            raise SpecError(
                f"{path} exists; give another name with -o, or --overwrite to replace it"
            )


def _check_batches(args: argparse.Namespace) -> None:
    least, usual, most = args.min_batch_size, args.opt_batch_size, args.max_batch_size
    if not least <= usual <= most:
        raise SpecError(
            f"--min_batch_size {least}, --opt_batch_size {usual} and --max_batch_size {most} must "
            "not decrease"
        )
    if args.static_batch_size == 0 or args.static_batch_size < -1:
        raise SpecError(
            f"--static_batch_size is {args.static_batch_size}; expected 1 or more, or -1 for any"
        )


def _warn(args: argparse.Namespace, plan: Plan) -> None:
    """One warning for every option that does nothing here."""
    groups: list[tuple[dict[str, Any], bool, str]] = [
        (ENGINE_OPTIONS, bool(args.engine_file or args.bundle), "--engine_file or --bundle"),
        (INT8_OPTIONS, plan.int8, "an INT8 --data_type"),
        ({"verify_limit": None, "max_drop": None}, args.verify is not None, "--verify"),
        (
            {"tensorrt_version": TENSORRT_VERSION},
            plan.cache is not None,
            "a --cal_cache_file to write",
        ),
        (
            {"cal_data_precision": "float32"},
            plan.tensorfile is not None,
            "a --cal_data_file to write",
        ),
        ({"upsample_ratio": None}, args.sdk_compatible_model, "--sdk_compatible_model"),
    ]
    for options, used, condition in groups:
        for name, default in options.items():
            if not used and getattr(args, name) != default:
                logger.warning("--%s has no effect without %s", name, condition)
    if args.verify is not None and (args.verify_images != 8 or args.verify_image_dir):
        logger.warning("--verify_images and --verify_image_dir have no effect beside --verify")
    alone = args.bundle and args.output_file is None and args.engine_file is None
    if alone and (args.data_type != "fp32" or args.int8_form is not None):
        logger.warning(
            "--data_type and --int8_form have no effect: --bundle writes every precision and form, "
            "and neither -o nor --engine_file is given"
        )
    if args.backend == "uff":
        logger.warning("--backend uff has no effect: TensorRT has dropped UFF; the output is ONNX")
    if args.force_ptq and plan.int8:
        logger.info("--force_ptq: every INT8 export is quantised after training")
    if plan.reused_cache is not None:
        logger.info("the INT8 ranges are those of %s", plan.reused_cache)
