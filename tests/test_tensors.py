"""What a network's tensors mean, whichever runtime holds them."""

from pathlib import Path

import numpy as np
import pytest
from spots import CONTRACT

from bpnet.errors import ModelError
from bpnet.inference.tensors import Tensor, complete_contract, in_batches, make_maps
from bpnet.pose.contract import ModelContract

HERE = Path("m.onnx")
RNG = np.random.default_rng(0)
OUTPUTS = [Tensor("heat", ("n", 3, "a", "b")), Tensor("paf", ("n", 2, "a", "b"))]


def draw(*shape: int) -> np.ndarray:
    return RNG.random(shape, dtype=np.float32)


@pytest.mark.parametrize("times", [2, 4])
def test_repeated_pafs_are_read_at_their_own_resolution(times: int) -> None:
    pafs = draw(2, 2, 6, 9)
    large = pafs.repeat(times, axis=2).repeat(times, axis=3)
    maps = make_maps(draw(2, 3, 6, 9), large, CONTRACT, HERE, size=(48, 72))
    assert [each.paf_stride for each in maps] == [8, 8]
    np.testing.assert_array_equal(maps[1].pafs, pafs[1].transpose(1, 2, 0))


def test_pafs_that_are_finer_in_one_cell_only_are_kept() -> None:
    large = draw(2, 2, 6, 9).repeat(4, axis=2).repeat(4, axis=3)
    large[1, 1, -1, -1] += 1e-6
    maps = make_maps(draw(2, 3, 6, 9), large, CONTRACT, HERE, size=(48, 72))
    assert maps[0].pafs.shape == (24, 36, 2)
    assert maps[0].paf_stride == 2


def test_the_stride_of_a_size_between_cells_is_the_networks() -> None:
    maps = make_maps(draw(1, 3, 4, 6), draw(1, 2, 4, 6), CONTRACT, HERE, size=(30, 45))
    assert (maps[0].heatmap_stride, maps[0].paf_stride) == (8, 8)
    maps = make_maps(draw(1, 3, 12, 8), draw(1, 2, 12, 8), CONTRACT, HERE, size=(48, 32))
    assert (maps[0].heatmap_stride, maps[0].paf_stride) == (4, 4)  # as the shapes say


def test_square_maps_with_as_many_cells_as_channels_follow_the_layout() -> None:
    heatmaps, pafs = draw(1, 3, 3, 3), draw(1, 2, 2, 2)
    maps = make_maps(heatmaps, pafs, CONTRACT, HERE, size=(24, 24))  # nchw
    np.testing.assert_array_equal(maps[0].heatmaps, heatmaps[0].transpose(1, 2, 0))


def test_a_name_that_was_said_has_to_be_there() -> None:
    said = ModelContract(CONTRACT.skeleton, heatmap_output="heatmap")
    with pytest.raises(ModelError, match=r"m\.onnx has no output heatmap, only heat .*paf"):
        complete_contract(said, HERE, Tensor("x", ("n", 3, "h", "w")), OUTPUTS, stage=None)


def test_names_that_nobody_said_are_found_by_their_channels() -> None:
    image = Tensor("x", ("n", 3, 64, "w"))
    found = complete_contract(CONTRACT, HERE, image, OUTPUTS, stage=None)
    assert (found.heatmap_output, found.paf_output) == ("heat", "paf")
    assert (found.layout, found.height, found.width) == ("nchw", 64, None)


@pytest.mark.parametrize(("stage", "number"), [(1, 1), (2, 2), (None, 2)])
def test_maps_as_high_as_the_other_maps_have_channels_are_told_apart(
    stage: int | None, number: int
) -> None:
    outputs = [  # 2 rows, 3 columns: PAFs as high as PAFs have channels, heatmaps likewise
        *(Tensor(f"h{one}", ("n", 2, 3, 3)) for one in (1, 2)),
        *(Tensor(f"p{one}", ("n", 2, 3, 2)) for one in (1, 2)),
    ]
    image = Tensor("x", ("n", 16, 24, 3))
    found = complete_contract(CONTRACT, HERE, image, outputs, stage=stage)
    assert (found.heatmap_output, found.paf_output) == (f"h{number}", f"p{number}")
    turned = [Tensor(each.name, (*each.shape[:1], each.shape[3], 2, 3)) for each in outputs]
    found = complete_contract(CONTRACT, HERE, Tensor("x", ("n", 3, 16, 24)), turned, stage=stage)
    assert (found.heatmap_output, found.paf_output) == (f"h{number}", f"p{number}")


def test_an_input_of_other_channels_is_refused() -> None:
    with pytest.raises(ModelError, match=r"input of 3 channels, found x \['n', 1, 64, 64\]"):
        complete_contract(CONTRACT, HERE, Tensor("x", ("n", 1, 64, 64)), OUTPUTS, stage=None)


@pytest.mark.parametrize(
    ("least", "most", "runs"), [(1, 2, [2, 2, 1]), (4, 4, [4, 4]), (2, 8, [5])]
)
def test_batches_keep_to_what_the_network_takes(least: int, most: int, runs: list[int]) -> None:
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    seen = []

    def run(batch: np.ndarray) -> list:
        seen.append(len(batch))
        return batch[:, 0, 0, 0].tolist()

    assert in_batches(images, run, least=least, most=most) == [0, 1, 2, 3, 4]
    assert seen == runs
