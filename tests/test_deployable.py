"""A file built to the documented graph of NVIDIA's deployable finds what its source network finds.

``input_1:0`` NHWC RGB as pixels / 256 - 0.5, ``heatmap_out/BiasAdd:0`` at stride 8 and the PAFs
either as ``paf_out/BiasAdd:0`` at stride 8 or, upsampled 4 times by a ConvTranspose of ones on the
channel diagonal, as ``conv2d_transpose_1/BiasAdd:0`` at stride 2.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from spots import write_dataset, write_model

from bpnet import load
from bpnet.cli import main

NATIVE, UPSAMPLED = "paf_out/BiasAdd:0", "conv2d_transpose_1/BiasAdd:0"
CATEGORY = {"name": "person", "keypoints": ["top", "bottom"], "skeleton": [[1, 2]]}
ROOT = Path(__file__).resolve().parents[1]


def write_source(path: Path) -> Path:
    """The toy network of ``spots`` with PAFs that are unlike everywhere."""
    write_model(path, None)
    model = onnx.load(str(path))
    weights = numpy_helper.from_array(np.array([[0.5, 0.2, 0], [0.1, 0.4, 0]], np.float32), "v")
    for values in model.graph.initializer:
        if values.name == "v":
            values.CopyFrom(
                helper.make_tensor("v", 1, (2, 3, 1, 1), numpy_helper.to_array(weights))
            )
    onnx.save(model, str(path))
    return path


def deployable(source: Path, path: Path, *, pixels: tuple[str, float], pafs: str) -> Path:
    """The network ``source`` (NCHW) in the deployable's graph.

    Args:
        source: outputs heatmaps and PAFs, or PAFs and heatmaps.
        path: where to write.
        pixels: rgb or bgr, and what the source wants for a pixel of 256.
        pafs: name of the PAF output: ``NATIVE`` or ``UPSAMPLED``.
    """
    model = onnx.load(str(source))
    graph = model.graph
    image = graph.input[0].name
    heat, paf = (
        next(each for each in graph.output if word in each.name) for word in ("heat", "paf")
    )
    channels = paf.type.tensor_type.shape.dim[1].dim_value
    order = [0, 1, 2] if pixels[0] == "rgb" else [2, 1, 0]
    kernel = np.zeros((channels, channels, 4, 4), np.float32)
    kernel[np.arange(channels), np.arange(channels)] = 1
    arrays = {"half": np.float32(0.5), "factor": np.float32(pixels[1])}
    arrays |= {"order": np.array(order, np.int64), "ones": kernel}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in arrays.items())
    before = [
        helper.make_node("Transpose", ["input_1:0"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Add", ["nchw", "half"], ["positive"]),
        helper.make_node("Mul", ["positive", "factor"], ["scaled"]),
        helper.make_node("Gather", ["scaled", "order"], [image], axis=1),
    ]
    after = [
        helper.make_node("Transpose", [heat.name], ["heatmap_out/BiasAdd:0"], perm=[0, 2, 3, 1]),
        helper.make_node("Transpose", [paf.name], [NATIVE], perm=[0, 2, 3, 1]),
        helper.make_node("ConvTranspose", [paf.name, "ones"], ["up"], strides=[4, 4]),
        helper.make_node("Transpose", ["up"], [UPSAMPLED], perm=[0, 2, 3, 1]),
    ]
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    describe = helper.make_tensor_value_info
    graph.input.append(describe("input_1:0", TensorProto.FLOAT, ("n", "h", "w", 3)))
    keypoints = heat.type.tensor_type.shape.dim[1].dim_value
    for name, count in ((pafs, channels), ("heatmap_out/BiasAdd:0", keypoints)):
        graph.output.append(describe(name, TensorProto.FLOAT, ("n", f"h_{count}", "b", count)))
    onnx.save(model, str(path))
    return path


@pytest.fixture
def skeleton(tmp_path: Path) -> str:
    path = tmp_path / "skeleton.json"
    path.write_text(json.dumps({"name": "pair", "categories": [CATEGORY]}))
    return str(path)


def write_spec(path: Path, **sections) -> Path:
    path.write_text(yaml.safe_dump({"input_shape": [256, 256], **sections}))
    return path


@pytest.mark.parametrize("pafs", [NATIVE, UPSAMPLED])
@pytest.mark.parametrize("corners", [False, True])
def test_it_evaluates_like_its_source_network(
    tmp_path: Path, skeleton: str, pafs: str, corners: bool
) -> None:
    source = write_source(tmp_path / "source.onnx")
    exported = deployable(source, tmp_path / "model.onnx", pixels=("rgb", 256 / 255), pafs=pafs)
    said = {"pose_config_path": skeleton, "model_output": {"paf_cell_corners": corners}}
    ours = {"image_scale": [255.0] * 3, "image_offset": [0.0] * 3}
    specs = {
        source: write_spec(tmp_path / "source.yaml", **said, model_input=ours),
        exported: write_spec(tmp_path / "model.yaml", **said),  # TAO's pixels are the default
    }
    dataset = str(write_dataset(tmp_path / "data"))
    found = []
    for model, spec in specs.items():
        results = tmp_path / model.stem
        arguments = ["evaluate", "-m", str(model), "-i", str(spec), "-d", dataset]
        assert main([*arguments, "-r", str(results)]) == 0
        found.append(json.loads((results / "detections.json").read_text())["images"])
    assert [len(image["keypoints"]) for image in found[0]] == [1, 1, 0]
    for one, other in zip(*found, strict=True):
        for name in ("keypoints", "keypoint_scores", "scores"):
            np.testing.assert_allclose(one[name], other[name], atol=2e-4)  # four decimals


@pytest.mark.parametrize("pafs", [NATIVE, UPSAMPLED])
def test_its_maps_are_those_of_its_source(tmp_path: Path, skeleton: str, pafs: str) -> None:
    source = write_source(tmp_path / "source.onnx")
    exported = deployable(source, tmp_path / "model.onnx", pixels=("rgb", 256 / 255), pafs=pafs)
    ours = {"image_scale": [255.0] * 3, "image_offset": [0.0] * 3}
    image = np.random.default_rng(0).integers(0, 256, (72, 96, 3), np.uint8)
    one, _ = load(source, {"pose_config_path": skeleton, "model_input": ours}).maps(image)
    other, _ = load(exported, {"pose_config_path": skeleton}).maps(image)
    assert one.pafs.std() > 0.01
    assert (other.heatmap_stride, other.paf_stride) == (8, 8)
    np.testing.assert_allclose(other.heatmaps, one.heatmaps, atol=1e-5)
    np.testing.assert_allclose(other.pafs, one.pafs, atol=1e-5)


@pytest.mark.coco
def test_a_real_network_in_its_graph_finds_the_same_people(
    shared_data: Path, tmp_path: Path
) -> None:
    source = shared_data / "models" / "human-pose-estimation-0001.onnx"
    exported = deployable(source, tmp_path / "m.onnx", pixels=("bgr", 256.0), pafs=UPSAMPLED)
    said = yaml.safe_load((ROOT / "specs" / "infer_spec_lightweight_openpose.yaml").read_text())
    said["pose_config_path"] = str(ROOT / "model_pose_config" / "bpnet_18joints.json")
    taos = {name: said[name] for name in said if not name.startswith("model_")}
    photos = sorted((shared_data / "coco" / "val").iterdir())[:4]
    expected, found = load(source, said).predict(photos), load(exported, taos).predict(photos)
    assert sum(map(len, expected)) >= 4
    for one, other in zip(expected, found, strict=True):
        assert len(one) == len(other)
        np.testing.assert_allclose(other.xy, one.xy, atol=0.01)
        np.testing.assert_allclose(other.score, one.score, atol=1e-4)
        np.testing.assert_allclose(other.person_score, one.person_score, atol=1e-3)
