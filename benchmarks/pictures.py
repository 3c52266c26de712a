"""The pictures of the documentation, which bpnet draws of people that it draws itself.

    python benchmarks/pictures.py
    python benchmarks/pictures.py --model quickstart/retrain/bpnet_model.keras

Two pictures need no network. The others are drawn where --model, which the quickstart trains, is
given; with --dataset_spec, too, AP of the pruned network, which takes a minute.
"""

import argparse
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow draws the maps

import cv2
import numpy as np
from numpy.typing import NDArray
from picture_charts import draw_close_up, draw_pruning, draw_ranges
from picture_clip import draw_tracks

from bpnet.cli import main as run_command
from bpnet.data.coco import CocoImage, read_coco
from bpnet.data.masks import draw_mask as mask_of_image
from bpnet.data.posed_body import KEYPOINTS
from bpnet.data.rendered import SKELETON, render_scene
from bpnet.drawing import contact_sheet, draw_heatmaps, draw_mask, draw_pafs, draw_persons
from bpnet.encode import draw_maps
from bpnet.files import replacing
from bpnet.inference.loading import load
from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton
from bpnet.pose.transform import ImageTransform
from bpnet.spec.dataset import Category

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SIZE = (384, 512)  # height, width of a drawn picture, pixels; the network's input is half of it
STRIDE = 8  # input pixels a cell
SIGMA, LIMB_WIDTH = 7.0, 8.0  # input pixels
SEED = (5, *b"docs")
CROWDED, TWO, SEVERAL, CLOSE = 28, 32, 16, 26  # numbers of pictures
CALIBRATION = range(100, 132)
PANEL, BAR = 400, 26  # pixels: the longer side of a panel, and the line of text above it
JPEG_QUALITY = 82

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """A drawn picture and its labels.

    Attributes:
        image: (H, W, 3) RGB.
        labels: As COCO's file has them.
        keypoints: (1, P, K, 3) of the labelled people, x and y in pixels of the network's input.
    """

    image: Picture
    labels: CocoImage
    keypoints: NDArray[np.float32]

    @property
    def persons(self) -> PersonKeypoints:
        """The labelled people, in pixels of the picture."""
        xy, score = self.keypoints[0, ..., :2], (self.keypoints[0, ..., 2] > 0).astype(np.float32)
        people = PersonKeypoints(xy, score, np.arange(len(xy), dtype=np.float32))
        return people.moved(ImageTransform.resize(2, 2))


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=FOLDER, help="folder of the pictures")
    parser.add_argument("--model", type=Path, help="a trained network, a .keras file")
    parser.add_argument("--dataset_spec", type=Path, help="labelled pictures, for the pruning")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    skeleton = coco_skeleton()
    write(args.output / "labels.jpg", draw_labels(skeleton))
    write(args.output / "cells.png", draw_cells(skeleton))
    if args.model is None:
        print("no --model: the pictures that need a network are left as they are")
        return
    write(args.output / "stages.jpg", draw_stages(args.model))
    write(args.output / "decoder.jpg", draw_decoder(args.model))
    write(args.output / "tracking.jpg", draw_tracks(args.model))
    with tempfile.TemporaryDirectory() as folder:
        int8 = export_int8(args.model, Path(folder))
        write(args.output / "int8.jpg", draw_int8(args.model, int8))
        fp32 = Path(folder) / "fp32.onnx"
        write(args.output / "ranges.png", draw_ranges(fp32, calibration_pictures()))
        if args.dataset_spec is not None:
            sweeps = prune(args.model, args.dataset_spec, Path(folder))
            write(args.output / "pruning.png", draw_pruning(sweeps))


def coco_skeleton() -> Skeleton:
    """COCO's 17 keypoints, with the limbs that the quickstart learns."""
    limbs = [list(limb) for limb in SKELETON]
    category = Category(name="person", keypoints=list(KEYPOINTS), skeleton=limbs)
    return Skeleton.from_category(category, "coco_17")


def read_scene(number: int) -> Scene:
    """Picture ``number`` of an endless row of them."""
    image, people = render_scene(np.random.default_rng([*SEED, number]), SIZE)
    record = {"id": 1, "file_name": "drawn.jpg", "height": SIZE[0], "width": SIZE[1]}
    annotations = [
        {"id": index + 1, "image_id": 1, "category_id": 1, **person}
        for index, person in enumerate(people)
    ]
    category = {"id": 1, "name": "person", "keypoints": list(KEYPOINTS), "skeleton": []}
    document = {"images": [record], "annotations": annotations, "categories": [category]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.json"
        path.write_text(json.dumps(document))
        (labels,) = read_coco(path).images
    labelled = [one for one in labels.annotations if one.num_keypoints and not one.crowd]
    xy = ImageTransform.resize(0.5, 0.5).apply(np.stack([one.xy for one in labelled]))
    flags = np.stack([one.visibility for one in labelled])[..., None]
    keypoints = np.concatenate([xy, flags], axis=-1).astype(np.float32)
    return Scene(image, labels, keypoints[None])


def targets(scene: Scene, skeleton: Skeleton) -> PoseMaps:
    """The maps that a network is to learn of a picture."""
    heatmaps, pafs = draw_maps(
        scene.keypoints,
        limbs=skeleton.limbs,
        map_height=SIZE[0] // 2 // STRIDE,
        map_width=SIZE[1] // 2 // STRIDE,
        stride=STRIDE,
        sigma=SIGMA,
        limb_width=LIMB_WIDTH,
    )
    return PoseMaps(np.asarray(heatmaps)[0], np.asarray(pafs)[0], STRIDE, STRIDE)


def draw_labels(skeleton: Skeleton) -> Picture:
    """What a labelled picture becomes: people, mask, heatmaps, PAFs."""
    scene = read_scene(CROWDED)
    maps = targets(scene, skeleton)
    mask = (mask_of_image(scene.labels) / 255).astype(np.float32)
    return panels(
        ("labels", draw_persons(scene.image, scene.persons, skeleton)),
        ("mask: red does not count", draw_mask(scene.image, mask)),
        ("heatmaps: a colour a keypoint", draw_heatmaps(scene.image, maps, skeleton)),
        ("PAFs: a colour a direction", draw_pafs(scene.image, maps)),
    )


def draw_cells(skeleton: Skeleton) -> Picture:
    """A keypoint and a limb, cell by cell, and what the decoder makes of them."""
    scene = read_scene(CLOSE)
    shin = [skeleton.keypoints.index(name) for name in ("left_ankle", "left_knee")]
    limb = skeleton.limbs.index((shin[0], shin[1]))
    return draw_close_up(scene.keypoints[0], targets(scene, skeleton), skeleton, limb=limb)


def draw_stages(model: Path) -> Picture:
    """The maps of a network's first and of its last stage."""
    scene, cells = read_scene(TWO), []
    stages = (("stage 1", {"output_stage_to_use": 1}), ("the last stage", {}))
    for name, spec in stages:
        predictor = load(model, spec)
        maps, _ = predictor.maps(scene.image)
        skeleton = predictor.backend.contract.skeleton
        cells.append((f"heatmaps, {name}", draw_heatmaps(scene.image, maps, skeleton)))
        cells.append((f"PAFs, {name}", draw_pafs(scene.image, maps)))
    return panels(cells[0], cells[2], cells[1], cells[3])


def draw_decoder(model: Path) -> Picture:
    """From a picture over its maps to the people in it."""
    image, predictor = read_scene(SEVERAL).image, load(model)
    maps, _ = predictor.maps(image)
    skeleton = predictor.backend.contract.skeleton
    return panels(
        ("picture", image),
        ("heatmaps, as the network draws them", draw_heatmaps(image, maps, skeleton)),
        ("PAFs", draw_pafs(image, maps)),
        ("people and their scores", draw_persons(image, predictor(image), skeleton, scores=True)),
    )


def calibration_pictures() -> list[Picture]:
    """Pictures that INT8 is calibrated with."""
    return [read_scene(number).image for number in CALIBRATION]


def export_int8(model: Path, folder: Path) -> Path:
    """The network in INT8, exported as a user would; fp32.onnx stands beside it.

    Raises:
        RuntimeError: The command failed, and has said why.
    """
    photos = folder / "photos"
    photos.mkdir()
    for number, picture in enumerate(calibration_pictures()):
        cv2.imwrite(str(photos / f"{number:03d}.jpg"), picture[..., ::-1])
    command(["export", "-m", model, "-o", folder / "fp32.onnx"])
    int8 = ["--data_type", "int8", "--cal_image_dir", photos, "--batches", len(CALIBRATION)]
    command(["export", "-m", model, "-o", folder / "int8.onnx", *int8])
    return folder / "int8.onnx"


def draw_int8(model: Path, int8: Path) -> Picture:
    """The same people by the trained network and by its INT8 export, and what is between them."""
    image = read_scene(SEVERAL).image
    trained, exported = load(model, {"keep_aspect_ratio_mode": "pad_image_input"}), load(int8)
    skeleton = trained.backend.contract.skeleton
    maps, other = trained.maps(image)[0], exported.maps(image)[0]
    apart = np.abs(maps.heatmaps - other.heatmaps)
    far = PoseMaps(np.minimum(10 * apart, 1), maps.pafs, STRIDE, STRIDE)
    return panels(
        ("float32", draw_persons(image, trained(image), skeleton)),
        ("INT8", draw_persons(image, exported(image), skeleton)),
        ("heatmaps in INT8", draw_heatmaps(image, other, skeleton)),
        ("their difference from float32, ten times", draw_heatmaps(image, far)),
    )


def prune(model: Path, dataset: Path, folder: Path) -> dict[str, Path]:
    """AP of the network cut down in three ways: the tables of ``bpnet prune --sweep``."""
    photos = ["--cal_image_dir", folder / "photos"]
    ways = {
        "weights": [],
        "contribution": ["--criterion", "contribution", "-n", "energy", *photos],
        "contribution, compensated": [
            *("--criterion", "contribution", "-n", "energy", "--compensate"),
            *photos,
        ],
    }
    tables = {}
    for number, (name, options) in enumerate(ways.items()):
        output = folder / f"{number}.keras"
        sweep = ["--sweep", "0.9", "0.8", "0.7", "0.6", "0.5", "--sweep_by", "target_flops"]
        command(["prune", "-m", model, "-o", output, "-d", dataset, *sweep, *options])
        tables[name] = output.with_suffix(".sweep.csv")
    return tables


def command(words: list[object]) -> None:
    """Run a command line of ``bpnet``.

    Raises:
        RuntimeError: It failed, and has said why.
    """
    line = list(map(str, words))
    if run_command(line) != 0:
        raise RuntimeError(f"bpnet {' '.join(line)} failed")


def panels(*cells: tuple[str, Picture]) -> Picture:
    """Pictures two a row, each with a line of text above it."""
    titled = []
    for text, picture in cells:
        height, width = picture.shape[:2]
        small = cv2.resize(picture, (PANEL, PANEL * height // width), interpolation=cv2.INTER_AREA)
        bar = np.full((BAR, PANEL, 3), 255, np.uint8)
        place = (2, BAR - 8)
        cv2.putText(bar, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (28, 36, 48), 1, cv2.LINE_AA)
        titled.append(np.concatenate([bar, small]))
    return contact_sheet(titled, columns=2, cell=PANEL)


def write(path: Path, picture: Picture) -> None:
    """Write a picture, whole or not at all."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    with replacing(path) as temporary:
        cv2.imwrite(str(temporary), picture[..., ::-1], options)
    print(f"{path}: {picture.shape[1]} x {picture.shape[0]}, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
