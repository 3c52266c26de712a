"""Files of detections, read back: detections.json and COCO's results."""

import json
import logging
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from bpnet.errors import DataError

if TYPE_CHECKING:
    from bpnet.data.coco import CocoDataset, CocoImage
    from bpnet.pose.persons import PersonKeypoints
    from bpnet.pose.skeleton import Skeleton

logger = logging.getLogger(__name__)


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        DataError: It cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from error


def read_skeleton(path: Path, content: dict[str, Any]) -> "Skeleton":
    """The skeleton in the head of a detections.json.

    Raises:
        DataError: There is none.
        SpecError: It is faulty.
    """
    from bpnet.pose.skeleton import Skeleton
    from bpnet.spec.dataset import SkeletonFile
    from bpnet.spec.reader import parse_spec

    categories = content.get("categories")
    if not isinstance(categories, list) or len(categories) != 1:
        raise DataError(
            f"{path} has no `categories` with one skeleton; a detections.json of inference or "
            "evaluate, or a list of COCO results, is expected"
        )
    head = {"pose_config_type": content.get("pose_config_type", "custom"), "categories": categories}
    said = parse_spec(json.dumps(head), SkeletonFile, source=str(path))
    return Skeleton.from_category(said.categories[0], said.pose_config_type)


def read_entries(
    path: Path, content: dict[str, Any], dataset: "CocoDataset", keypoints: int
) -> "tuple[dict[int, PersonKeypoints], dict[int, str]]":
    """The people, and the failure sentences, of the ``images`` of a detections.json, by image id.

    An entry is of the dataset's image with its file name, else of that with its ``image_id``.
    Entries of other images are left out, and counted in the log.

    Raises:
        DataError: An entry is damaged, or two are of one image.
    """
    entries = content.get("images")
    if not isinstance(entries, list):
        raise DataError(f"{path} has no list `images`; a detections.json is expected")
    by_name = {image.file_name: image for image in dataset.images}
    by_id = {image.id: image for image in dataset.images}
    persons: dict[int, PersonKeypoints] = {}
    failures: dict[int, str] = {}
    strangers = 0
    for position, entry in enumerate(entries):
        where = f"{path}: entry {position} of `images`"
        if not isinstance(entry, dict):
            raise DataError(f"{where} is not an object")
        image = _find_image(entry, where, by_name, by_id)
        if image is None:
            strangers += 1
        elif image.id in persons or image.id in failures:
            raise DataError(f"{where} is of {image.file_name}, which has an entry already")
        elif "keypoints" in entry:
            persons[image.id] = read_persons(entry, keypoints, where)
        else:
            failures[image.id] = str(entry.get("error") or f"{where} has no `keypoints`")
    if strangers:
        logger.warning("%s: %s images are not of the dataset and do not count", path, strangers)
    return persons, failures


def read_persons(entry: dict[str, Any], keypoints: int, where: str) -> "PersonKeypoints":
    """The people of one entry; keypoints without a score are found unless they are at (0, 0).

    Args:
        entry: with ``keypoints`` [P][K][2], ``scores`` [P] and perhaps ``keypoint_scores`` [P][K].
        keypoints: K.
        where: What a fault's sentence begins with.

    Raises:
        DataError: The numbers are no numbers, or not as many as they must be.
    """
    import numpy as np

    from bpnet.pose.persons import PersonKeypoints

    xy = _numbers(entry, "keypoints", where)
    count = len(xy)
    if xy.size != count * keypoints * 2:
        raise DataError(f"{where}: `keypoints` needs {keypoints} pairs x, y for each person")
    xy = xy.reshape(count, keypoints, 2)
    scores = _numbers(entry, "scores", where).reshape(-1)
    if len(scores) != count:
        raise DataError(f"{where} has {count} people, but {len(scores)} numbers in `scores`")
    if entry.get("keypoint_scores") is None:
        found = (xy != 0).any(axis=-1).astype(np.float32)
    else:
        found = _numbers(entry, "keypoint_scores", where)
        if found.size != count * keypoints:
            raise DataError(f"{where}: `keypoint_scores` needs {keypoints} for each person")
    return PersonKeypoints(
        xy.astype(np.float32),
        found.reshape(count, keypoints).astype(np.float32),
        scores.astype(np.float32),
    )


def read_coco_results(
    path: Path, results: list[Any], dataset: "CocoDataset", skeleton: "Skeleton"
) -> "dict[int, PersonKeypoints]":
    """The people of a list of COCO's results, for each image of the dataset.

    https://cocodataset.org/#format-results: ``image_id``, ``category_id``, ``keypoints`` (x, y and
    a number, for each of the dataset's) and ``score``.

    Args:
        path: for the sentences.
        results: what the file holds.
        dataset: whose keypoints and image ids they are.
        skeleton: with the dataset's keypoints, in its order.

    Raises:
        DataError: A result is damaged, or none is of the dataset.
    """
    blocks: dict[int, dict[str, list[Any]]] = {
        image.id: {"keypoints": [], "keypoint_scores": [], "scores": []} for image in dataset.images
    }
    strangers = 0
    for position, result in enumerate(results):
        where = f"{path}: result {position}"
        if not isinstance(result, dict) or not {"image_id", "keypoints", "score"} <= result.keys():
            raise DataError(f"{where} has no image_id, keypoints and score; COCO results have")
        image_id = result["image_id"]
        block = blocks.get(image_id) if isinstance(image_id, int) else None
        if block is None or result.get("category_id", dataset.category_id) != dataset.category_id:
            strangers += 1
            continue
        table = _numbers(result, "keypoints", where)
        if table.size != 3 * len(skeleton.keypoints):
            raise DataError(
                f"{where} has {table.size} numbers in `keypoints`; 3 for each of the dataset's "
                f"{len(skeleton.keypoints)} keypoints are expected"
            )
        table = table.reshape(-1, 3)
        found = (table != 0).any(axis=1)
        block["keypoints"].append(table[:, :2].tolist())
        # Foreign files may say 0 of a point that they give; then it is there.
        scores = [float(each or there) for each, there in zip(table[:, 2], found, strict=True)]
        block["keypoint_scores"].append(scores)
        block["scores"].append(result["score"])
    if strangers:
        logger.warning(
            "%s: %s of %s results are of other images or categories and do not count",
            path,
            strangers,
            len(results),
        )
    if strangers and strangers == len(results):
        raise DataError(f"{path} has no result of the dataset's images and category")
    return {
        image_id: read_persons(block, len(skeleton.keypoints), f"{path}: image {image_id}")
        for image_id, block in blocks.items()
    }


def _find_image(
    entry: dict[str, Any],
    where: str,
    by_name: "dict[str, CocoImage]",
    by_id: "dict[int, CocoImage]",
) -> "CocoImage | None":
    """The dataset's image of an entry; None where it is of none.

    Raises:
        DataError: Its name and its id are of two images.
    """
    path, image_id = entry.get("full_image_path"), entry.get("image_id")
    parts = PurePath(path).parts if isinstance(path, str) else ()
    names = ("/".join(parts[start:]) for start in range(len(parts)))
    named = next((by_name[name] for name in names if name in by_name), None)
    numbered = by_id.get(image_id) if isinstance(image_id, int) else None
    if named is not None and image_id is not None and named is not numbered:
        raise DataError(
            f"{where} is of {named.file_name} by its path, but of image {image_id} by its "
            f"image_id; the dataset has {named.file_name} as image {named.id}"
        )
    return named or numbered


def _numbers(entry: dict[str, Any], key: str, where: str) -> Any:
    """The finite numbers under a key, as float64."""
    import numpy as np

    try:
        numbers = np.array(entry.get(key), np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{where}: `{key}` is not lists of numbers of equal length") from error
    if numbers.ndim == 0 or not np.isfinite(numbers).all():
        raise DataError(f"{where}: `{key}` is missing, or holds something that is no number")
    return numbers
