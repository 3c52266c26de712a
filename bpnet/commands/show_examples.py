"""The rows of ``bpnet show``: one example each, as training or as the labels have it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet.commands.show_sources import DatasetSource, TrainingSource
from bpnet.data.coco import CocoImage
from bpnet.data.keypoints import KeypointReader
from bpnet.data.masks import draw_mask as mask_of_image
from bpnet.data.skipped import SkippedImages
from bpnet.drawing import (
    IGNORED,
    draw_heatmaps,
    draw_mask,
    draw_pafs,
    draw_persons,
    keypoint_colours,
    resize_to,
)
from bpnet.errors import DataError, SpecError
from bpnet.inference.labelled import read_labelled
from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton
from bpnet.pose.transform import ImageTransform
from bpnet.sheet import LegendEntry, Row, colour_swatch, draw_sheet

SIDE = 384  # pixels, longer side of a dataset's image on the sheet
WHEEL = 48  # pixels across
TITLES = {
    "image": "image",
    "mask": "mask",
    "people": "people",
    "heatmaps": "heatmaps",
    "pafs": "PAFs",
}


@dataclass(frozen=True)
class Choices:
    """What a sheet shows of a source.

    Attributes:
        images: Rows, at most.
        layers: Names of the columns.
        augment: Whether the loader randomises the view.
        scale: Sheet pixels a pixel of the network's input.
    """

    images: int
    layers: tuple[str, ...]
    augment: bool
    scale: int


@dataclass(frozen=True)
class Example:
    """One row's image (H, W, 3) as large as it is drawn, its mask (h, w), people and maps."""

    image: NDArray[np.uint8]
    mask: NDArray[np.float32]
    persons: PersonKeypoints
    maps: PoseMaps | None


def draw_examples(
    source: TrainingSource | DatasetSource, choices: Choices, skipped: SkippedImages
) -> NDArray[np.uint8]:
    """The sheet; images that cannot be used are ``skipped``.

    Raises:
        DataError: No image can be used.
        SpecError: The skeleton has no limbs to draw PAFs of, or something else does not fit.
    """
    if isinstance(source, TrainingSource):
        rows = _training_rows(source, choices, skipped)
        view = "augmented" if choices.augment else "not augmented"
        size = source.loader.image_config.image_dims
        caption = f"{source.name}: network input {size.height} x {size.width}, {view}"
    else:
        rows = _dataset_rows(source, choices, skipped)
        caption = f"{source.name}: images and labels as they are"
    if not rows:
        raise DataError(f"{source.name}: none of the images chosen can be used")
    caption += f", seed {source.seed}, skeleton {source.skeleton.name}"
    titles = [TITLES[layer] for layer in choices.layers]
    return draw_sheet(caption, titles, rows, _legend(source.skeleton, choices.layers))


def _training_rows(source: TrainingSource, choices: Choices, skipped: SkippedImages) -> list[Row]:
    from bpnet.training.targets import Targets

    if "pafs" in choices.layers and not source.skeleton.limbs:
        raise SpecError(
            f"skeleton {source.skeleton.name} has no limbs, so there are no PAFs to draw; "
            "leave pafs out of --layers, or name a skeleton file with limbs"
        )
    batch = _first_batch(source, choices, skipped)
    targets = Targets.of(source.loader, source.skeleton)
    heatmaps, pafs = (np.asarray(maps) for maps in targets.draw(batch["keypoints"]))
    stride, scale = targets.stride, choices.scale
    root = f"{source.loader.dataset_config.root_data_path.rstrip('/')}/"
    rows = []
    for n, path in enumerate(batch["paths"].tolist()):
        image = batch["images"][n]
        if len(skipped) and (image == image[0, 0]).all():  # what stands for a skipped image
            continue
        keypoints = batch["keypoints"][n]  # (P, K, 3)
        persons = _persons(keypoints[..., :2], keypoints[..., 2] > 0)
        example = Example(
            image=image.repeat(scale, axis=0).repeat(scale, axis=1),
            mask=batch["masks"][n, ..., 0],
            persons=persons.moved(ImageTransform.resize(scale, scale)),
            maps=PoseMaps(heatmaps[n], pafs[n], stride, stride),
        )
        name = path.decode().removeprefix(root)
        rows.append(_row(name, example, source.skeleton, choices.layers))
    return rows


def _first_batch(
    source: TrainingSource, choices: Choices, skipped: SkippedImages
) -> dict[str, NDArray[Any]]:
    """The examples that a training of the same seed begins with."""
    from bpnet.data.pipeline import iterate, make_batches
    from bpnet.data.records import RecordIndex

    images = choices.images
    if not choices.augment:  # later epochs would show the same again
        images = max(1, min(images, len(RecordIndex(source.records))))
    batches = make_batches(
        source.loader,
        skeleton=source.skeleton,
        datasets=source.datasets,
        records=source.records,
        seed=source.seed,
        batch_size=images,
        steps=1,
        augment=choices.augment,
        skipped=skipped,
    )
    return {name: value.numpy() for name, value in next(iterate(batches)).items()}


def _dataset_rows(source: DatasetSource, choices: Choices, skipped: SkippedImages) -> list[Row]:
    labelled = [image for image in source.dataset.images if image.annotations]
    if not labelled:
        raise DataError(f"{source.name} has no annotation of a {source.spec.people().name}")
    order = np.random.default_rng(source.seed).permutation(len(labelled))
    reader = KeypointReader.build(source.skeleton, source.spec)
    rows = []
    for number in order[: choices.images].tolist():
        image = labelled[number]
        try:
            example = _labelled_example(image, source.images_root, reader, SIDE * choices.scale)
        except DataError as error:
            skipped.add(image.file_name, str(error))
            continue
        rows.append(_row(image.file_name, example, source.skeleton, choices.layers))
    return rows


def _labelled_example(
    image: CocoImage, images_root: Path, reader: KeypointReader, side: int
) -> Example:
    """An image with its labels, its longer side ``side`` pixels."""
    picture = resize_to(read_labelled(image, images_root), side)
    height, width = picture.shape[:2]
    people = [one for one in image.annotations if one.num_keypoints > 0 and not one.crowd]
    labels = [np.column_stack([one.xy, one.visibility]) for one in people]
    keypoints = reader.read(np.array(labels, np.float64).reshape(len(people), reader.joints, 3))
    transform = ImageTransform.resize(width / image.width, height / image.height)
    return Example(
        image=picture,
        mask=(mask_of_image(image) / 255).astype(np.float32),
        persons=_persons(keypoints[..., :2], keypoints[..., 2] > 0).moved(transform),
        maps=None,
    )


def _persons(xy: NDArray[np.float32], labelled: NDArray[np.bool_]) -> PersonKeypoints:
    """Those of P labelled people (P, K, 2) who have a keypoint; the last is on top."""
    someone = labelled.any(axis=1)
    score = labelled[someone].astype(np.float32)
    return PersonKeypoints(xy[someone], score, np.arange(len(score), dtype=np.float32))


def _row(name: str, example: Example, skeleton: Skeleton, layers: Sequence[str]) -> Row:
    height, width = example.image.shape[:2]
    xy = example.persons.xy[example.persons.score > 0]
    inside = int(((xy > -0.5) & (xy < (width - 0.5, height - 0.5))).all(axis=1).sum())
    people = "1 person" if len(example.persons) == 1 else f"{len(example.persons)} people"
    note = f"{people}, {inside} of {len(xy)} labelled keypoints in view" if len(xy) else "nobody"
    return Row(name, note, tuple(_panel(layer, example, skeleton) for layer in layers))


def _panel(layer: str, example: Example, skeleton: Skeleton) -> NDArray[np.uint8]:
    if layer == "image":
        return example.image
    if layer == "mask":
        return draw_mask(example.image, example.mask)
    if layer == "people":
        return draw_persons(example.image, example.persons, skeleton)
    assert example.maps is not None
    if layer == "heatmaps":
        return draw_heatmaps(example.image, example.maps, skeleton)
    return draw_pafs(example.image, example.maps)


def _legend(skeleton: Skeleton, layers: Sequence[str]) -> list[LegendEntry]:
    """What the colours of these columns mean."""
    entries = []
    if "pafs" in layers:
        entries.append(LegendEntry(_direction_wheel(), "PAFs: a limb points outwards so"))
    if "mask" in layers:
        entries.append(LegendEntry(colour_swatch(IGNORED), "mask: does not count in the loss"))
    if "people" in layers or "heatmaps" in layers:
        entries += [
            LegendEntry(colour_swatch(colour), name)
            for colour, name in zip(keypoint_colours(skeleton), skeleton.keypoints, strict=True)
        ]
    return entries


def _direction_wheel() -> NDArray[np.uint8]:
    """A disc in the colours of ``draw_pafs``: the colour of a direction lies in that direction."""
    middle = (WHEEL - 1) / 2
    rows, columns = np.mgrid[:WHEEL, :WHEEL].astype(np.float32) - np.float32(middle)
    length = np.hypot(columns, rows)
    unit = np.dstack([columns, rows]) / np.maximum(length, 1e-3)[..., None]
    maps = PoseMaps(np.zeros((1, 1, 1), np.float32), unit.astype(np.float32), 1, 1)
    wheel = draw_pafs(np.zeros((WHEEL, WHEEL, 3), np.uint8), maps)
    wheel[(length > middle) | (length < middle / 3)] = 255
    return wheel
