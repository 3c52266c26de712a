"""The C header and static library: built, installed and used as a C application would."""

import dataclasses
import itertools
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from decode_oracle import draw_maps
from numpy.typing import NDArray

from bpnet.decode import Decoder
from bpnet.pose.maps import PoseMaps
from bpnet.pose.skeleton import Skeleton

ROOT = Path(__file__).resolve().parents[1]
BODY = ROOT / "model_pose_config/bpnet_18joints.json"
SIZE = (240, 320)  # pixels of the input: height, width

pytestmark = pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def build(*command: object) -> None:
    result = run(*command)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the library and its header are installed."""
    folder = tmp_path_factory.mktemp("bpnet_pose")
    source = ROOT / "bpnet/decode/csrc"
    build("cmake", "-S", source, "-B", folder / "build", "-DCMAKE_CXX_FLAGS=-Werror")
    build("cmake", "--build", folder / "build", "--parallel", 2)
    build("cmake", "--install", folder / "build", "--prefix", folder / "prefix")
    return folder / "prefix"


@pytest.fixture(scope="module")
def program(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decode_maps")
    where = f"-DCMAKE_PREFIX_PATH={installed}"
    build("cmake", "-S", ROOT / "examples/c", "-B", folder, where)
    build("cmake", "--build", folder)
    return folder / "decode_maps"


def hand(folder: Path) -> Path:
    """The skeleton file of a hand: a wrist and five fingers of four joints, limbs by name."""
    fingers = ["thumb", "index", "middle", "ring", 'little "pinky"']
    names = ["wrist", *(f"{finger} {joint}" for finger in fingers for joint in range(4))]
    chains = [["wrist", *names[first : first + 4]] for first in range(1, 21, 4)]
    edges = [list(pair) for chain in chains for pair in itertools.pairwise(chain)]
    category = {"name": "hand", "keypoints": names, "skeleton_edge_names": edges}
    path = folder / "hand.json"
    path.write_text(json.dumps({"pose_config_type": "hand", "categories": [category]}))
    return path


def write_maps(folder: Path, maps: PoseMaps, layout: str) -> list[object]:
    """The maps as raw files; the program's arguments for them."""
    arguments: list[object] = [layout]
    for name, values, stride in (
        ("heatmaps.f32", maps.heatmaps, maps.heatmap_stride),
        ("pafs.f32", maps.pafs, maps.paf_stride),
    ):
        order = values if layout == "hwc" else values.transpose(2, 0, 1)
        np.ascontiguousarray(order).tofile(folder / name)
        arguments += [folder / name, *values.shape[:2], stride]
    return arguments


def some_people(keypoints: int) -> list[NDArray[np.float64]]:
    random = np.random.default_rng(keypoints)
    return [random.uniform((20, 20), (300, 220), (keypoints, 2)) for _ in range(3)]


@pytest.mark.parametrize("layout", ["hwc", "chw"])
@pytest.mark.parametrize("skeleton_file", ["body", "hand"])
def test_the_c_program_prints_the_people_that_python_finds(
    program: Path, tmp_path: Path, skeleton_file: str, layout: str
) -> None:
    path = BODY if skeleton_file == "body" else hand(tmp_path)
    skeleton = Skeleton.load(path)
    people = some_people(len(skeleton.keypoints))
    maps = draw_maps(people, skeleton.limbs, SIZE, paf_stride=4 if layout == "hwc" else 8)
    expected = Decoder(skeleton)(maps)

    result = run(program, path, *write_maps(tmp_path, maps, layout))

    assert (result.returncode, result.stderr) == (0, "")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == len(expected) >= 3
    scores = np.array([line["score"] for line in lines], np.float32)
    np.testing.assert_array_equal(scores, expected.person_score)
    for line, xy, score in zip(lines, expected.xy, expected.score, strict=True):
        found = {
            name: [x, y, confidence]
            for name, (x, y), confidence in zip(skeleton.keypoints, xy, score, strict=True)
            if confidence > 0
        }
        assert list(line["keypoints"]) == list(found)
        np.testing.assert_array_equal(
            np.array(list(line["keypoints"].values()), np.float32), list(found.values())
        )


def test_decoding_allocates_nothing_once_its_memory_has_grown(
    installed: Path, tmp_path: Path
) -> None:
    compiler = shutil.which("c++") or shutil.which("g++") or "c++"
    include = f"-I{installed}/include"
    source, program = ROOT / "tests/allocations.cpp", tmp_path / "allocations"
    library = next(installed.glob("lib*/libbpnet_pose.a"))
    build(compiler, "-std=c++17", "-O1", include, source, library, "-pthread", "-o", program)

    result = run(program)

    assert (result.returncode, result.stdout) == (0, "0\n")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "line 1: expected a name in quotes"),
        ('{"categories": [\n{"keypoints": ["a" "b"]}]}', "line 2: expected , or ] in a list"),
        ("[" * 100000, "line 1: lists and objects are nested too deep"),
        ('{"a": 1, "a": 2}', "line 1: a stands twice"),
        ('{"a": "\\ud800"}', "line 1: half of a surrogate pair"),
        ('{"categories": []}', "categories: expected one"),
        ('{"categories": [{"keypoints": []}]}', "categories[0].keypoints: expected at least one"),
        ('{"categories": [{"keypoints": ["a", "a"]}]}', "keypoints: a stands twice"),
        ('{"categories": [{"keypoints": ["a", "b"]}]}', "skeleton: expected at least one limb"),
        (
            '{"categories": [{"keypoints": ["a", "b"], "skeleton": [[1, 3]]}]}',
            "skeleton[0]: expected two keypoint numbers from 1 to 2",
        ),
        (
            '{"categories": [{"keypoints": ["a", "b"], "skeleton": [[1, 1]]}]}',
            "skeleton[0]: a is linked to itself",
        ),
        (
            '{"categories": [{"keypoints": ["a", "b"], "skeleton": [[1, 2], [2, 1]]}]}',
            "skeleton[1]: b, a stands twice",
        ),
        (
            '{"categories": [{"keypoints": ["a"], "skeleton_edge_names": [["a", "c"]]}]}',
            "skeleton_edge_names[0]: expected two of the keypoints' names",
        ),
        (" " * 2_000_000, "is larger than 1 MiB"),
    ],
)
def test_a_broken_skeleton_file_is_named_with_its_fault(
    program: Path, tmp_path: Path, text: str, fault: str
) -> None:
    path = tmp_path / "skeleton.json"
    path.write_text(text)

    result = run(program, path, "hwc", "h", 1, 1, 8, "p", 1, 1, 8)

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{path}: ")
    assert fault in result.stderr


def test_wrong_inputs_of_the_program_are_named(program: Path, tmp_path: Path) -> None:
    skeleton = Skeleton.load(BODY)
    maps = draw_maps(some_people(18), skeleton.limbs, SIZE)
    fewer = dataclasses.replace(maps, heatmaps=maps.heatmaps[..., :17])
    flat = dataclasses.replace(maps, heatmap_stride=0)

    missing = run(program, tmp_path / "none.json", *write_maps(tmp_path, maps, "hwc"))
    channels = run(program, BODY, *write_maps(tmp_path, fewer, "hwc"))
    stride = run(program, BODY, *write_maps(tmp_path, flat, "hwc"))
    usage = run(program, BODY)

    assert (missing.returncode, usage.returncode) == (1, 2)
    assert "none.json: cannot be opened: No such file" in missing.stderr
    assert (channels.returncode, stride.returncode) == (1, 1)
    assert channels.stderr.startswith("the heatmaps must have a channel a keypoint")
    assert stride.stderr.startswith("strides must be above 0")
