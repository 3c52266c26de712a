"""A toy network that finds spots, and images of spots, for tests of whole commands."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper

from bpnet.pose.contract import ModelContract
from bpnet.pose.skeleton import Skeleton

PAIR = Skeleton("pair", ("top", "bottom"), ((0, 1),), (0, 1), (0.1, 0.1), {}, ((255, 0, 0),))
CONTRACT = ModelContract(
    PAIR, layout="nchw", image_scale=(255.0, 255.0, 255.0), image_offset=(0.0, 0.0, 0.0)
)

PEOPLE = {4: [((80, 50), (84, 140))], 5: [((150, 90), (150, 200))], 6: []}  # by image id
CATEGORY = {"name": "person", "id": 3, "keypoints": ["bottom", "top"]}


def write_model(path: Path, contract: ModelContract | None = CONTRACT) -> Path:
    """A network that sees red as ``top``, green as ``bottom``, and a downward limb everywhere."""
    weights = np.zeros((3, 3, 1, 1), np.float32)
    weights[[0, 1], [0, 1]] = 1
    values = [
        helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights),
        helper.make_tensor("v", TensorProto.FLOAT, (2, 3, 1, 1), np.zeros((2, 3, 1, 1))),
        helper.make_tensor("b", TensorProto.FLOAT, (2,), [0.0, 1.0]),
    ]
    nodes = [
        helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Conv", ["p", "w"], ["heatmap_out"]),
        helper.make_node("Conv", ["p", "v", "b"], ["paf_out"]),
    ]
    value = helper.make_tensor_value_info
    outputs = [
        value("heatmap_out", TensorProto.FLOAT, ("n", 3, "a", "b")),
        value("paf_out", TensorProto.FLOAT, ("n", 2, "a", "b")),
    ]
    graph = helper.make_graph(
        nodes, "spots", [value("x", TensorProto.FLOAT, ("n", 3, "h", "w"))], outputs, values
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if contract is not None:
        helper.set_model_props(model, {"bpnet": json.dumps(contract.to_dict())})
    onnx.save(model, str(path))
    return path


def write_spots(path: Path, people: Sequence[tuple[tuple[int, int], tuple[int, int]]]) -> Path:
    """A black 256x256 image, for each of ``people`` a red spot (x, y) and a green one."""
    rows, columns = np.mgrid[:256, :256]
    image = np.zeros((256, 256, 3), np.float64)
    for person in people:
        for channel, (x, y) in zip((2, 1), person, strict=True):  # OpenCV writes BGR
            distance = (columns - x) ** 2 + (rows - y) ** 2
            image[..., channel] += 255 * np.exp(-distance / (2 * 12.0**2))
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image.astype(np.uint8))
    return path


def write_dataset(folder: Path) -> Path:
    """Three 256x256 images of spots, their labels and the dataset spec; returns the spec's path."""
    images, annotations = [], []
    for image_id, people in PEOPLE.items():
        for top, bottom in people:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 3,
                    "keypoints": [*bottom, 2, *top, 2],
                    "num_keypoints": 2,
                    "bbox": [top[0] - 20, top[1], 40, bottom[1] - top[1]],
                    "area": 4000,
                    "iscrowd": 0,
                }
            )
        name = f"{image_id}.png"
        images.append({"id": image_id, "file_name": name, "height": 256, "width": 256})
        write_spots(folder / "images" / name, people)
    document = {"images": images, "annotations": annotations, "categories": [CATEGORY]}
    (folder / "labels.json").write_text(json.dumps(document))
    spec = folder / "spec.json"
    subset = {"images_root_dir_path": "images", "annotation_root_dir_path": "labels.json"}
    category = {**CATEGORY, "id": 1}  # the annotation file's number counts
    spec.write_text(
        json.dumps(
            {"root_directory_path": str(folder), "test_data": subset, "categories": [category]}
        )
    )
    return spec
