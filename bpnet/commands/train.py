"""Train a network, or go on training one."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from bpnet.commands.options import (
    add_key,
    add_launcher_options,
    add_log_level,
    add_results,
    add_spec_options,
    at_least,
    print_dry_run,
    read_key,
    warn_of_missing,
)
from bpnet.errors import DataError, ExitCode, ModelError, SpecError

if TYPE_CHECKING:
    from bpnet.commands.status import StatusWriter
    from bpnet.pose.skeleton import Skeleton
    from bpnet.spec.dataset import DatasetSpec
    from bpnet.spec.train import BpNetTrainer
    from bpnet.training.epoch_end import Validate

logger = logging.getLogger(__name__)

EPILOG = """examples:
  bpnet train -e bpnet_train.yaml -r results
  bpnet train -e bpnet_train.yaml -r results --set dataloader.batch_size=4 --set num_epoch=10
  bpnet train -e bpnet_train.yaml -r results --max_minutes 30
  bpnet train -e bpnet_train.yaml -r results --steps 2000
  bpnet train -e bpnet_retrain.yaml -r results --set loss.distillation.teacher=unpruned.keras
  bpnet train -e bpnet_train.yaml --dry_run

writes model.epoch-N.keras with the training's state beside it, bpnet_model_best.keras (by average
precision) and bpnet_model.keras at the end (.tlt with a key), results.csv, curves.png, TensorBoard
events and experiment_spec.yaml. The same command in the same folder resumes, also after Ctrl-C,
which saves where it stands, and on another number of devices.

several machines: give every one the same command, a results folder that all see, and the variable
  TF_CONFIG={"cluster": {"worker": ["host1:port", "host2:port"]}, "task": {"type": "worker",
  "index": 0}}     (index 1 on host2); batch_size is that of each device"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "-e",
        "--experiment_spec_file",
        type=Path,
        required=True,
        metavar="FILE",
        help="training spec",
    )
    parser.add_argument(
        "--max_minutes",
        type=_minutes,
        default=None,
        metavar="M",
        help="end after M minutes if the epochs are not done by then; the learning rate follows "
        "the clock, so that it has come down by the end (validation at the end comes on top)",
    )
    parser.add_argument(
        "--steps",
        type=at_least(1),
        metavar="N",
        help="train N steps in all, in place of the spec's num_epoch; the learning rate comes down "
        "over them",
    )
    parser.add_argument(
        "--skip_bad_images",
        action="store_true",
        help="leave out images that cannot be read, and say which at the end, instead of ending "
        "the training at the first",
    )
    add_results(parser)
    add_key(parser)
    add_spec_options(parser)
    add_log_level(parser)
    add_launcher_options(parser, used=("gpus", "gpu_index", "use_amp"))


def run(args: argparse.Namespace) -> int:
    """Train; the results folder is that of -r, else the spec's ``checkpoint_dir``."""
    from bpnet.commands.status import status
    from bpnet.spec.reader import read_spec
    from bpnet.spec.train import BpNetTrainer
    from bpnet.training.cluster import read_cluster
    from bpnet.training.plan import find_records

    spec = read_spec(args.experiment_spec_file, BpNetTrainer, args.overrides)
    if args.dry_run:
        print_dry_run(spec)
        _check_files(spec, read_key(args) or spec.key)
        return ExitCode.DONE
    skeleton = check_spec(spec)
    find_records(spec.dataloader.dataset_config)
    results_dir = args.results_dir or (Path(spec.checkpoint_dir) if spec.checkpoint_dir else None)
    if results_dir is None:
        raise SpecError("no results folder: give -r, or checkpoint_dir in the spec")
    # Of several machines the first one tells the status of all.
    with status(results_dir if read_cluster().is_chief else None, "train") as write:
        final = _train(args, spec, skeleton, results_dir, write)
    print(final)
    return ExitCode.DONE


def _train(
    args: argparse.Namespace,
    spec: "BpNetTrainer",
    skeleton: "Skeleton",
    results_dir: Path,
    write: "StatusWriter",
) -> Path:
    """Read what else there is to read, then train."""
    from bpnet.data.skipped import SkippedImages
    from bpnet.training.devices import choose_devices
    from bpnet.training.trainer import train

    devices = choose_devices(args.gpus, args.gpu_index)
    datasets = read_datasets(spec)
    epochs = None if args.steps else spec.num_epoch

    def report(row: dict[str, float]) -> None:
        names = ("ap", "ap50", "val_loss")
        measures: dict[str, float] = {name: row[name] for name in names if name in row}
        write(
            message=f"Epoch {row['epoch']:.0f}" + (f"/{epochs}" if epochs else ""),
            kpi=measures or None,
            graphical={"loss": row["loss"], "learning_rate": row["learning_rate"]},
            epoch=int(row["epoch"]),
            max_epoch=epochs,
        )

    return train(
        spec,
        skeleton=skeleton,
        datasets=datasets,
        results_dir=results_dir,
        key=read_key(args) or spec.key,
        use_amp=args.use_amp,
        validate=_validation(spec, skeleton, datasets),
        max_minutes=args.max_minutes,
        steps=args.steps,
        on_epoch=report,
        devices=devices,
        skipped=SkippedImages() if args.skip_bad_images else None,
    )


def check_spec(spec: "BpNetTrainer") -> "Skeleton":
    """The skeleton of the spec, if network and maps fit it.

    Raises:
        SpecError: They do not.
    """
    from bpnet.pose.skeleton import Skeleton
    from bpnet.spec.dataloader import STRIDE

    loader = spec.dataloader
    skeleton = Skeleton.load(Path(loader.pose_config.pose_config_path))
    for key, found, expected, why in (
        ("heat_channels", spec.model.heat_channels, skeleton.heatmap_channels, "keypoints + 1"),
        ("paf_channels", spec.model.paf_channels, skeleton.paf_channels, "twice its limbs"),
    ):
        if found != expected:
            raise SpecError(
                f"model.{key} is {found}, but the skeleton {skeleton.name} "
                f"({loader.pose_config.pose_config_path}) needs {expected}: {why}"
            )
    dims = loader.image_config.image_dims
    if dims.height % STRIDE or dims.width % STRIDE:
        raise SpecError(
            f"image_dims are {dims.height} x {dims.width}; both must be multiples of {STRIDE}"
        )
    cells = [dims.height // STRIDE, dims.width // STRIDE]
    if loader.pose_config.target_shape != cells:
        raise SpecError(
            f"pose_config.target_shape is {loader.pose_config.target_shape}; "
            f"for images of {dims.height} x {dims.width} it must be {cells}"
        )
    if not loader.dataset_config.dataset_specs:
        raise SpecError("dataset_config.dataset_specs is empty; name a dataset spec file")
    return skeleton


def _check_files(spec: "BpNetTrainer", key: str | None) -> None:
    """Check what the spec names, print what the network costs; warn of what is not there yet.

    Raises:
        BpnetError: Something is there and does not fit.
    """
    from bpnet.spec.dataset import DatasetSpec
    from bpnet.spec.inference import InferenceSpec
    from bpnet.spec.reader import read_spec

    config = spec.dataloader.dataset_config
    skeleton_path = spec.dataloader.pose_config.pose_config_path
    specs: list[tuple[str, type]] = [(path, DatasetSpec) for path in config.dataset_specs.values()]
    if spec.inference_spec:
        specs.append((spec.inference_spec, InferenceSpec))
    named = [skeleton_path, config.root_data_path, *(path for path, _ in specs)]
    missing_models = _missing_models(spec)
    missing = [path for path in named if not Path(path).exists()]
    warn_of_missing([*missing, *_missing_records(spec), *missing_models])
    for path, kind in specs:
        if path not in missing:
            read_spec(Path(path), kind)
    if skeleton_path not in missing:
        skeleton = check_spec(spec)
        if not (spec.load_graph and missing_models):
            print(describe(spec, skeleton, key, teacher=not missing_models))


def _missing_records(spec: "BpNetTrainer") -> list[str]:
    from bpnet.training.plan import find_records

    try:
        find_records(spec.dataloader.dataset_config)
    except DataError as error:
        return [str(error)]
    return []


def _missing_models(spec: "BpNetTrainer") -> list[str]:
    """The sentence of each model file to start from that is not there."""
    from bpnet.model.files import find_model

    start = spec.finetuning_config
    missing = []
    for path in (
        spec.pretrained_weights,
        spec.model.weights_path,
        start.checkpoint_path if start.is_finetune_exp else None,
        spec.loss.distillation.teacher if spec.loss.distillation else None,
    ):
        try:
            if path:
                find_model(Path(path))
        except ModelError as error:
            missing.append(str(error))
    return missing


def read_datasets(spec: "BpNetTrainer") -> "dict[str, DatasetSpec]":
    """The dataset spec of each name under ``dataset_specs``."""
    from bpnet.spec.dataset import DatasetSpec
    from bpnet.spec.reader import read_spec

    files = spec.dataloader.dataset_config.dataset_specs
    return {name: read_spec(Path(path), DatasetSpec) for name, path in files.items()}


def _validation(
    spec: "BpNetTrainer", skeleton: "Skeleton", datasets: "dict[str, DatasetSpec]"
) -> "Validate | None":
    """The validation on the first dataset's test data, as the spec's inference spec says."""
    from bpnet.pose.contract import ModelContract
    from bpnet.spec.inference import InferenceSpec
    from bpnet.spec.reader import read_spec
    from bpnet.training.validation import build_validation

    if spec.inference_spec:
        inference = read_spec(Path(spec.inference_spec), InferenceSpec)
    else:
        dims = spec.dataloader.image_config.image_dims
        inference = InferenceSpec(
            input_shape=[dims.height, dims.width], keep_aspect_ratio_mode="pad_image_input"
        )
    first = next(iter(datasets.values()))
    contract = ModelContract.trained_on(spec.dataloader, skeleton)
    return build_validation(first, contract, inference=inference)


def describe(
    spec: "BpNetTrainer", skeleton: "Skeleton", key: str | None, *, teacher: bool = True
) -> str:
    """Parameters and cost of the network, and of its ``teacher``, as comments below the spec."""
    from bpnet.model.description import describe_network
    from bpnet.training.devices import Devices
    from bpnet.training.start import build_or_load
    from bpnet.training.targets import Targets
    from bpnet.training.teacher import load_teacher

    dims = spec.dataloader.image_config.image_dims
    model = build_or_load(spec, None, skeleton=skeleton, key=key)
    network = describe_network(model, dims.height, dims.width)
    whole = " and, by squeeze and excitation, the whole image" if network.sees_whole_image else ""
    said = (
        f"# network: {network.parameters:,} parameters ({network.trainable_parameters:,} trained), "
        f"{network.gflops:.1f} GFLOPs an image of {dims.height} x {dims.width}, "
        f"receptive field {network.receptive_field} pixels{whole}"
    )
    if not teacher or spec.loss.distillation is None:
        return said
    found = load_teacher(
        spec.loss.distillation,
        model,
        targets=Targets.of(spec.dataloader, skeleton),
        skeleton=skeleton,
        devices=Devices(),
        key=key,
    )
    return f"{said}\n# {found.description}"


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0.0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"expected more than 0 minutes, found {text}")
    return minutes
