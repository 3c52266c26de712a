"""Where the people of an evaluation come from: a model, a file of detections, several shards."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpnet.commands.evaluate_files import (
    read_coco_results,
    read_entries,
    read_json,
    read_persons,
    read_skeleton,
)
from bpnet.commands.prediction import model_path, open_predictor, spec_block
from bpnet.errors import DataError
from bpnet.files import digest, model_candidates

if TYPE_CHECKING:
    from bpnet.data.coco import CocoDataset, CocoImage
    from bpnet.pose.persons import PersonKeypoints
    from bpnet.pose.skeleton import Skeleton
    from bpnet.spec.inference import InferenceSpec

logger = logging.getLogger(__name__)

DETECTIONS = "detections.json"
MAKING = "evaluation"  # the key in it that says how it was made
NAMED = 5  # failures that are said one by one


@dataclass(frozen=True)
class Detections:
    """The people of an evaluation, as they are written to detections.json.

    Attributes:
        skeleton: Of ``persons``.
        images: Those that were asked for, in the dataset's order.
        persons: By image id, in pixels, with the decimals of the file.
        failures: A sentence for each image that could not be used, by image id.
        inference_spec: As detections.json holds it.
        making: What the file says of its making: model, labels, shard, timing.
    """

    skeleton: "Skeleton"
    images: "tuple[CocoImage, ...]"
    persons: "dict[int, PersonKeypoints]"
    failures: dict[int, str]
    inference_spec: Any = None
    making: dict[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> dict[str, str]:
        """``file`` and ``sha256`` of the model; nothing where nobody knows."""
        return dict(self.making.get("model") or {})

    @property
    def milliseconds(self) -> dict[str, float]:
        """What an image has cost on average, by step; nothing where nobody knows."""
        timing = self.making.get("timing")
        if not timing:
            return {}
        return {step: 1000 * spent / timing["images"] for step, spent in timing["seconds"].items()}


def detect_with_model(
    args: argparse.Namespace,
    spec: "InferenceSpec | None",
    dataset: "CocoDataset",
    images_folder: Path,
) -> Detections:
    """The people that the model of ``-m`` finds, in the images of ``--limit`` and ``--shard``.

    Raises:
        DataError: There is no image, or none can be used.
        ModelError: The model cannot be used.
        SpecError: Nothing names a model, or the spec does not fit it.
    """
    from tqdm import tqdm

    from bpnet.evaluation import labels_digest
    from bpnet.inference.results import persons_block
    from bpnet.inference.validation import detect_people

    predictor, spec = open_predictor(args, spec)
    skeleton = predictor.backend.contract.skeleton
    images = dataset.images[: args.limit]
    number, count = args.shard or (1, 1)
    chosen = images[number - 1 :: count]
    if images and not chosen:
        raise DataError(f"--shard {number}/{count}: there are only {len(images)} images")
    with tqdm(total=len(chosen), unit="image", disable=None) as bar:
        found = detect_people(predictor, chosen, images_folder, on_image=bar.update)
    persons = {  # as the file will say, so that the file gives the same figures
        image_id: read_persons(persons_block(people), len(skeleton.keypoints), DETECTIONS)
        for image_id, people in found.persons.items()
    }
    making = {
        "model": _describe_model(args, spec),
        "labels_sha256": labels_digest(dataset, [image.id for image in images]),
        "images": len(images),
        "shard": list(args.shard) if args.shard else None,
        "timing": {"images": len(persons), "seconds": found.seconds},
    }
    return Detections(skeleton, chosen, persons, found.failures, spec_block(spec), making)


def read_detections(
    path: Path, dataset: "CocoDataset", *, limit: int | None, own: "Skeleton"
) -> Detections:
    """The people of a detections.json, or of COCO's results.

    Args:
        path: the file.
        dataset: whose images count; those that a detections.json does not list are failures.
        limit: only the first so many images.
        own: the dataset's keypoints as a skeleton, which is that of COCO's results.

    Raises:
        DataError: The file is something else, or damaged.
        SpecError: Its skeleton is faulty.
    """
    images = dataset.images[:limit]
    if not images:
        raise DataError("the annotation file lists no images, so there is nothing to evaluate")
    content = read_json(path)
    if isinstance(content, list):
        persons = read_coco_results(path, content, dataset, own)
        return Detections(own, images, {image.id: persons[image.id] for image in images}, {})
    return _of_entries(path, content, dataset, images)


def merge_shards(folders: Sequence[Path], dataset: "CocoDataset") -> Detections:
    """The people of all shards of one evaluation.

    Args:
        folders: the results folder of each shard.
        dataset: what they were run on.

    Raises:
        DataError: A shard is missing, given twice, damaged, or of another evaluation.
        SpecError: A skeleton is faulty.
    """
    shards = _read_shards([folder / DETECTIONS for folder in folders])
    first, making = shards[0].path, shards[0].making
    images = dataset.images[: making["images"]]
    _check_labels(first, making, dataset, images)
    count = making["shard"][1]
    parts = [
        _of_entries(one.path, one.content, dataset, images[one.making["shard"][0] - 1 :: count])
        for one in shards
    ]
    timing = [one.making["timing"] for one in shards]
    total = {step: sum(each["seconds"][step] for each in timing) for step in timing[0]["seconds"]}
    persons = {key: people for part in parts for key, people in part.persons.items()}
    failures = {key: said for part in parts for key, said in part.failures.items()}
    return Detections(
        parts[0].skeleton,
        images,
        {image.id: persons[image.id] for image in images if image.id in persons},
        {image.id: failures[image.id] for image in images if image.id in failures},
        parts[0].inference_spec,
        {
            **making,
            "shard": None,
            "timing": {"images": sum(each["images"] for each in timing), "seconds": total},
        },
    )


def _of_entries(
    path: Path, content: Any, dataset: "CocoDataset", images: "tuple[CocoImage, ...]"
) -> Detections:
    """The people of a detections.json in ``images``; images without an entry are failures."""
    if not isinstance(content, dict):
        raise DataError(f"{path} is neither a detections.json nor a list of COCO results")
    skeleton = read_skeleton(path, content)
    everyone, failed = read_entries(path, content, dataset, len(skeleton.keypoints))
    persons = {image.id: everyone[image.id] for image in images if image.id in everyone}
    failures = {
        image.id: failed.get(image.id, f"{path} has no entry for {image.file_name}")
        for image in images
        if image.id not in persons
    }
    for said in list(failures.values())[:NAMED]:
        logger.error("%s", said)
    if len(failures) > NAMED:
        logger.error("and so on, %s images in all", len(failures))
    if not persons:
        raise DataError(f"{path} has people of none of the {len(images)} images of the dataset")
    making = content.get(MAKING)
    making = making if isinstance(making, dict) else {}
    return Detections(
        skeleton, images, persons, failures, content.get("inference_spec"), _checked(path, making)
    )


@dataclass(frozen=True)
class _Shard:
    """One shard's detections.json."""

    path: Path
    content: dict[str, Any]
    making: dict[str, Any]


def _read_shards(paths: Sequence[Path]) -> list[_Shard]:
    """The shards, by number, known to be all those of one evaluation."""
    shards: dict[int, _Shard] = {}
    for path in paths:
        content = read_json(path)
        making = content.get(MAKING) if isinstance(content, dict) else None
        if not isinstance(making, dict) or not making.get("shard"):
            raise DataError(
                f"{path} is not of evaluate --shard; --merge takes the -r of each shard"
            )
        shard = _Shard(path, content, _checked(path, making))
        number, count = shard.making["shard"]
        if number in shards:
            raise DataError(f"{shards[number].path} and {path} are both shard {number}/{count}")
        shards[number] = shard
    first = next(iter(shards.values()))
    for other in shards.values():
        for what, mine, theirs in _common(first, other):
            if mine != theirs:
                raise DataError(f"{first.path} and {other.path} have another {what}")
    count = first.making["shard"][1]
    missing = [str(number) for number in range(1, count + 1) if number not in shards]
    if missing:
        raise DataError(f"--merge: shard {', '.join(missing)} of {count} is missing")
    return [shards[number] for number in sorted(shards)]


def _common(first: _Shard, other: _Shard) -> list[tuple[str, Any, Any]]:
    """What shards of one evaluation have in common."""
    mine, theirs = first.making, other.making
    return [
        ("number of shards", mine["shard"][1], theirs["shard"][1]),
        ("number of images", mine["images"], theirs["images"]),
        ("set of labels", mine["labels_sha256"], theirs["labels_sha256"]),
        ("model", mine["model"], theirs["model"]),
        ("skeleton", first.content.get("categories"), other.content.get("categories")),
        ("spec", first.content.get("inference_spec"), other.content.get("inference_spec")),
    ]


def _check_labels(
    path: Path,
    making: dict[str, Any],
    dataset: "CocoDataset",
    images: "tuple[CocoImage, ...]",
) -> None:
    from bpnet.evaluation import labels_digest

    if labels_digest(dataset, [image.id for image in images]) != making["labels_sha256"]:
        raise DataError(f"{path} was made on other labels than those of the dataset spec")


def _checked(path: Path, making: dict[str, Any]) -> dict[str, Any]:
    """``making`` as ``detect_with_model`` wrote it; nothing where the file has none.

    Raises:
        DataError: It is damaged.
    """
    if not making:
        return {}
    try:
        shard, timing = making["shard"], making["timing"]
        seconds = {str(step): float(spent) for step, spent in timing["seconds"].items()}
        read = {
            "model": {key: str(making["model"][key]) for key in ("file", "sha256")},
            "labels_sha256": str(making["labels_sha256"]),
            "images": int(making["images"]),
            "shard": None if shard is None else [int(shard[0]), int(shard[1])],
            "timing": {"images": int(timing["images"]), "seconds": seconds},
        }
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise DataError(f"{path}: `{MAKING}` is damaged: {error!r}") from error
    if timing["images"] < 1 or (shard is not None and not 1 <= shard[0] <= shard[1]):
        raise DataError(f"{path}: `{MAKING}` is damaged: {making}")
    return read


def _describe_model(args: argparse.Namespace, spec: "InferenceSpec | None") -> dict[str, str]:
    """Name and SHA-256 of the model's file."""
    candidates = model_candidates(model_path(args, spec))
    path = next(file for file in candidates if file.is_file())
    return {"file": path.name, "sha256": digest(path)}
