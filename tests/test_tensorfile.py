"""TAO's tensorfile: as TAO writes it, as we write it, and what is refused."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from bpnet.errors import DataError
from bpnet.export.tensorfile import read_tensorfile, tensorfile_shape, write_tensorfile

IMAGES = np.random.default_rng(0).uniform(-0.5, 0.5, (5, 4, 6, 3)).astype(np.float32)
KEY = "_tensorfile_array_key_"


def write_as_tao(path, batches):
    """As TensorFile of NVIDIA's TAO does: float64, gzip, a group a batch."""
    with h5py.File(path, "w") as file:
        file.attrs["count"] = len(batches)
        file.attrs["shape"] = batches[0].shape
        for number, batch in enumerate(batches):
            group = file.create_group(f"{KEY}_{number}")
            group.create_dataset(KEY, data=batch.astype(np.float64), compression="gzip")


def test_taos_file_is_read_in_the_order_of_its_numbers(tmp_path):
    path = tmp_path / "cal.tensorfile"
    many = [np.full((1, 2, 2, 3), number / 16) for number in range(12)]  # 10 sorts before 2
    write_as_tao(path, many)
    assert tensorfile_shape(path) == (12, 2, 2)
    assert [image[0, 0, 0] * 16 for image in read_tensorfile(path)] == list(range(12))


@pytest.mark.parametrize(("dtype", "error"), [("float32", 0), ("float16", 2.5e-4)])
def test_what_is_written_is_read_back(tmp_path, dtype, error):
    path = tmp_path / "cal.tensorfile"
    assert write_tensorfile(path, iter(IMAGES), dtype=dtype, batch_size=2) == 5
    assert tensorfile_shape(path) == (5, 4, 6)
    found = np.stack(list(read_tensorfile(path)))
    assert found.dtype == np.float32
    assert np.abs(found - IMAGES).max() <= error


def test_what_is_written_is_taos_format(tmp_path):
    path = tmp_path / "cal.tensorfile"
    write_tensorfile(path, IMAGES[:4], dtype="float16", batch_size=2)
    with h5py.File(path) as file:
        assert (file.attrs["count"], tuple(file.attrs["shape"])) == (2, (2, 4, 6, 3))
        assert list(file) == [f"{KEY}_0", f"{KEY}_1"]
        dataset = file[f"{KEY}_1/{KEY}"]
        assert (dataset.compression, dataset.dtype) == ("gzip", np.float16)
        np.testing.assert_array_equal(dataset, IMAGES[2:4].astype(np.float16))


def test_channels_may_come_first(tmp_path):
    path = tmp_path / "cal.tensorfile"
    write_as_tao(path, [IMAGES[:2].transpose(0, 3, 1, 2)])
    assert tensorfile_shape(path) == (2, 4, 6)
    np.testing.assert_array_equal(np.stack(list(read_tensorfile(path))), IMAGES[:2])


def test_images_of_several_sizes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\(4, 5, 3\), those before it \(4, 6, 3\)"):
        write_tensorfile(tmp_path / "x", [IMAGES[0], IMAGES[1][:, :5]])


def test_a_failure_leaves_no_file(tmp_path):
    def images():
        yield IMAGES[0]
        raise DataError("an image is damaged")

    with pytest.raises(DataError, match="an image is damaged"):
        write_tensorfile(tmp_path / "x", images())
    with pytest.raises(DataError, match="no images"):
        write_tensorfile(tmp_path / "x", [])
    assert not list(tmp_path.iterdir())


def test_what_is_no_tensorfile_is_an_error(tmp_path):
    text, other, wrong, nan = (tmp_path / name for name in ("text", "other", "wrong", "nan"))
    text.write_text("cal")
    with h5py.File(other, "w") as file:
        file["x"] = 1
    write_as_tao(wrong, [np.zeros((1, 4, 4, 5))])
    write_as_tao(nan, [np.full((1, 4, 4, 3), np.nan)])
    for path, said in (
        (tmp_path / "absent", "is not there"),
        (text, "HDF5 is expected"),
        (other, "no attribute `count`"),
        (wrong, r"float64 \(1, 4, 4, 5\); floats \(images, height, width, 3\) are expected"),
        (nan, "batch 0 has values that are not finite"),
    ):
        with pytest.raises(DataError, match=said):
            list(read_tensorfile(path))


def test_without_h5py_there_is_a_sentence(tmp_path):
    program = (
        "import sys; sys.modules['h5py'] = None\n"
        "from pathlib import Path\n"
        "from bpnet.errors import MissingLibraryError\n"
        "from bpnet.export.tensorfile import write_tensorfile\n"
        "try: write_tensorfile(Path('x'), [])\n"
        "except MissingLibraryError as error: print(error)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "need h5py: pip install h5py" in found.stdout
