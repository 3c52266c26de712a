"""What ``bpnet export`` makes for devices: engines, trtexec lines, the bundle."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bpnet.commands.export_plan import Plan
from bpnet.commands.export_results import REJECTED, Exported, Trials, open_trained
from bpnet.commands.export_source import Source
from bpnet.files import sidecar_path

if TYPE_CHECKING:
    from bpnet.export.engine_settings import EngineSettings
    from bpnet.export.verify import Comparison


def engine_settings(args: argparse.Namespace, plan: Plan) -> "EngineSettings":
    """How the options want engines built.

    Raises:
        SpecError: No TensorRT takes them so.
    """
    from bpnet.export.engine_settings import EngineSettings

    fixed = args.static_batch_size if args.static_batch_size > 0 else None
    return EngineSettings(
        data_type=args.data_type,
        min_batch=fixed or args.min_batch_size,
        opt_batch=fixed or args.opt_batch_size,
        max_batch=fixed or args.max_batch_size,
        workspace=args.max_workspace_size,
        timing_cache=args.timing_cache,
        dla_core=args.dla_core,
        hardware_compatible=args.hardware_compatible,
        version_compatible=args.version_compatible,
        builder_level=args.builder_level,
        strict_types=args.strict_type_constraints,
        calibration_cache=plan.calibration_cache if _by_cache(args) else None,
    )


def build_engine(
    args: argparse.Namespace, plan: Plan, source: Source, exported: Sequence[Exported]
) -> str | None:
    """Build --engine_file; the sentence that says why this machine cannot, else None.

    Raises:
        ModelError: TensorRT is there and refuses the network.
    """
    from bpnet.errors import MissingLibraryError
    from bpnet.export import tensorrt
    from bpnet.export.graph import get_contract

    if _by_cache(args):
        model, contract = source.graph, source.contract
    else:
        chosen = _for_engine(args, exported)
        said = get_contract(chosen.model, chosen.artefact.path)
        assert said is not None
        model, contract = chosen.model, said
    try:
        tensorrt.build_engine(model, contract, engine_settings(args, plan), args.engine_file)
    except MissingLibraryError as error:
        return str(error)
    print(f"wrote {args.engine_file}")
    return None


def verify_engine(args: argparse.Namespace, source: Source, trials: Trials) -> "Comparison":
    """The engine of --engine_file beside the trained network, on this machine's GPU.

    Raises:
        ExportRejectedError: It is not the network; it is kept under another name.
    """
    from bpnet.errors import ExportRejectedError
    from bpnet.export.artefact import fixed_size
    from bpnet.export.trial import Candidate, compare_networks, predictor_at
    from bpnet.inference.backend import open_backend

    height, width = fixed_size(source.contract)
    predictor = predictor_at(
        open_backend(args.engine_file), source.inference, height=height, width=width
    )
    # TensorRT rounds float32 products to TF32, whose 10 bits are those of float16.
    precision = "fp16" if args.data_type == "fp32" else args.data_type
    engine = Candidate(f"{args.data_type} engine", precision, predictor)
    (comparison,) = compare_networks(
        open_trained(source), [engine], trials.photos(), dataset=trials.dataset
    )
    print("\n".join(comparison.lines()))
    fault = comparison.fault(args.max_drop)
    if fault is not None:
        rejected = args.engine_file.with_name(f"{args.engine_file.name}{REJECTED}")
        args.engine_file.replace(rejected)
        sidecar_path(args.engine_file).unlink(missing_ok=True)
        raise ExportRejectedError(
            f"the engine is not the trained network: {fault}; it is kept as {rejected}"
        )
    return comparison


def write_bundle(
    args: argparse.Namespace, plan: Plan, source: Source, exported: Sequence[Exported]
) -> None:
    """What DeepStream and Triton need, around the files in --bundle."""
    from bpnet.export.bundle import BundleSettings
    from bpnet.export.bundle import write_bundle as write
    from bpnet.export.graph import get_contract
    from bpnet.inference.decoding import decoder_settings

    files = {
        one.artefact.label: one.artefact.path
        for one in exported
        if one.artefact.path.is_relative_to(args.bundle)
    }
    if plan.calibration_cache is not None:
        files["calibration cache"] = plan.calibration_cache
    (network,) = [one for one in exported if one.artefact.path == files["fp32"]]
    contract = get_contract(network.model, files["fp32"])
    assert contract is not None
    settings = BundleSettings(
        engine=engine_settings(args, plan),
        decoder=None if source.inference is None else decoder_settings(source.inference),
    )
    written = write(args.bundle, files, contract, settings=settings)
    print(f"wrote {args.bundle}: {len(written)} files; {args.bundle / 'README.md'} says how to use")


def print_lines(args: argparse.Namespace, plan: Plan, exported: Sequence[Exported]) -> None:
    """The trtexec lines that build the engine elsewhere."""
    plain = [one for one in exported if one.artefact.data_type == "fp32"] if _by_cache(args) else []
    chosen = plain[0] if plain else _for_engine(args, exported)
    path = chosen.artefact.path
    if path.suffix == ".etlt":
        print(f"trtexec reads no encrypted files: export {path.with_suffix('.onnx')} without a key")
        return
    print("on the machine that will run it:")
    for release, line in trtexec_lines(args, plan, chosen, engine=args.engine_file).items():
        print(f"  TensorRT {release}: {line}")


def trtexec_lines(
    args: argparse.Namespace, plan: Plan, one: Exported, *, engine: Path | None = None
) -> dict[str, str]:
    """The line that builds an engine of a file, by TensorRT's major version."""
    from bpnet.export import trtexec
    from bpnet.export.graph import get_contract

    contract = get_contract(one.model, one.artefact.path)
    assert contract is not None
    batch = args.static_batch_size if args.static_batch_size > 0 else None
    settings = engine_settings(args, plan)
    return trtexec.lines(one.artefact.path, settings, contract, batch=batch, engine=engine)


def _by_cache(args: argparse.Namespace) -> bool:
    """A DLA takes its INT8 ranges from a calibration cache, not from Q/DQ pairs."""
    return args.dla_core is not None and args.data_type.startswith("int8")


def _for_engine(args: argparse.Namespace, exported: Sequence[Exported]) -> Exported:
    """The file whose types are those of the engine."""
    fitting = [
        one
        for one in exported
        if one.artefact.data_type == args.data_type and one.artefact.form != "onnxruntime"
    ]
    return fitting[-1]
