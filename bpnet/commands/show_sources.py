"""What ``bpnet show`` shows: a training's records, or a dataset's labelled images."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bpnet.commands.options import print_dry_run, warn_of_missing
from bpnet.errors import DataError, SpecError

if TYPE_CHECKING:
    from bpnet.data.coco import CocoDataset
    from bpnet.data.statistics import Statistics
    from bpnet.pose.skeleton import Skeleton
    from bpnet.spec.dataloader import BpNetDataloader
    from bpnet.spec.dataset import DataSection, DatasetSpec
    from bpnet.spec.train import BpNetTrainer

SEED = 42  # where no training spec says one


@dataclass(frozen=True)
class TrainingSource:
    """Records, and how a training's loader turns them into examples."""

    name: str
    loader: "BpNetDataloader"
    skeleton: "Skeleton"
    datasets: "dict[str, DatasetSpec]"
    records: list[Path]
    seed: int


@dataclass(frozen=True)
class DatasetSource:
    """An annotation file's images and labels, as keypoints of ``skeleton``."""

    name: str
    spec: "DatasetSpec"
    dataset: "CocoDataset"
    images_root: Path
    skeleton: "Skeleton"
    seed: int


def open_source(args: argparse.Namespace) -> TrainingSource | DatasetSource:
    """What -e, or -d and --records, name.

    Raises:
        SpecError: A spec or skeleton says something impossible.
        DataError: Labels or records are missing or damaged.
    """
    if args.experiment_spec_file is not None:
        return _training(args)
    return _records(args) if args.records else _dataset(args)


def count(source: TrainingSource | DatasetSource) -> "Statistics":
    """The statistics of a source's people.

    Raises:
        DataError: A record is damaged, or there is nobody.
    """
    from tqdm import tqdm

    from bpnet.data.statistics import images_of_dataset, images_of_records, summarise

    skeleton = source.skeleton
    if isinstance(source, DatasetSource):
        images = images_of_dataset(source.dataset, source.spec, skeleton)
        return summarise(images, skeleton.keypoints)
    from bpnet.data.records import RecordIndex

    index = RecordIndex(source.records)
    numbers = tqdm(range(len(index)), desc="counting", unit="record", disable=None)
    images = images_of_records(map(index.parse, numbers), source.datasets, skeleton)
    return summarise(images, skeleton.keypoints)


def dry_run(args: argparse.Namespace) -> None:
    """Print the spec with every default; warn of what it names and is not there.

    Raises:
        SpecError: The spec says something impossible.
    """
    missing: list[str | Path] = [path for path in args.records or () if not path.exists()]
    if args.skeleton is not None and not args.skeleton.exists():
        missing.append(args.skeleton)
    if args.experiment_spec_file is None:
        from bpnet.data.storage import join

        dataset_spec = _read_dataset_spec(args)
        print_dry_run(dataset_spec)
        section = _section(args, dataset_spec)
        root = dataset_spec.root_directory_path
        named = (section.annotation_root_dir_path, section.images_root_dir_path)
        missing += [path for path in (join(root, name) for name in named) if not _is_there(path)]
    else:
        spec = _read_training_spec(args)
        print_dry_run(spec)
        missing += _missing_of_training(spec)
    warn_of_missing(missing)


def _training(args: argparse.Namespace) -> TrainingSource:
    from bpnet.commands.train import check_spec, read_datasets
    from bpnet.training.plan import find_records

    spec = _read_training_spec(args)
    return TrainingSource(
        name=args.experiment_spec_file.name,
        loader=spec.dataloader,
        skeleton=check_spec(spec),
        datasets=read_datasets(spec),
        records=find_records(spec.dataloader.dataset_config),
        seed=spec.random_seed if args.seed is None else args.seed,
    )


def _records(args: argparse.Namespace) -> TrainingSource:
    """Records seen by the loader that a training spec without any settings would have."""
    from bpnet.spec.dataloader import BpNetDataloader, BpNetPoseConfig, DatasetConfig

    spec = _read_dataset_spec(args)
    loader = BpNetDataloader(
        pose_config=BpNetPoseConfig(pose_config_path=str(args.skeleton or "")),
        dataset_config=DatasetConfig(
            root_data_path=spec.root_directory_path,
            train_records_folder_path="",
            train_records_path=[str(path) for path in args.records],
            dataset_specs={spec.dataset: str(args.dataset_spec)},
        ),
    )
    return TrainingSource(
        name=", ".join(path.name for path in args.records),
        loader=loader,
        skeleton=_skeleton(args, spec),
        datasets={spec.dataset: spec},
        records=list(args.records),
        seed=SEED if args.seed is None else args.seed,
    )


def _dataset(args: argparse.Namespace) -> DatasetSource:
    from bpnet.data.coco import read_subset

    spec = _read_dataset_spec(args)
    section = _section(args, spec)
    dataset, images_root = read_subset(spec, section)
    return DatasetSource(
        name=Path(section.annotation_root_dir_path).name,
        spec=spec,
        dataset=dataset,
        images_root=images_root,
        skeleton=_skeleton(args, spec),
        seed=SEED if args.seed is None else args.seed,
    )


def _read_training_spec(args: argparse.Namespace) -> "BpNetTrainer":
    from bpnet.spec.reader import read_spec
    from bpnet.spec.train import BpNetTrainer

    return read_spec(args.experiment_spec_file, BpNetTrainer, args.overrides)


def _read_dataset_spec(args: argparse.Namespace) -> "DatasetSpec":
    from bpnet.spec.dataset import DatasetSpec
    from bpnet.spec.reader import read_spec

    return read_spec(args.dataset_spec, DatasetSpec, args.overrides)


def _section(args: argparse.Namespace, spec: "DatasetSpec") -> "DataSection":
    mode = args.mode or "train"
    section = spec.train_data if mode == "train" else spec.test_data
    if section is None:
        raise SpecError(f"{args.dataset_spec} has no `{mode}_data`, which --mode asks for")
    return section


def _skeleton(args: argparse.Namespace, spec: "DatasetSpec") -> "Skeleton":
    """That of --skeleton, else the dataset's own keypoints and limbs."""
    from bpnet.pose.skeleton import Skeleton

    if args.skeleton is not None:
        return Skeleton.load(args.skeleton)
    try:
        return Skeleton.from_category(spec.people(), spec.dataset)
    except SpecError as error:
        raise SpecError(f"{args.dataset_spec}: categories: {error}") from None


def _missing_of_training(spec: "BpNetTrainer") -> list[str | Path]:
    from bpnet.training.plan import find_records

    config = spec.dataloader.dataset_config
    named = [spec.dataloader.pose_config.pose_config_path, config.root_data_path]
    named += config.dataset_specs.values()
    missing: list[str | Path] = [path for path in named if not _is_there(path)]
    try:
        find_records(config)
    except DataError as error:
        missing.append(str(error))
    return missing


def _is_there(path: str | Path) -> bool:
    from bpnet.data.storage import is_file, is_folder

    try:
        return is_file(path) or is_folder(path)
    except OSError as error:
        raise DataError(f"{path} cannot be looked for: {error}") from error
