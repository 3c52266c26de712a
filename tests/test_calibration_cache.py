"""TensorRT's calibration cache: its bytes, its first line for each release, and what is refused."""

import pytest

from bpnet.errors import DataError, SpecError
from bpnet.export.calibration_cache import header, read_cache, write_cache

RANGES = {"input_1:0": 1.0, "block 1/Relu": 127.0, "a: b": 6.35, "dead": 0.0}


def test_the_bytes_are_tensorrts(tmp_path):
    path = tmp_path / "cal.bin"
    write_cache(path, RANGES, tensorrt="8.6.1")
    assert path.read_bytes() == (
        b"TRT-8601-EntropyCalibration2\n"
        b"input_1:0: 3c010204\n"  # 1/127
        b"block 1/Relu: 3f800000\n"  # 1
        b"a: b: 3d4ccccd\n"  # 0.05
        b"dead: 35010204\n"  # 2^-14 / 127: no scale may be zero
    )


@pytest.mark.parametrize(
    ("release", "line"),
    [
        ("7.1.3", "TRT-7103-EntropyCalibration2"),
        ("8.2.3", "TRT-8203-EntropyCalibration2"),
        ("8.5.2.2", "TRT-8502-EntropyCalibration2"),
        ("10.3", "TRT-100300-EntropyCalibration2"),
        ("10.16.1", "TRT-101601-EntropyCalibration2"),
    ],
)
def test_the_first_line_is_the_releases(release, line):
    assert header(release) == line


@pytest.mark.parametrize("release", ["11", "ten", "8.6.x", ""])
def test_what_is_no_release_is_refused(release):
    with pytest.raises(SpecError, match=r"give it as 8\.6\.1"):
        header(release)


@pytest.mark.parametrize("release", ["11.0", "11.4.0.106", "12.1"])
def test_releases_without_calibration_are_refused(release):
    with pytest.raises(SpecError, match=f"TensorRT {release} reads no calibration cache"):
        header(release)


def test_what_was_written_is_read_back(tmp_path):
    path = tmp_path / "cal.bin"
    write_cache(path, RANGES, tensorrt="10.3.0")
    found = read_cache(path)
    assert list(found) == list(RANGES)
    assert found == pytest.approx({**RANGES, "dead": 2.0**-14})
    again = tmp_path / "again.bin"
    write_cache(again, found, tensorrt="10.3.0")
    assert again.read_bytes() == path.read_bytes()


def test_leading_zeros_may_be_missing_and_lines_end_as_on_windows(tmp_path):
    path = tmp_path / "cal.bin"
    path.write_bytes(b"TRT-8601-MinMaxCalibration\r\nx: 800000\r\n\r\n")
    assert read_cache(path) == {"x": 2.0**-126 * 127}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "its first line must be like TRT-8601"),
        (b"x: 3c010204\n", "its first line must be like TRT-8601"),
        (b"\xff\xfe\x00", "it is not text"),
        (b"TRT-8601-EntropyCalibration2\nx: 3c010204\ny 3c010204\n", "line 3: expected"),
        (b"TRT-8601-EntropyCalibration2\nx: 3c01020411\n", "line 2: expected"),
        (b"TRT-8601-EntropyCalibration2\nx: 7f800000\n", "line 2: expected"),  # infinite
        (b"TRT-8601-EntropyCalibration2\nx: bc010204\n", "line 2: expected"),  # negative
    ],
)
def test_what_is_no_cache_is_an_error_that_names_the_line(tmp_path, content, said):
    path = tmp_path / "cal.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_cache(path)


def test_a_missing_cache_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"absent\.bin cannot be read"):
        read_cache(tmp_path / "absent.bin")
