"""Photos of every kind as (H, W, 3) uint8 RGB, and what is said of files that are none."""

import base64
import json
import os
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from bpnet.errors import DataError
from bpnet.inference.sources import ImageList, PhotoSource, open_source, read_image

# 16x8, (200, 30, 60) in CMYK as Adobe's programs write it: inverted.
CMYK = """/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAbEhQXFBEbFxYXHhwbIChCKyglJShROj0wQmBVZWRfVV1baniZgWpxkHNb
XYW1hpCeo6utq2eAvMm6pseZqKuk/8AAFAgACAAQBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAAFBv/EABQQAQ
AAAAAAAAAAAAAAAAAAAAD/2gAOBEMATQBZAEsAAD8AqoSW0wA//9k="""

TURNED = {  # what EXIF 2.32 says of tag 0x0112
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).transpose(1, 0, 2),
    8: np.rot90,
}


def write(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def corner(shape: tuple[int, int] = (16, 32)) -> np.ndarray:
    """A grey image with a bright top left quarter, and a dark top right one."""
    image = np.full((*shape, 3), 100, np.uint8)
    image[: shape[0] // 2, : shape[1] // 2] = 250
    image[: shape[0] // 2, shape[1] // 2 :] = 10
    return image


def exif(orientation: int) -> bytes:
    """A TIFF directory that holds the orientation alone."""
    return b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0" * 6


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return len(content).to_bytes(4, "big") + checked + zlib.crc32(checked).to_bytes(4, "big")


def add_exif(path: Path, orientation: int) -> None:
    data, tags = path.read_bytes(), exif(orientation)
    if path.suffix == ".jpg":
        app1 = b"Exif\0\0" + tags
        data = data[:2] + b"\xff\xe1" + (len(app1) + 2).to_bytes(2, "big") + app1 + data[2:]
    elif path.suffix == ".png":
        data = data[:33] + png_chunk(b"eXIf", tags) + data[33:]  # after the header
    else:
        data += b"EXIF" + len(tags).to_bytes(4, "little") + tags
        data = data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:]
    path.write_bytes(data)


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_every_exif_orientation_is_honoured(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = write(tmp_path / f"a{suffix}", corner())
    add_exif(path, orientation)
    stored, shown = read_image(path, upright=False), read_image(path)
    assert stored.shape == (16, 32, 3)
    assert shown.shape == TURNED[orientation](corner()).shape
    np.testing.assert_allclose(shown.astype(int), TURNED[orientation](corner()), atol=25)
    assert shown.flags.c_contiguous


def test_an_orientation_that_does_not_exist_is_upright(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", corner())
    add_exif(path, 9)
    assert np.array_equal(read_image(path), corner())


def test_a_cmyk_jpeg_is_in_its_colours(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(base64.b64decode(CMYK))
    image = read_image(path)
    assert image.shape == (8, 16, 3)
    assert image[4, 8].tolist() == pytest.approx([200, 30, 60], abs=8)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_rounded_to_eight(tmp_path: Path, suffix: str) -> None:
    deep = np.zeros((8, 9, 3), np.uint16)
    deep[:] = (257 * 40 - 128, 257 * 90 + 128, 65535)  # blue, green, red
    image = read_image(write(tmp_path / f"a{suffix}", deep))
    assert image.dtype == np.uint8
    assert image[3, 3].tolist() == [255, 90, 40]
    grey = read_image(write(tmp_path / f"g{suffix}", deep[..., 0]))
    assert grey[3, 3].tolist() == [40, 40, 40]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_transparent_pixels_are_laid_over_grey(tmp_path: Path, kind: type) -> None:
    whole = np.iinfo(kind).max
    image = np.zeros((2, 4, 4), kind)
    image[..., 2] = whole  # red
    image[..., 3] = [0, whole // 5, whole, whole]
    row = read_image(write(tmp_path / "a.png", image))[0].tolist()
    assert row[0] == [128, 128, 128]
    assert row[1] == pytest.approx([153, 102, 102], abs=1)
    assert row[2:] == [[255, 0, 0], [255, 0, 0]]


def test_real_numbers_count_from_black_to_white(tmp_path: Path) -> None:
    values = np.array([[-1.0, 0.0, 0.5, 1.0, 7.0, np.nan]], np.float32)
    image = read_image(write(tmp_path / "a.tiff", values))
    assert image[0, :, 0].tolist() == [0, 0, 128, 255, 255, 0]


def test_pixels_of_another_kind_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tiff", np.zeros((4, 4), np.int32))
    with pytest.raises(DataError, match=r"a\.tiff has 1 channels of int32; save it"):
        read_image(path)


def test_huge_images_are_named_before_they_fill_memory(tmp_path: Path) -> None:
    size = (40000).to_bytes(4, "big")
    header = png_chunk(b"IHDR", size + size + b"\1\0\0\0\0")
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + pixels)
    with pytest.raises(DataError, match=r"a\.png has 40000 x 40000 pixels.*make it smaller"):
        read_image(tmp_path / "a.png")
    # OpenCV's own limit, for what its header does not tell us.
    (tmp_path / "b.ppm").write_bytes(b"P6 40000 40000 255\n" + bytes(100))
    with pytest.raises(DataError, match=r"b\.ppm has more pixels than OpenCV reads"):
        read_image(tmp_path / "b.ppm")


def test_a_file_too_large_for_an_image_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(3 * 2**30)  # without filling the disk
    with pytest.raises(DataError, match=r"a\.jpg has 3\.0 GiB"):
        read_image(tmp_path / "a.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, one below, among files that are none, and a link back to the top."""
    folder = tmp_path / "in"
    write(folder / "b.png", corner())
    write(folder / "deep" / "er" / "a.JPG", corner())
    (folder / "broken.jpg").write_bytes((folder / "deep/er/a.JPG").read_bytes()[:-8])
    (folder / "empty.png").touch()
    (folder / "text.webp").write_text("no image")
    (folder / "._b.png").write_text("what a Mac leaves beside b.png")
    (folder / "notes.txt").write_text("no image")
    (folder / "deep" / "loop").symlink_to(folder, target_is_directory=True)
    return folder


def test_a_folder_names_what_it_cannot_use_and_reads_the_rest(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = open_source(str(folder), input_type="dir")
    frames = list(source)
    assert (source.count, source.moving, source.name) == (5, False, str(folder))
    assert [frame.index for frame in frames] == list(range(5))
    named = {Path(frame.record["full_image_path"]).name: frame.failure for frame in frames}
    assert "cut short" in named["broken.jpg"]
    assert "is empty" in named["empty.png"]
    assert "is not an image" in named["text.webp"]
    assert named["a.JPG"] is named["b.png"] is None
    assert all((frame.image is None) == bool(frame.failure) for frame in frames)
    assert "notes.txt skipped" in caplog.text
    assert "._b.png skipped: hidden" in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_forbidden_folder_is_named(folder: Path) -> None:
    (folder / "deep").chmod(0)
    *_, last = open_source(str(folder), input_type="dir")
    assert "deep cannot be searched: Permission denied" in last.failure


def test_a_list_keeps_its_records_and_its_order(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(12)]
    for number, name in enumerate(names):
        write(tmp_path / name, np.full((8, 8, 3), number, np.uint8))
    images = [{"full_image_path": name, "image_id": name} for name in [*names, "gone.png"]]
    (tmp_path / "list.json").write_text(json.dumps({"run": 3, "images": images}))
    source = open_source(str(tmp_path / "list.json"), input_type="json", root=tmp_path)
    *frames, last = source
    assert source.header == {"run": 3}
    assert [frame.image[0, 0, 0] for frame in frames] == list(range(12))
    assert [frame.record["image_id"] for frame in frames] == names
    assert frames[3].record["full_image_path"] == str(tmp_path / "3.png")
    assert "gone.png cannot be read" in last.failure


def test_a_closed_source_reads_no_more(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", corner())
    source = PhotoSource(ImageList((path,) * 50, ({},) * 50), name="many")
    frames = iter(source)
    next(frames)
    source.close()
    assert len(list(frames)) == 0


def test_a_photo_is_one_frame(tmp_path: Path) -> None:
    write(tmp_path / "a.png", corner())
    (frame,) = open_source("a.png", input_type="image", root=tmp_path)
    assert np.array_equal(frame.image, corner())
    assert (frame.index, frame.time, frame.failure) == (0, 0.0, None)
    with pytest.raises(DataError, match=r"gone\.png is not there"):
        open_source("gone.png", input_type="image")
