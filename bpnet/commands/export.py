"""Write a trained network as ONNX, after comparing it with the network."""

import argparse
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bpnet.commands.export_options import NO_EFFECT, UPSAMPLE_RATIO, add_arguments
from bpnet.commands.options import print_dry_run, read_key, warn_of_missing
from bpnet.errors import ExitCode, ExportRejectedError, SpecError
from bpnet.files import model_candidates

if TYPE_CHECKING:
    import keras
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from bpnet.commands.status import StatusWriter
    from bpnet.export.verify import Comparison
    from bpnet.pose.contract import ModelContract
    from bpnet.spec.train import BpNetTrainer

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

OUTPUT_SUFFIXES = (".onnx", ".etlt")


def run(args: argparse.Namespace) -> int:
    """Export; returns the exit code."""
    from bpnet.commands.status import status

    if args.verbose:
        logging.getLogger("bpnet").setLevel(logging.DEBUG)
    spec = _read_spec(args)
    if args.dry_run and spec is not None:
        print_dry_run(spec)
    key = read_key(args)
    output = _output_path(args, key)
    _warn_of_options_without_effect(args, output)
    if args.data_type == "int8" and args.cal_image_dir is None:
        raise SpecError(
            "--data_type int8 needs --cal_image_dir, a folder of photos like those that the "
            "network will see"
        )
    if args.dry_run:
        print(f"# would write {output}: {_summary(args)}")
        there = any(file.exists() for file in model_candidates(args.model))
        warn_of_missing([] if there else [args.model])
        return ExitCode.DONE
    with status(args.results_dir, "export") as write:
        _export(args, spec, output=output, key=key, write=write)
    return ExitCode.DONE


def _read_spec(args: argparse.Namespace) -> "BpNetTrainer | None":
    """The training spec of -e with what --set changes; None without -e."""
    from bpnet.spec.reader import read_spec
    from bpnet.spec.train import BpNetTrainer

    if args.experiment_spec is not None:
        return read_spec(args.experiment_spec, BpNetTrainer, args.overrides)
    if args.overrides:
        raise SpecError("--set changes the training spec, but none is given; name it with -e")
    return None


def _output_path(args: argparse.Namespace, key: str | None) -> Path:
    output: Path = args.output_file or args.model.with_suffix(".etlt" if key else ".onnx")
    if output.suffix not in OUTPUT_SUFFIXES:
        output = output.with_name(f"{output.name}.onnx")
        logger.info("writing %s: exported models end in .onnx or .etlt", output)
    if output.suffix == ".etlt" and not key:
        raise SpecError(f"{output} is to be encrypted: give a key with -k, --key_file or BPNET_KEY")
    if output.exists() and not args.overwrite:
        raise SpecError(f"{output} exists; give another name with -o, or --overwrite to replace it")
    return output


def _warn_of_options_without_effect(args: argparse.Namespace, output: Path) -> None:
    for name, why in NO_EFFECT.items():
        if getattr(args, name) is not None:
            logger.warning("--%s has no effect: %s", name, why)
    if args.upsample_ratio is not None and not args.sdk_compatible_model:
        logger.warning("--upsample_ratio has no effect without --sdk_compatible_model")
    if args.engine_file is not None:
        logger.warning("to build it: trtexec --onnx=%s --saveEngine=%s", output, args.engine_file)
    if args.backend == "uff":
        logger.warning("--backend uff has no effect: TensorRT has dropped UFF; the output is ONNX")


def _layout(args: argparse.Namespace) -> str:
    if args.layout is not None:
        return str(args.layout)
    return "nchw" if args.data_format == "channels_first" else "nhwc"


def _paf_upsampling(args: argparse.Namespace) -> int:
    if not args.sdk_compatible_model:
        return 1
    return UPSAMPLE_RATIO if args.upsample_ratio is None else int(args.upsample_ratio)


def _summary(args: argparse.Namespace) -> str:
    size = (
        "the model's own size" if args.input_dims is None else "x".join(map(str, args.input_dims))
    )
    form = f" for {args.int8_form}" if args.data_type == "int8" else ""
    return f"{args.data_type}{form}, {_layout(args)}, {size}, of {args.model}"


def _export(
    args: argparse.Namespace,
    spec: "BpNetTrainer | None",
    *,
    output: Path,
    key: str | None,
    write: "StatusWriter",
) -> None:
    from bpnet.export.artefact import Calibration, compare, draw_maps, to_precision
    from bpnet.export.images import choose_images
    from bpnet.export.onnx import to_onnx
    from bpnet.inference.keras_backend import KerasBackend
    from bpnet.model.files import find_model, load_model

    calibration = None
    if args.data_type == "int8":
        photos = choose_images(args.cal_image_dir, args.batches * args.batch_size)
        calibration = Calibration(photos, args.calibration_method)
    found = find_model(args.model)
    model, carried = load_model(found, key=key)
    if carried is not None and spec is not None:
        logger.info("-e is not needed: %s says its skeleton and normalisation", args.model)
    contract = carried or _described(found, spec, model)
    height, width = _input_size(args, contract)
    images = _verification_images(args, height=height, width=width)
    graph, exported = to_onnx(
        model,
        contract,
        height=height,
        width=width,
        batch=args.static_batch_size if args.static_batch_size > 0 else None,
        layout=_layout(args),
        opset=args.opset,
        paf_upsampling=_paf_upsampling(args),
    )
    result = to_precision(
        graph, exported, args.data_type, calibration=calibration, form=args.int8_form
    )
    trained = draw_maps(KerasBackend(model, contract), images)
    comparisons = [
        compare(trained, one, images, name=output, precision=precision)
        for precision, one in {"fp32": graph, args.data_type: result}.items()
    ]
    _report(comparisons, write)
    sealing = key if output.suffix == ".etlt" else None
    _write(result, output, comparisons, key=sealing)
    print(f"wrote {output}: {_summary(args)}")


def _described(found: Path, spec: "BpNetTrainer | None", model: "keras.Model") -> "ModelContract":
    """The contract of the model file ``found``, which carries none, from its training spec."""
    from bpnet.inference.description import describe_by_training_spec

    if spec is None:
        raise SpecError(
            f"{found} does not say its skeleton and normalisation; give its training spec with -e"
        )
    contract = describe_by_training_spec(found, spec)
    extra = {**contract.extra, "parameters": str(model.count_params())}
    return dataclasses.replace(contract, extra=extra)


def _input_size(args: argparse.Namespace, contract: "ModelContract") -> tuple[int, int]:
    if args.input_dims is not None:
        height, width = args.input_dims
        return height, width
    return contract.usual_size


def _verification_images(
    args: argparse.Namespace, *, height: int, width: int
) -> list["NDArray[np.uint8]"]:
    from bpnet.export.images import choose_images, drawn_images, read_fitted

    count = args.verify_images
    if args.verify_image_dir is not None:
        paths = choose_images(args.verify_image_dir, count)
    elif args.cal_image_dir is not None:
        paths = choose_images(args.cal_image_dir, min(count, args.batches * args.batch_size))
    else:
        return drawn_images(count, height=height, width=width)
    return list(read_fitted(paths, height=height, width=width))


def _report(comparisons: Sequence["Comparison"], write: "StatusWriter") -> None:
    for comparison in comparisons:
        print("\n".join(comparison.lines()))
    write(kpi={name: value for one in comparisons for name, value in one.numbers().items()})


def _write(
    model: "onnx.ModelProto",
    output: Path,
    comparisons: Sequence["Comparison"],
    *,
    key: str | None,
) -> None:
    """Write the file, under another name if a comparison says that it is not the network."""
    from bpnet.export.graph import write_onnx

    faults = [fault for one in comparisons if (fault := one.fault()) is not None]
    if faults:
        rejected = output.with_name(f"{output.name}.rejected")
        write_onnx(model, rejected, key=key)
        raise ExportRejectedError(
            f"the exported model is not the trained network: {'; '.join(faults)}; it is kept as "
            f"{rejected}"
        )
    write_onnx(model, output, key=key)
