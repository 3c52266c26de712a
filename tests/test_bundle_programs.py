"""The programs of a bundle: what can be run of them without a GPU and a server."""

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from bundles import CONTRACT, load_module, make_bundle

from bpnet.inference.preprocess import InputFit, fit_image, to_tensor


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def test_the_programs_run_on_the_python_of_old_jetsons(bundle: Path) -> None:
    for name in ("decoder/bpnet_people.py", "deepstream/app.py", "triton/client.py"):
        ast.parse((bundle / name).read_text(encoding="utf-8"), name, feature_version=(3, 6))


def test_the_deepstream_program_describes_its_pipeline(bundle: Path) -> None:
    app = load_module(bundle / "deepstream/app.py")
    one = app.parse_arguments(["my video.mp4", "--output", "drawn.mp4"])
    two = app.parse_arguments(["rtsp://a/1", "rtsp://b/2", "--json", "-"])

    assert "my%20video.mp4" in app.describe_pipeline(one)
    assert "filesink name=file" in app.describe_pipeline(one)
    assert "batch-size=2" in app.describe_pipeline(two)
    assert "live-source=1" in app.describe_pipeline(two)
    assert 'uridecodebin uri="rtsp://b/2" ! nvvideoconvert' in app.describe_pipeline(two)
    assert Path(one.config).is_file()
    with pytest.raises(SystemExit):
        app.parse_arguments(["a.mp4", "b.mp4", "--output", "drawn.mp4"])
    with pytest.raises(SystemExit):
        app.parse_arguments(["a.mp4"])


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (["deepstream/app.py", "a.mp4", "--json", "-"], "needs DeepStream's Python bindings"),
        (["triton/client.py", "a.jpg"], "libbpnet_people.so is not there: run make in"),
    ],
)
def test_a_program_says_in_a_sentence_what_it_lacks(
    bundle: Path, command: list[str], fault: str
) -> None:
    result = subprocess.run(
        [sys.executable, *command], cwd=bundle, capture_output=True, text=True, check=False
    )

    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert fault in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_points_leave_the_letterbox_as_nvinfer_made_it(bundle: Path) -> None:
    people = load_module(bundle / "decoder/bpnet_people.py")

    wide = people.Letterbox(1920, 1080, 384, 288)
    tall = people.Letterbox(301, 400, 256, 256)  # one column is left out, 192 are used

    assert (wide.left, wide.top, wide.width, wide.height) == (0, 36, 384, 216)
    assert wide.to_frame(0, 36) == (2.0, 2.0)
    assert wide.to_frame(383, 251) == (1917.0, 1077.0)
    assert (tall.left, tall.top, tall.width, tall.height) == (32, 0, 192, 256)


@pytest.mark.parametrize("size", [(70, 50), (41, 64), (333, 601), (64, 96)])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_the_triton_client_feeds_the_pixels_that_bpnet_does(
    bundle: Path, size: tuple[int, int], order: str
) -> None:
    client = load_module(bundle / "triton/client.py")
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    contract = dataclasses.replace(
        CONTRACT,
        channel_order=order,
        layout="nchw",
        image_scale=(255.0, 250.0, 240.0),
        image_offset=(0.1, 0.2, 0.3),
    )
    fitted = fit_image(image, InputFit(64, 96, "pad_image_input", multiple=1))
    network = SimpleNamespace(contract=contract.to_dict(), width=96, height=64)

    tensor, placement = client.to_tensor(image[..., ::-1], network)

    np.testing.assert_allclose(tensor, to_tensor(fitted.image[None], contract), atol=1e-6)
    point = np.array([12.0, 7.0], np.float32)
    back = fitted.transform.inverse().apply(point)
    np.testing.assert_allclose(placement.to_frame(*point), back, atol=1e-4)
