"""NVIDIA's own bindings, parser and builder, where their wheels are asked for.

    BPNET_NVIDIA_WHEELS=~/.cache/nvidia-wheels pytest tests/test_tensorrt_nvidia.py

downloads them once (about 190 MB) and needs no GPU; see ``nvidia_wheels.py``.
"""

import json
from pathlib import Path

import onnx
import pytest
from nvidia_wheels import BINDINGS, CUDA, bindings, cuda_python, run_python, tensorrt_rtx
from test_tensorrt_build import make_graph

TESTS = Path(__file__).parent
PRECISIONS = ("fp32", "fp16", "int8", "int8+fp16")
VARIANTS = {
    "nhwc": {"layout": "nhwc"},
    "nchw": {"layout": "nchw"},
    "sdk": {"layout": "nhwc", "paf_upsampling": 4},
    "static": {"layout": "nchw", "batch": 4},
    "opset13": {"layout": "nchw", "opset": 13},
    "opset21": {"layout": "nhwc", "opset": 21},
}


@pytest.mark.parametrize("version", BINDINGS)
def test_the_bindings_of_each_release_have_what_our_code_asks_for(version: str) -> None:
    home = bindings(version)
    ran = run_python(
        home,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-k",
        "not cuda_python",
        str(TESTS / "test_tensorrt_api.py"),
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "skipped" not in ran.stdout, ran.stdout


@pytest.mark.parametrize("major", CUDA)
def test_cuda_python_of_each_kind_has_what_our_code_asks_for(major: str) -> None:
    home = cuda_python(major)
    ran = run_python(
        home, "-m", "pytest", "-q", "-rs", "-k", "cuda_python", str(TESTS / "test_tensorrt_api.py")
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "skipped" not in ran.stdout, ran.stdout


def build(files: dict[Path, dict]) -> dict[str, dict]:
    """What TensorRT-RTX made of each file with the settings of an engine."""
    asked = json.dumps({str(path): settings for path, settings in files.items()})
    ran = run_python(tensorrt_rtx(), str(TESTS / "nvidia_builds.py"), asked)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    return {Path(name).stem: said for name, said in found.items()}


def save(graph: onnx.ModelProto, path: Path) -> Path:
    onnx.save(graph, path)
    return path


def test_a_graph_of_each_type_builds_and_a_false_one_is_refused(tmp_path: Path) -> None:
    files = {
        save(make_graph(kind), tmp_path / f"{kind}.onnx"): {"data_type": kind}
        for kind in PRECISIONS
    }
    broken = make_graph()
    broken.graph.node[0].op_type = "Convolve"
    found = build({**files, save(broken, tmp_path / "broken.onnx"): {}})
    assert "cannot read the graph" in found.pop("broken")["fault"]
    assert all("bytes" in said for said in found.values()), found


def test_a_real_builder_takes_the_options(tmp_path: Path) -> None:
    options = {
        "batches": {"opt_batch": 2, "max_batch": 8},
        "level": {"builder_level": 5},
        "strict": {"strict_types": True},
        "lowered": {"data_type": "fp16", "strict_types": True},
        "timed": {"timing_cache": str(tmp_path / "timings")},
        "anywhere": {"hardware_compatible": True},
        "small": {"workspace": 1 << 10},
        "dla": {"data_type": "fp16", "dla_core": 0},
    }
    files = {save(make_graph(), tmp_path / f"{name}.onnx"): said for name, said in options.items()}
    found = build(files)
    assert "workspace" in found.pop("small")["fault"]  # TensorRT's own words
    assert "no DLA core 0, this machine has 0" in found.pop("dla")["fault"]
    assert all("bytes" in said for said in found.values()), found
    assert found["batches"]["batches"] == [1, 2, 8]
    assert found["timed"]["timings"] > 0


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, dict]:
    """Every precision of every variant, as files."""
    tensorrt_rtx()  # skips before the work
    from exported_network import CONTRACT, small_network

    from bpnet.export.onnx import to_onnx

    folder, network = tmp_path_factory.mktemp("exported"), small_network()
    files: dict[Path, dict] = {}
    for name, settings in VARIANTS.items():
        graph, contract = to_onnx(network, CONTRACT, height=64, width=96, **settings)
        files |= lower(graph, contract, folder / name, most=settings.get("batch", 8))
    return files


def lower(graph: onnx.ModelProto, contract, stem: Path, *, most: int) -> dict[Path, dict]:
    """The graph in every precision, for up to ``most`` images."""
    from exported_network import photos

    from bpnet.export.artefact import find_ranges, to_precision
    from bpnet.inference.preprocess import to_tensor

    images = [to_tensor(image[None], contract)[0] for image in photos(2)]
    ranges, files = find_ranges(graph, images, "max"), {}
    for kind in PRECISIONS:
        if stem.name == "opset13" and kind == "int8+fp16":
            continue  # scales of float16 need operators of version 19
        lowered = to_precision(graph, contract, kind, ranges=ranges, form="tensorrt")
        onnx.checker.check_model(lowered, full_check=True)
        path = save(lowered, stem.with_name(f"{stem.name}-{kind}.onnx"))
        files[path] = {"data_type": kind, "max_batch": most}
    return files


def test_every_exported_graph_parses_and_builds(exported: dict[Path, dict]) -> None:
    found = build(exported)
    assert len(found) == len(exported)
    assert {name: said["fault"] for name, said in found.items() if "fault" in said} == {}
    assert found["static-fp16"]["batches"] == [4, 4, 4]
    assert found["nhwc-int8"]["batches"] == [1, 1, 8]


def test_every_kind_of_network_builds_in_every_precision(tmp_path: Path) -> None:
    tensorrt_rtx()
    from exported_network import CONTRACT
    from test_export_variants import NETWORKS

    from bpnet.export.onnx import to_onnx
    from bpnet.model.network import build_network

    files: dict[Path, dict] = {}
    for name, section in NETWORKS.items():
        network = build_network(section)
        graph, contract = to_onnx(network, CONTRACT, height=64, width=96, layout="nchw")
        files |= lower(graph, contract, tmp_path / name, most=8)
    found = build(files)
    assert len(found) == len(NETWORKS) * len(PRECISIONS)
    assert {name: said["fault"] for name, said in found.items() if "fault" in said} == {}


def test_lower_precisions_make_smaller_engines(tmp_path: Path) -> None:
    tensorrt_rtx()
    from exported_network import CONTRACT, SKELETON

    from bpnet.export.onnx import to_onnx
    from bpnet.model.network import build_network
    from bpnet.spec.network import BpNetLiteModel

    channels = {
        "heat_channels": SKELETON.heatmap_channels,
        "paf_channels": SKELETON.paf_channels,
    }
    network = build_network(BpNetLiteModel(stages=1, **channels))
    graph, contract = to_onnx(network, CONTRACT, height=64, width=96, layout="nchw")
    found = build(lower(graph, contract, tmp_path / "wide", most=1))
    sizes = [found[f"wide-{kind}"]["bytes"] for kind in ("fp32", "fp16", "int8")]
    assert sizes[1] < 0.6 * sizes[0]
    assert sizes[2] < 0.8 * sizes[1]
