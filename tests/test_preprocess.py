"""Fitting images to a network, averaging maps, finding and reading images."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from bpnet.errors import DataError
from bpnet.inference.averaging import average_mirrored, average_scales, from_cell_corners
from bpnet.inference.preprocess import InputFit, fit_image
from bpnet.inference.sources import list_images, read_image
from bpnet.pose.maps import PoseMaps
from bpnet.pose.skeleton import Skeleton
from bpnet.pose.transform import ImageTransform

PAIR = Skeleton(
    name="pair",
    keypoints=("left_end", "right_end"),
    limbs=((0, 1),),
    mirror=(1, 0),
    sigmas=(0.1, 0.1),
    derived={},
    colors=((255, 0, 0),),
)
MODES = ["adjust_network_input", "pad_image_input", "fit_height", "fit_width", None]


def spot(height: int, width: int, x: int, y: int) -> np.ndarray:
    """A smooth bright spot on black, its centre of mass at (x, y)."""
    rows, columns = np.mgrid[:height, :width]
    value = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 6.0**2))
    return np.repeat(value.astype(np.uint8)[..., None], 3, axis=2)


def centre(image: np.ndarray) -> np.ndarray:
    """Centre of mass (x, y) of an image or map (H, W)."""
    weight = image.astype(np.float64)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(100, 150), (301, 143), (64, 64), (700, 900)])
def test_a_spot_lands_where_the_transform_says(mode: str | None, size: tuple[int, int]) -> None:
    height, width = size
    x, y = width // 3, height // 2
    fit = InputFit(120, 168, mode, pad_value=0)
    fitted = fit_image(spot(height, width, x, y), fit)
    expected = fitted.transform.apply(np.array([x, y], np.float32))
    assert centre(fitted.image[..., 0]) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(
    ("mode", "shape"),
    [
        ("adjust_network_input", (256, 512)),
        ("pad_image_input", (256, 256)),
        ("fit_height", (256, 512)),
        ("fit_width", (128, 256)),
        (None, (256, 256)),
    ],
)
def test_each_mode_gives_its_size(mode: str | None, shape: tuple[int, int]) -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    assert fit_image(image, InputFit(256, 256, mode)).image.shape == (*shape, 3)


def test_padding_is_at_the_right_and_bottom_and_in_the_pad_value() -> None:
    image = np.zeros((99, 200, 3), np.uint8)
    fitted = fit_image(image, InputFit(99, 99, "fit_height", pad_value=77)).image
    assert fitted.shape == (104, 200, 3)
    assert (fitted[:99] == 0).all()
    assert (fitted[99:] == 77).all()


def test_letterboxing_is_centred() -> None:
    image = np.zeros((64, 128, 3), np.uint8)
    fitted = fit_image(image, InputFit(128, 128, "pad_image_input", pad_value=9)).image
    assert (fitted[:32] == 9).all()
    assert (fitted[32:96] == 0).all()
    assert (fitted[96:] == 9).all()


def test_a_fixed_size_is_kept_to_the_pixel() -> None:
    image = np.zeros((50, 90, 3), np.uint8)
    fit = InputFit(30, 45, "pad_image_input", multiple=1)
    assert fit_image(image, fit).image.shape == (30, 45, 3)


@pytest.mark.parametrize("size", [(1, 1), (7, 500), (10, 9000)])
def test_images_that_cannot_be_used_end_in_a_sentence(size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=f"image of {size[1]}x{size[0]} pixels"):
        fit_image(np.zeros((*size, 3), np.uint8), InputFit())


def test_other_arrays_than_rgb_bytes_are_refused() -> None:
    for wrong in (np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3), np.float32)):
        with pytest.raises(ValueError, match=r"must be \(H, W, 3\) uint8"):
            fit_image(wrong, InputFit())


def ramp(height: int, width: int, stride: float, back: ImageTransform) -> np.ndarray:
    """A map whose value is the source x of its cell: (H, W, 3) of equal channels."""
    x = np.arange(width) * stride + (stride - 1) / 2
    points = np.stack([x, np.zeros_like(x)], axis=-1).astype(np.float32)
    return np.tile(back.apply(points)[None, :, :1], (height, 1, 3)).astype(np.float32)


def test_averaged_scales_agree_on_where_everything_is() -> None:
    image = np.zeros((90, 130, 3), np.uint8)
    inputs = [fit_image(image, InputFit(96, 96), scale=scale) for scale in (0.5, 1.0, 1.7)]
    maps = []
    for each in inputs:
        height, width = each.image.shape[:2]
        back = each.transform.inverse()
        heatmaps = ramp(height // 8, width // 8, 8, back)
        pafs = ramp(height // 2, width // 2, 2, back)[..., :2]
        maps.append(PoseMaps(heatmaps, pafs, 8, 2))
    averaged = average_scales(maps, [each.transform for each in inputs])
    assert averaged.heatmaps.shape == maps[-1].heatmaps.shape
    inside = slice(4, -6)  # cubic borders repeat cells, so a ramp bends there
    np.testing.assert_allclose(averaged.heatmaps[:, inside], maps[-1].heatmaps[:, inside], atol=0.1)
    wide = slice(16, -24)
    np.testing.assert_allclose(averaged.pafs[:, wide], maps[-1].pafs[:, wide], atol=0.1)


def test_mirrored_maps_come_back_in_place() -> None:
    rng = np.random.default_rng(0)
    heatmaps = rng.random((4, 6, 3), dtype=np.float32)
    pafs = rng.random((4, 6, 2), dtype=np.float32)
    # In the mirror image the ends swap names, so the limb points the other way along x: the same x.
    mirrored = PoseMaps(
        heatmaps[:, ::-1, [1, 0, 2]], pafs[:, ::-1] * np.array([1, -1], np.float32), 8, 8
    )
    averaged = average_mirrored(PoseMaps(heatmaps, pafs, 8, 8), mirrored, PAIR)
    np.testing.assert_allclose(averaged.heatmaps, heatmaps, rtol=1e-6)
    np.testing.assert_allclose(averaged.pafs, pafs, rtol=1e-6)


def test_corner_pafs_move_to_cell_centres() -> None:
    columns = np.arange(8, dtype=np.float32) * 8  # each cell's value: its pixel x
    pafs = np.tile(columns[None, :, None], (8, 1, 2))
    centred = from_cell_corners(PoseMaps(np.zeros((8, 8, 3), np.float32), pafs, 8, 8)).pafs
    np.testing.assert_allclose(centred[0, :-1, 0], np.arange(7) * 8 + 3.5, rtol=1e-5)


def write(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def test_a_folder_gives_its_images_sorted_and_names_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    for name in ("b.png", "a.JPG", "deep/er/c.bmp"):
        write(tmp_path / name, image)
    (tmp_path / "notes.txt").write_text("no image")
    listed = list_images(tmp_path, input_type="dir")
    names = [str(path.relative_to(tmp_path)) for path in listed.paths]
    assert names == ["a.JPG", "b.png", "deep/er/c.bmp"]
    assert listed.skipped == (tmp_path / "notes.txt",)
    assert "notes.txt skipped" in caplog.text


def test_a_json_input_keeps_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "images.json"
    path.write_text(json.dumps({"run": 3, "images": [{"full_image_path": "x.png", "image_id": 7}]}))
    listed = list_images(path, input_type="json", root=tmp_path)
    assert listed.paths == (tmp_path / "x.png",)
    assert listed.records[0]["image_id"] == 7
    assert listed.header == {"run": 3}
    path.write_text('["x.png", "y.png"]')
    assert len(list_images(path, input_type="json").paths) == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"image": []}', '[{"path": "x"}]', "[3]"])
def test_a_json_input_without_images_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "images.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"images\.json"):
        list_images(path, input_type="json")


def test_every_pixel_format_reads_as_rgb(tmp_path: Path) -> None:
    colour = np.zeros((9, 12, 3), np.uint8)
    colour[..., 0] = 200  # blue, as OpenCV writes
    alpha = np.dstack([colour, np.full((9, 12), 255, np.uint8)])
    assert read_image(write(tmp_path / "c.png", colour))[0, 0].tolist() == [0, 0, 200]
    assert read_image(write(tmp_path / "a.png", alpha))[0, 0].tolist() == [0, 0, 200]
    grey = np.full((9, 12), 90, np.uint8)
    assert read_image(write(tmp_path / "g.png", grey))[0, 0].tolist() == [90, 90, 90]
    deep = np.full((9, 12), 90 * 257, np.uint16)
    assert read_image(write(tmp_path / "d.png", deep))[0, 0].tolist() == [90, 90, 90]


def test_exif_orientation_is_honoured_unless_told_not_to(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jpg", np.zeros((16, 40, 3), np.uint8))
    data = path.read_bytes()
    tiff = b"II*\0\x08\0\0\0" + b"\x01\0" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + b"\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    app1 = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    path.write_bytes(data[:2] + app1 + data[2:])
    assert read_image(path).shape == (40, 16, 3)
    assert read_image(path, upright=False).shape == (16, 40, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_cut_image_is_an_error_not_a_grey_half(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)
    path = write(tmp_path / f"x{suffix}", noise)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=f"x{suffix} is cut short"):
        read_image(path)


def test_files_that_are_no_images_are_named(tmp_path: Path) -> None:
    for name, data in (("empty.png", b""), ("text.png", b"hello")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=name):
            read_image(tmp_path / name)
    with pytest.raises(DataError, match=r"gone\.png cannot be read"):
        read_image(tmp_path / "gone.png")
