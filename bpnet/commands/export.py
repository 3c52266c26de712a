"""Write a trained network as ONNX in any precision, compared with it, and as TensorRT engine."""

import argparse
import logging
from typing import TYPE_CHECKING

from bpnet.commands.export_checks import check_options
from bpnet.commands.export_options import add_arguments
from bpnet.commands.export_plan import Plan, make_plan
from bpnet.commands.options import print_dry_run, read_key, warn_of_missing
from bpnet.errors import ExitCode, SpecError
from bpnet.files import model_candidates

if TYPE_CHECKING:
    from bpnet.commands.export_results import Exported, Trials
    from bpnet.commands.export_source import Source
    from bpnet.commands.status import StatusWriter
    from bpnet.spec.train import BpNetTrainer

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> int:
    """Export; 1 where an engine was asked for and cannot be built, 4 where a file is rejected."""
    from bpnet.commands.status import status

    if args.verbose:
        logging.getLogger("bpnet").setLevel(logging.DEBUG)
    spec = _read_spec(args)
    if args.dry_run and spec is not None:
        print_dry_run(spec)
    key = read_key(args)
    plan = make_plan(args, key)
    check_options(args, plan)
    if args.dry_run:
        return _describe(args, plan)
    with status(args.results_dir, "export") as write:
        return _export(args, spec, plan, key=key, write=write)


def _read_spec(args: argparse.Namespace) -> "BpNetTrainer | None":
    """The training spec of -e with what --set changes; None without -e."""
    from bpnet.spec.reader import read_spec
    from bpnet.spec.train import BpNetTrainer

    if args.experiment_spec is not None:
        return read_spec(args.experiment_spec, BpNetTrainer, args.overrides)
    if args.overrides:
        raise SpecError("--set changes the training spec, but none is given; name it with -e")
    return None


def _describe(args: argparse.Namespace, plan: Plan) -> int:
    """Say what would be written, and what is not there yet."""
    size = (
        "the model's own size" if args.input_dims is None else "x".join(map(str, args.input_dims))
    )
    print(f"# of {args.model}, {plan.layout or 'its own layout'}, {size}:")
    for path, what in plan.files(args.engine_file):
        print(f"# would write {path}: {what}")
    if args.bundle is not None:
        print(f"# would write configurations of DeepStream and Triton into {args.bundle}")
    there = any(file.exists() for file in model_candidates(args.model))
    files = (args.verify, args.inference_spec, args.cal_image_dir, args.verify_image_dir)
    missing = [path for path in files if path is not None and not path.exists()]
    warn_of_missing([*([] if there else [args.model]), *missing])
    return ExitCode.DONE


def _export(
    args: argparse.Namespace,
    spec: "BpNetTrainer | None",
    plan: Plan,
    *,
    key: str | None,
    write: "StatusWriter",
) -> int:
    from bpnet.commands.export_deployment import (
        build_engine,
        print_lines,
        verify_engine,
        write_bundle,
    )
    from bpnet.commands.export_results import (
        choose_trials,
        compare_all,
        reject,
        report,
        write_all,
    )
    from bpnet.commands.export_source import open_source

    source = open_source(args, spec, plan, key=key)
    trials = choose_trials(args, source)
    exported = _make_graphs(args, plan, source, trials)
    comparisons = compare_all(source, trials, exported)
    report(comparisons.values())
    write(
        kpi={name: value for one in comparisons.values() for name, value in one.numbers().items()}
    )
    reject(write_all(args, exported, comparisons, trials, key=key))
    if args.bundle is not None:
        write_bundle(args, plan, source, exported)
    if args.engine_file is None:
        return ExitCode.DONE
    failure = build_engine(args, plan, source, exported)
    if failure is None:
        write(kpi=verify_engine(args, source, trials).numbers())
        return ExitCode.DONE
    logger.error("%s", failure)
    print_lines(args, plan, exported)
    write(status="FAILURE", message=failure)
    return ExitCode.FAILED


def _make_graphs(
    args: argparse.Namespace, plan: Plan, source: "Source", trials: "Trials"
) -> "list[Exported]":
    """Every artefact's graph; INT8 is calibrated on the way."""
    from bpnet.commands.export_calibration import Ranges, find_table
    from bpnet.commands.export_results import Exported
    from bpnet.commands.export_sensitivity import choose_float_layers
    from bpnet.export.artefact import to_precision
    from bpnet.export.graph import version_of

    ranges, float_nodes = Ranges({}), None
    if plan.int8:
        ranges = find_table(args, plan, source)
        if args.sensitivity:
            choice = choose_float_layers(args, plan, source, ranges, trials)
            float_nodes = choice.nodes
            ranges.notes["kept_float"] = ", ".join(choice.added)
    exported = []
    for artefact in plan.artefacts:
        opset = artefact.opset
        if args.opset is None:
            opset = max(opset, version_of(source.graph))  # a foreign graph may have newer ones
        model = to_precision(
            source.graph,
            source.contract,
            artefact.data_type,
            ranges=ranges.table if artefact.is_int8 else None,
            form=artefact.form or "onnxruntime",
            float_nodes=float_nodes,
            opset=opset,
            notes=ranges.notes if artefact.is_int8 else None,
        )
        exported.append(Exported(artefact, model))
    return exported
