"""The documentation's pictures: small, shown somewhere, and drawn by the code as it is."""

import re
from pathlib import Path

import cv2
import numpy as np
import pictures
import pytest
from picture_charts import draw_pruning, draw_ranges

from bpnet.model.files import save_model
from bpnet.model.network import build_network
from bpnet.pose.contract import ModelContract
from bpnet.spec.network import BpNetLiteModel

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "pictures"
SOURCE = (ROOT / "benchmarks" / "pictures.py").read_text(encoding="utf-8")
FILES = re.findall(r'args\.output / "([\w.]+)"', SOURCE)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LARGEST = 150_000  # bytes


@pytest.mark.parametrize("name", FILES)
def test_a_picture_is_small_and_readable(name):
    assert (FOLDER / name).stat().st_size <= LARGEST
    assert min(cv2.imread(str(FOLDER / name)).shape[:2]) >= 300


@pytest.mark.parametrize("name", FILES)
def test_a_picture_is_shown_with_words_for_those_who_cannot_see_it(name):
    shown = re.compile(rf"!\[[^\]]{{20,}}\]\([\w./-]*{re.escape(name)}\)")
    assert any(shown.search(page.read_text(encoding="utf-8")) for page in PAGES)


def test_the_labels_are_drawn_as_the_code_draws_them():
    drawn = pictures.draw_labels(pictures.coco_skeleton())
    kept = cv2.imread(str(FOLDER / "labels.jpg"))[..., ::-1]
    assert drawn.shape == kept.shape
    assert np.abs(drawn.astype(int) - kept).mean() < 4  # JPEG's own error is half of it


def test_the_close_up_shows_where_the_decoder_finds_a_keypoint():
    picture = pictures.draw_cells(pictures.coco_skeleton())
    dot = (np.abs(picture.astype(int) - (0xD1, 0x62, 0x2B)) < 20).all(axis=-1)
    assert 10 < dot.sum() < 400


def test_the_pruning_chart_has_a_line_for_every_sweep(tmp_path):
    tables = {}
    for name, ap in (("weights", 0.1), ("contribution", 0.5)):
        tables[name] = tmp_path / f"{name}.csv"
        tables[name].write_text(f"gflops_left,ap\n1.0,0.6\n0.5,{ap}\n")
    both = draw_pruning(tables)
    one = draw_pruning({"weights": tables["weights"]})
    orange = (0xD1, 0x62, 0x2B)
    assert (both == orange).all(axis=-1).sum() > 500
    assert not (one == orange).all(axis=-1).any()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """An untrained network of COCO's keypoints."""
    skeleton = pictures.coco_skeleton()
    network = build_network(
        BpNetLiteModel(
            stages=2,
            width_multiplier=0.0625,
            kernel_initializer="he_normal",
            heat_channels=skeleton.heatmap_channels,
            paf_channels=skeleton.paf_channels,
        )
    )
    path = tmp_path_factory.mktemp("pictures") / "model.keras"
    save_model(network, path, ModelContract(skeleton=skeleton, extra={"trained_at": "96x128"}))
    return path


def test_pictures_of_a_network_are_drawn(model, tmp_path):
    int8 = pictures.export_int8(model, tmp_path)
    shapes = {
        pictures.draw_stages(model).shape,
        pictures.draw_decoder(model).shape,
        pictures.draw_int8(model, int8).shape,
    }
    assert shapes == {cv2.imread(str(FOLDER / "int8.jpg")).shape}
    chart = draw_ranges(tmp_path / "fp32.onnx", pictures.calibration_pictures()[:2])
    assert chart.shape == cv2.imread(str(FOLDER / "ranges.png")).shape
