"""A sheet shows every label, mask and map on the pixels that it belongs to."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from shown import SIZE, picture_of, read_sheet, write_project

from bpnet.cli import main
from bpnet.drawing import IGNORED, keypoint_colours
from bpnet.pose.skeleton import Skeleton
from bpnet.sheet import GAP, LINE

ROOT = Path(__file__).resolve().parents[1]
TOP = 2 * (LINE + 4) + LINE  # of the first row's panels: below caption, titles and name
ROW = SIZE[0] + GAP + LINE


def panels(root: Path, *options: str, scale: int = 1, rows: int = 1) -> list[NDArray[np.int64]]:
    """The panels of a sheet of a project, row by row, each (H, W, 3)."""
    sheet = root / "sheet.png"
    arguments = ["--images", str(rows), "--scale", str(scale), "-o", str(sheet), *options]
    assert main(["show", "-e", str(root / "train.yaml"), *arguments]) == 0
    pixels = read_sheet(sheet)
    height, width = scale * SIZE[0], scale * SIZE[1]
    columns = options[options.index("--layers") + 1].count(",") + 1
    return [
        pixels[top : top + height, left : left + width]
        for top in range(TOP, TOP + rows * (height + GAP + LINE), height + GAP + LINE)
        for left in range(GAP, GAP + columns * (width + GAP), width + GAP)
    ]


def centroid(weight: NDArray[np.int64]) -> NDArray[np.float64]:
    """The centre of mass (x, y) of (H, W)."""
    rows, columns = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


def test_a_marker_lies_on_its_bright_spot_however_the_image_is_turned(tmp_path):
    spatial = {"flip_lr_prob": 0.5, "rotate_deg_max": 30, "translate_max_x": 12}
    write_project(tmp_path, [[{"left_eye": (83.3, 57.8)}]], spatial=spatial)
    shown = panels(tmp_path, "--layers", "image,people", scale=4, rows=4)
    found = []
    for image, people in zip(shown[::2], shown[1::2], strict=True):
        y, x = np.argwhere(image[..., 1] > 200).mean(axis=0)
        rows, columns = np.indices(image.shape[:2])
        light = image[..., 1] * (np.hypot(rows - y, columns - x) < 32)  # not the grey outside
        marker = np.abs(people - image).max(axis=-1) > 0
        assert 20 < marker.sum() < 400
        found.append(centroid(marker))
        np.testing.assert_allclose(found[-1], centroid(light), atol=0.4)  # a tenth of a pixel
    assert np.ptp(found, axis=0).min() > 4  # the views do differ


@pytest.mark.parametrize("spot", [(80.0, 60.0), (83.5, 59.5), (77.2, 66.1)])
def test_a_heatmap_peaks_on_its_keypoint(tmp_path, spot):
    write_project(tmp_path, [[{"nose": spot}]])
    (heat,) = panels(tmp_path, "--layers", "heatmaps")
    light = heat.sum(axis=-1)
    peak = centroid(light >= light.max() - 1)
    np.testing.assert_allclose(peak, spot, atol=1)
    np.testing.assert_allclose(centroid(light), spot, atol=0.5)


def test_a_limb_has_the_colour_of_its_direction_in_the_legend(tmp_path):
    write_project(tmp_path, [[{"left_eye": (40, 60), "nose": (120, 60)}]])
    _, pafs = panels(tmp_path, "--layers", "image,pafs")
    sheet = read_sheet(tmp_path / "sheet.png")
    middle = sheet.shape[0] - GAP - 27  # of the wheel, which is the legend's only line
    left, right = sheet[middle, GAP + 3], sheet[middle, GAP + 44]
    np.testing.assert_allclose(pafs[60, 80], right, atol=6)
    assert np.abs(pafs[60, 80] - left).max() > 100
    ribbon = np.flatnonzero(pafs[:, 80].any(axis=-1))  # a cell to each side of the limb
    assert (ribbon[0] + ribbon[-1]) / 2 == pytest.approx(60, abs=4)


def test_what_does_not_count_is_red_and_nothing_else(tmp_path):
    write_project(tmp_path, [[{"nose": (130, 30)}]], unlabelled=(16, 72, 40, 32))
    image, mask = panels(tmp_path, "--layers", "image,mask")
    changed = np.zeros(SIZE, np.bool_)
    changed[72:104, 16:56] = True
    np.testing.assert_array_equal((mask != image).any(axis=-1), changed)
    expected = np.round(0.6 * np.array(IGNORED))
    np.testing.assert_array_equal(mask[90, 30], expected)


def test_only_labelled_keypoints_are_drawn(tmp_path):
    people = [{"nose": (80, 60)}, {"right_eye": (30, 30)}]
    write_project(tmp_path, [people])
    image, drawn = panels(tmp_path, "--layers", "image,people")
    np.testing.assert_array_equal(image, picture_of(people))
    rows, columns = np.nonzero((drawn != image).any(axis=-1))
    near = [np.hypot(columns - x, rows - y) < 5 for x, y in ((80, 60), (30, 30))]
    assert near[0].any()
    assert near[1].any()
    assert (near[0] | near[1]).all()


def test_a_mirrored_left_eye_has_the_colour_of_a_right_one(tmp_path):
    write_project(tmp_path, [[{"left_eye": (40, 60)}]], spatial={"flip_lr_prob": 1.0})
    (people,) = panels(tmp_path, "--layers", "people")
    (plain,) = panels(tmp_path, "--layers", "people", "--no_augmentation")
    colours = keypoint_colours(Skeleton.load(tmp_path / "skeleton.json"))
    assert tuple(plain[60, 40]) == colours[0]
    assert tuple(people[60, 119]) == colours[1]


def test_the_colours_of_shipped_skeletons_tell_the_side():
    skeleton = Skeleton.load(ROOT / "model_pose_config" / "bpnet_18joints.json")
    colours = dict(zip(skeleton.keypoints, keypoint_colours(skeleton), strict=True))
    assert len(set(colours.values())) == 18
    for name, (red, _, blue) in colours.items():
        if name.startswith(("left", "right")):
            assert (blue > red) == name.startswith("left"), name


def test_a_keypoint_without_a_limb_of_its_side_is_white_or_shares():
    limbs = ((0, 1), (0, 2), (1, 2), (1, 3))  # nose to both eyes, eye to eye, left eye to ear
    skeleton = Skeleton(
        name="a",
        keypoints=("nose", "left_eye", "right_eye", "left_ear"),
        limbs=limbs,
        mirror=(0, 2, 1, 3),
        sigmas=(0.1,) * 4,
        derived={},
        colors=((1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0)),
    )
    assert keypoint_colours(skeleton)[:3] == ((255, 255, 255), (1, 0, 0), (2, 0, 0))
