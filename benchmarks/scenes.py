"""Maps of COCO images, by a network or drawn from the labels, and the AP that decoders reach."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bpnet.data.coco import CocoDataset, CocoImage, read_coco
from bpnet.data.keypoints import KeypointReader
from bpnet.encode import draw_maps
from bpnet.errors import DataError
from bpnet.evaluation import CocoMetrics, evaluate_persons
from bpnet.inference.description import describe_by_inference_spec
from bpnet.inference.predictor import Predictor, build_predictor, predictor_of
from bpnet.inference.sources import read_image
from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton
from bpnet.pose.transform import ImageTransform
from bpnet.spec.dataset import Category, DatasetSpec
from bpnet.spec.inference import InferenceSpec

STRIDE, SIGMA, LIMB_WIDTH = 8, 7.0, 8.0  # pixels, as training draws them

Decode = Callable[[PoseMaps], PersonKeypoints]


@dataclass(frozen=True)
class Scene:
    """One image's maps.

    Attributes:
        image_id: COCO's.
        maps: float32, in memory, so that many decoders may read them.
        transform: from pixels of the image to those of the network's input.
    """

    image_id: int
    maps: PoseMaps
    transform: ImageTransform


@dataclass(frozen=True)
class Subset:
    """The labels of one part of a COCO folder, and where its images are."""

    dataset: CocoDataset
    images: Path


def read_subset(root: Path, name: str, most_images: int | None = None) -> Subset:
    """``root/annotations/person_keypoints_<name>.json`` and ``root/<name>/``."""
    dataset = read_coco(root / "annotations" / f"person_keypoints_{name}.json")
    chosen = dataset.images[:most_images]
    return Subset(dataclasses.replace(dataset, images=chosen), root / name)


def both_subsets(subsets: Sequence[Subset]) -> CocoDataset:
    """The images of all of them as one dataset.

    Raises:
        DataError: They share an image.
    """
    images = [image for subset in subsets for image in subset.dataset.images]
    if len({image.id for image in images}) != len(images):
        raise DataError("the two subsets share an image; their ceiling would count it twice")
    return dataclasses.replace(subsets[0].dataset, images=tuple(images))


def open_model(model: Path, spec: InferenceSpec, threads: int | None = None) -> Predictor:
    """The network; its maps leave one image at a time."""
    return build_predictor(
        model,
        spec,
        describe=lambda path: describe_by_inference_spec(path, spec),
        threads=threads,
        batch_size=1,
    )


def network_scenes(subset: Subset, network: Predictor, spec: InferenceSpec) -> list[Scene]:
    """The network's maps of every image, run as ``spec`` says."""
    predictor = predictor_of(network.backend, spec, batch_size=1)
    scenes = []
    for image in subset.dataset.images:
        maps, fitted = predictor.maps(read_image(subset.images / image.file_name))
        kept = PoseMaps(
            maps.heatmaps.astype(np.float32),
            maps.pafs.astype(np.float32),
            maps.heatmap_stride,
            maps.paf_stride,
        )
        scenes.append(Scene(image.id, kept, fitted.transform))
    return scenes


def drawn_scenes(dataset: CocoDataset, skeleton: Skeleton, height: int) -> list[Scene]:
    """The maps that a perfect network would give: every labelled keypoint drawn at stride 8.

    The image is scaled to ``height`` pixels, its width in proportion and padded to whole cells.
    """
    people = Category(name="person", keypoints=list(dataset.keypoints))
    reader = KeypointReader.build(
        skeleton, DatasetSpec(root_directory_path="", categories=[people])
    )
    return [_draw(image, reader, skeleton, height) for image in dataset.images]


def _draw(image: CocoImage, reader: KeypointReader, skeleton: Skeleton, height: int) -> Scene:
    width = max(STRIDE, round(image.width * height / image.height))
    transform = ImageTransform.resize(width / image.width, height / image.height)
    joints = np.array(
        [
            np.column_stack([person.xy, person.visibility])
            for person in image.annotations
            if person.num_keypoints > 0 and not person.crowd
        ],
        np.float64,
    ).reshape(-1, reader.joints, 3)
    keypoints = reader.read(joints)
    keypoints[..., :2] = transform.apply(keypoints[..., :2])
    return Scene(image.id, draw_people(keypoints, skeleton, (height, width)), transform)


def draw_people(keypoints: np.ndarray, skeleton: Skeleton, size: tuple[int, int]) -> PoseMaps:
    """The maps of people (P, K, 3) in an input of ``size`` (height, width) pixels, at stride 8."""
    heatmaps, pafs = draw_maps(
        keypoints[None],
        limbs=skeleton.limbs,
        map_height=-(-size[0] // STRIDE),
        map_width=-(-size[1] // STRIDE),
        stride=STRIDE,
        sigma=SIGMA,
        limb_width=LIMB_WIDTH,
    )
    return PoseMaps(np.asarray(heatmaps[0]), np.asarray(pafs[0]), STRIDE, STRIDE)


def average_precision(
    scenes: Sequence[Scene], decode: Decode, dataset: CocoDataset, skeleton: Skeleton
) -> CocoMetrics:
    """COCO's figures of what ``decode`` finds in the scenes."""
    persons = {
        scene.image_id: decode(scene.maps).moved(scene.transform.inverse()) for scene in scenes
    }
    return evaluate_persons(persons, dataset, skeleton, image_ids=list(persons))
