"""Overfit a slim network on the first COCO images with large people: a test of the whole line.

    python benchmarks/overfit.py --root coco --images_folder train2017 \
        --annotations annotations/person_keypoints_train2017.json

A network that is trained on a few images must find everyone in them again, or some part of the
line (labels, network, loss, decoder, evaluation) is wrong. Beside its AP stands the AP that the
drawn targets of the same images decode to. The skeleton is the dense one: with the limbs of the
usual skeleton two of the first ten people leave a knee behind, whose hip is not labelled.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bpnet.cli import main as bpnet
from bpnet.data.coco import CocoDataset, read_coco
from bpnet.decode import Decoder
from bpnet.encode import draw_maps
from bpnet.evaluation import evaluate_persons
from bpnet.inference.preprocess import InputFit, fit_image
from bpnet.inference.sources import read_image
from bpnet.pose.maps import PoseMaps
from bpnet.pose.skeleton import Skeleton

REPOSITORY = Path(__file__).resolve().parents[1]
SKELETON = REPOSITORY / "model_pose_config" / "coco_17joints_dense.json"
LARGE = 96**2  # square pixels: COCO's limit of large people


def main() -> int:
    """Choose the images, train on them, evaluate on them, print."""
    args = _arguments()
    labels = json.loads((args.root / args.annotations).read_text())
    chosen = choose_images(labels, args.images)
    with tempfile.TemporaryDirectory() as folder:
        work = args.results_dir or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        specs = write_specs(work, labels, chosen, args)
        if train(work, specs, args.epochs):
            return 1
        ap, ap50 = evaluated(work / "evaluate" / "status.json")
        ceiling = decoded_targets(
            work / "annotations.json", args.root / args.images_folder, args.size
        )
    print(f"images: {', '.join(map(str, chosen))}")
    print(f"{'':24}{'AP':>8}{'AP50':>8}")
    print(f"{'network':24}{ap:8.3f}{ap50:8.3f}")
    print(f"{'drawn targets, decoded':24}{ceiling[0]:8.3f}{ceiling[1]:8.3f}")
    if args.json:
        figures = {"ap": ap, "ap50": ap50, "ap_targets": ceiling[0], "images": chosen}
        print(json.dumps(figures))
    return 0


def choose_images(labels: dict[str, Any], count: int) -> list[int]:
    """The first ``count`` image ids that show keypoint people, all of them larger than 96x96."""
    areas: dict[int, list[float]] = {}
    for person in labels["annotations"]:
        if person.get("num_keypoints", 0) > 0:
            areas.setdefault(person["image_id"], []).append(person["area"])
    return sorted(image for image, sizes in areas.items() if min(sizes) > LARGE)[:count]


def write_specs(
    work: Path, labels: dict[str, Any], chosen: list[int], args: argparse.Namespace
) -> dict[str, Path]:
    """The chosen images' annotations, and specs that train and test on them."""
    subset = {
        **labels,
        "images": [image for image in labels["images"] if image["id"] in chosen],
        "annotations": [each for each in labels["annotations"] if each["image_id"] in chosen],
    }
    (work / "annotations.json").write_text(json.dumps(subset))
    if not (work / "images").exists():
        (work / "images").symlink_to((args.root / args.images_folder).resolve())
    section = {
        "images_root_dir_path": "images",
        "mask_root_dir_path": "masks",
        "annotation_root_dir_path": "annotations.json",
    }
    dataset = json.loads((REPOSITORY / "data_pose_config" / "coco_spec.json").read_text())
    dataset |= {"root_directory_path": str(work), "train_data": section, "test_data": section}
    dataset["duplicate_data_with_each_person_as_center"] = False
    dataset["data_filtering_params"] = {"min_acceptable_kpts": 1}
    (work / "dataset.json").write_text(json.dumps(dataset))
    height, width = args.size
    skeleton = Skeleton.load(SKELETON)
    training = {
        "num_epoch": args.epochs,
        "checkpoint_n_epoch": max(1, args.epochs // 10),
        "validation_every_n_epoch": args.epochs,
        "use_stagewise_lr_multipliers": False,
        "ema_decay": 0.99,
        "dataloader": {
            "batch_size": args.batch_size,
            "image_config": {"image_dims": {"height": height, "width": width, "channels": 3}},
            "pose_config": {
                "target_shape": [height // 8, width // 8],
                "pose_config_path": str(SKELETON),
            },
            "dataset_config": {
                "root_data_path": str(work),
                "train_records_folder_path": str(work),
                "train_records_path": ["train-fold-000-of-001"],
                "dataset_specs": {"coco": str(work / "dataset.json")},
            },
            "augmentation_config": {"spatial_augmentation_mode": "standard"},
        },
        "model": {
            "__class_name__": "BpNetLiteModel",
            "stages": 2,
            "heat_channels": skeleton.heatmap_channels,
            "paf_channels": skeleton.paf_channels,
            "width_multiplier": args.width,
            "kernel_initializer": "he_normal",
            "kernel_regularization_factor": 0.0,
        },
        "optimizer": {
            "__class_name__": "MuonOptimizer",
            "learning_rate_schedule": {
                "__class_name__": "CosineLearningRateSchedule",
                "base_learning_rate": args.rate,
                "min_learning_rate": 1e-5,
            },
        },
        "loss": {"foreground_weight": 5.0},
    }
    (work / "train.json").write_text(json.dumps(training))
    inference = {"input_shape": list(args.size), "keep_aspect_ratio_mode": "pad_image_input"}
    (work / "inference.json").write_text(json.dumps(inference))
    return {name: work / f"{name}.json" for name in ("dataset", "train", "inference")}


def train(work: Path, specs: dict[str, Path], epochs: int) -> int:
    """Convert, train and evaluate with the public commands; the first exit code that is not 0."""
    dataset, results = str(specs["dataset"]), str(work / "results")
    convert = ["dataset_convert", "-d", dataset, "-o", str(work / "train"), "--generate_masks"]
    model = str(work / "results" / "bpnet_model.keras")
    return (
        bpnet(convert)
        or bpnet(["train", "-e", str(specs["train"]), "-r", results, "--use_amp"])
        or bpnet(
            [
                *("evaluate", "-i", str(specs["inference"]), "-m", model, "-d", dataset),
                *("-r", str(work / "evaluate")),
            ]
        )
    )


def evaluated(status: Path) -> tuple[float, float]:
    """AP and AP50 of an evaluation."""
    lines = [json.loads(line) for line in status.read_text().splitlines()]
    kpi = [line["kpi"] for line in lines if "kpi" in line][-1]
    return kpi["AP_0.50:0.95_all"], kpi["AP_0.5"]


def decoded_targets(annotations: Path, images: Path, size: tuple[int, int]) -> tuple[float, float]:
    """AP and AP50 of people decoded from the maps that a perfect network would draw."""
    dataset = read_coco(annotations)
    skeleton = Skeleton.load(SKELETON)
    decoder = Decoder(skeleton)
    persons = {}
    for image in dataset.images:
        picture = read_image(images / image.file_name)
        fitted = fit_image(picture, InputFit(height=size[0], width=size[1], mode="pad_image_input"))
        keypoints = _skeleton_keypoints(dataset, image.id, skeleton)
        keypoints[..., :2] = fitted.transform.apply(keypoints[..., :2])
        heatmaps, pafs = draw_maps(
            keypoints[None],
            limbs=skeleton.limbs,
            map_height=size[0] // 8,
            map_width=size[1] // 8,
            stride=8,
            sigma=7.0,
            limb_width=8.0,
        )
        maps = PoseMaps(np.asarray(heatmaps[0]), np.asarray(pafs[0]), 8, 8)
        persons[image.id] = decoder(maps).moved(fitted.transform.inverse())
    metrics = evaluate_persons(persons, dataset, skeleton)
    return metrics.ap, metrics.ap50


def _skeleton_keypoints(dataset: CocoDataset, image_id: int, skeleton: Skeleton) -> Any:
    """(P, K, 3) labelled keypoints of an image in the skeleton's order, derived ones included."""
    image = next(each for each in dataset.images if each.id == image_id)
    people = []
    for person in image.annotations:
        named = {
            name: (*xy, 1.0)
            for name, xy, flag in zip(dataset.keypoints, person.xy, person.visibility, strict=True)
            if flag > 0
        }
        for name, sources in skeleton.derived.items():
            if all(source in named for source in sources):
                named[name] = tuple(np.mean([named[source] for source in sources], axis=0))
        people.append([named.get(name, (0.0, 0.0, 0.0)) for name in skeleton.keypoints])
    return np.array(people, np.float32).reshape(-1, len(skeleton.keypoints), 3)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--annotations", required=True, help="COCO file, below --root")
    parser.add_argument("--images_folder", required=True, help="images, below --root")
    parser.add_argument("--images", type=int, default=16, help="number of images")
    parser.add_argument("--epochs", type=int, default=1500)
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--width", type=float, default=0.25, help="width multiplier")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), help="height, width")
    parser.add_argument("-r", "--results_dir", type=Path, help="keep what is made in this folder")
    parser.add_argument("--json", action="store_true", help="a JSON object as the last line")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
