"""What is built of a bundle finds Python's people."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from bundles import Parser, build, load_module, make_bundle, outputs_of
from decode_oracle import draw_maps, skeleton_of
from numpy.typing import NDArray

from bpnet.decode import Decoder, DecoderSettings
from bpnet.inference.description import describe_by_inference_spec
from bpnet.inference.onnx_backend import OnnxBackend
from bpnet.inference.predictor import predictor_of
from bpnet.inference.sources import read_image
from bpnet.pose.contract import ModelContract
from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.reader import read_spec

ROOT = Path(__file__).resolve().parents[1]
DEEPSTREAM = Path("/opt/nvidia/deepstream/deepstream")
BODY = ModelContract(
    Skeleton.load(ROOT / "model_pose_config/bpnet_18joints.json"),
    input_name="input_1:0",
    paf_output="conv2d_transpose_1/BiasAdd:0",
    heatmap_output="heatmap_out/BiasAdd:0",
    paf_stride=2.0,
    height=240,
    width=320,
)
WORM = ModelContract(
    skeleton_of(5, [(0, 1), (1, 2), (2, 3), (3, 4)]),
    layout="nchw",
    input_name="x",
    heatmap_threshold=0.3,
    paf_cell_corners=True,
    height=160,
    width=96,
)

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("g++") is None, reason="needs make and g++"
)


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(make_bundle(tmp_path_factory.mktemp("body"), BODY), "deepstream")


@pytest.fixture(scope="module")
def worm(body: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = make_bundle(tmp_path_factory.mktemp("worm"), WORM)
    return build(bundle, "deepstream", objects_of=body)


def draw(contract: ModelContract, count: int = 3) -> PoseMaps:
    """Maps of some people and of noise."""
    skeleton = contract.skeleton
    random = np.random.default_rng(7)
    size = np.array([contract.width, contract.height])
    shape = (len(skeleton.keypoints), 2)
    people = [random.uniform(0.05 * size, 0.95 * size, shape) for _ in range(count)]
    maps = draw_maps(people, skeleton.limbs, (int(size[1]), int(size[0])))
    noise = random.normal(0, 0.02, maps.pafs.shape).astype(np.float32)
    return dataclasses.replace(maps, pafs=maps.pafs + noise)


def decode(maps: PoseMaps, contract: ModelContract) -> PersonKeypoints:
    settings = DecoderSettings(
        heatmap_threshold=contract.heatmap_threshold,
        paf_threshold=contract.paf_threshold,
        paf_cell_corners=contract.paf_cell_corners,
    )
    return Decoder(contract.skeleton, settings)(maps)


def keypoints_of(people: PersonKeypoints) -> NDArray[np.float32]:
    return np.concatenate([people.xy, people.score[..., None]], axis=2)


@pytest.mark.parametrize("repeats", [1, 4])
def test_the_parser_gives_pythons_people(body: Path, repeats: int) -> None:
    maps = draw(BODY)
    expected = decode(maps, BODY)

    count, boxes, keypoints = Parser(body, BODY)(*outputs_of(maps, BODY, repeats=repeats))

    assert count == len(expected) >= 3
    np.testing.assert_array_equal(keypoints, keypoints_of(expected))
    np.testing.assert_array_equal(boxes[:, 4], np.clip(expected.person_score, 0, 1))


def test_the_parser_keeps_to_the_contract_of_another_network(worm: Path) -> None:
    maps = draw(WORM)
    expected = decode(maps, WORM)

    count, _, keypoints = Parser(worm, WORM)(*outputs_of(maps, WORM))

    assert count == len(expected) >= 2
    np.testing.assert_array_equal(keypoints, keypoints_of(expected))


def test_a_box_covers_the_pixels_of_the_keypoints(worm: Path) -> None:
    points = np.array([[20, 30], [20, 60], [50, 60], [50, 90], [50, 120]], np.float64)
    maps = draw_maps([points], WORM.skeleton.limbs, (160, 96))

    count, boxes, _ = Parser(worm, WORM)(*outputs_of(maps, WORM), boxes_only=True)

    assert count == 1
    np.testing.assert_allclose(boxes[0, :4], [20, 30, 31, 91], atol=1.0)


def test_people_below_the_threshold_of_the_configuration_are_left_out(body: Path) -> None:
    maps = draw(BODY)
    scores = np.sort(decode(maps, BODY).person_score)
    parser = Parser(body, BODY)

    some, boxes, _ = parser(*outputs_of(maps, BODY), threshold=float(scores[-1]))
    none = parser(*outputs_of(maps, BODY), threshold=1.1)[0]

    assert (some, none) == (1, 0)
    assert boxes[0, 4] == scores[-1]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"names": {"paf_output": "other"}}, "the engine has no output conv2d_transpose_1/BiasAdd"),
        ({"kind": 1}, "output heatmap_out/BiasAdd:0 is not float32"),
    ],
)
def test_another_networks_engine_is_refused_with_a_sentence(
    body: Path, capfd: pytest.CaptureFixture[str], changes: dict[str, object], fault: str
) -> None:
    count = Parser(body, BODY)(*outputs_of(draw(BODY), BODY), **changes)[0]

    assert count == -1
    assert f"bpnet parser: {fault}" in capfd.readouterr().err


def test_outputs_of_other_channels_are_refused(
    body: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heatmaps, pafs = outputs_of(draw(BODY), BODY)

    count = Parser(body, BODY)(heatmaps[..., :17], pafs)[0]

    said = "output heatmap_out/BiasAdd:0 is 30 x 40 x 17, not maps of 19 channels"
    assert count == -1
    assert said in capfd.readouterr().err


def test_the_deepstream_program_decodes_as_python_does(body: Path) -> None:
    maps = draw(BODY)
    expected = decode(maps, BODY)
    heatmaps, pafs = outputs_of(maps, BODY, repeats=4)
    app = load_module(body / "deepstream/app.py")
    network = app.bpnet_people.Network()
    outputs = {
        BODY.paf_output: (pafs.ctypes.data, list(pafs.shape)),
        BODY.heatmap_output: (heatmaps.ctypes.data, list(heatmaps.shape)),
    }

    people = app.find_people(network, outputs)

    np.testing.assert_array_equal([person.score for person in people], expected.person_score)
    np.testing.assert_array_equal([p.keypoints for p in people], keypoints_of(expected))
    assert network.to_json(people)[0]["keypoints"].keys() <= set(BODY.skeleton.keypoints)
    with pytest.raises(ValueError, match="no output conv2d_transpose_1"):
        app.find_people(network, {BODY.heatmap_output: outputs[BODY.heatmap_output]})
    with pytest.raises(ValueError, match="not maps of 19 channels"):
        app.find_people(network, {**outputs, BODY.heatmap_output: outputs[BODY.paf_output]})


@pytest.mark.skipif(
    not (DEEPSTREAM / "sources/includes").is_dir(), reason=f"needs DeepStream in {DEEPSTREAM}"
)
def test_the_parser_compiles_with_deepstreams_own_headers(body: Path, tmp_path: Path) -> None:
    includes = f"{DEEPSTREAM}/sources/includes /usr/local/cuda/include"

    bundle = build(make_bundle(tmp_path, BODY), "deepstream", objects_of=body, includes=includes)

    assert (bundle / "deepstream/libnvdsinfer_bpnet.so").is_file()


@pytest.mark.coco
def test_the_parser_gives_the_people_of_a_real_network(
    shared_data: Path, body: Path, tmp_path: Path
) -> None:
    spec = read_spec(ROOT / "specs/infer_spec_lightweight_openpose.yaml", InferenceSpec)
    body_file = ROOT / "model_pose_config/bpnet_18joints.json"
    spec = dataclasses.replace(spec, pose_config_path=str(body_file))
    model = shared_data / "models/human-pose-estimation-0001.onnx"
    backend = OnnxBackend(model, describe=lambda path: describe_by_inference_spec(path, spec))
    predictor = predictor_of(backend)
    image = read_image(sorted((shared_data / "coco").rglob("*.jpg"))[0])
    maps = predictor.maps(image)[0]
    height, width = (int(side * 8) for side in maps.heatmaps.shape[:2])
    contract = dataclasses.replace(backend.contract, height=height, width=width)
    expected = decode(maps, contract)
    bundle = build(make_bundle(tmp_path, contract), "deepstream", objects_of=body)

    count, _, keypoints = Parser(bundle, contract)(*outputs_of(maps, contract))

    assert count == len(expected) > 0
    np.testing.assert_array_equal(keypoints, keypoints_of(expected))
