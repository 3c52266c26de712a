import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from decode_oracle import draw_maps, skeleton_of
from numpy.typing import NDArray

from bpnet.decode import Decoder, DecoderSettings, _native
from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints

CHAIN = ((0, 1), (1, 2), (2, 3))
STANDING = np.array([[60.0, 40.0], [63.5, 90.2], [58.1, 151.7], [99.4, 203.3]])
BESIDE = STANDING + np.array([[90.3, 4.6]])


def same_bytes(one: PersonKeypoints, other: PersonKeypoints) -> bool:
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes()
        for name in ("xy", "score", "person_score")
    )


@pytest.mark.parametrize("refine", [1, 2])
@pytest.mark.parametrize("paf_stride", [8, 4, 2])
def test_one_person_comes_back_within_half_a_pixel(paf_stride: int, refine: int) -> None:
    maps = draw_maps([STANDING], CHAIN, (256, 256), paf_stride=paf_stride)

    settings = DecoderSettings(refine=refine, small_person=0.0)
    found = Decoder(skeleton_of(4, CHAIN), settings)(maps)

    np.testing.assert_allclose(found.xy, [STANDING], atol=0.5 if refine == 1 else 0.7)
    np.testing.assert_allclose(found.score, [[1, 1, 1, 1]], atol=0.05)
    assert 0.9 < found.person_score[0] < 1.1


def test_people_side_by_side_stay_apart() -> None:
    found = Decoder(skeleton_of(4, CHAIN))(draw_maps([BESIDE, STANDING], CHAIN, (256, 256)))

    order = np.argsort(found.xy[:, 0, 0])
    np.testing.assert_allclose(found.xy[order], [STANDING, BESIDE], atol=0.5)


def test_any_limb_may_start_a_person_and_bridge_two_halves() -> None:
    limbs = ((0, 1), (2, 3), (1, 2))  # the last one joins what the first two started
    maps = draw_maps([STANDING], limbs, (256, 256))
    only_last = maps.heatmaps.copy()
    only_last[..., [0, 3]] = 0
    decoder = Decoder(skeleton_of(4, limbs))

    whole = decoder(maps)
    part = decoder(PoseMaps(only_last, maps.pafs, 8, 8))

    assert (whole.score > 0).tolist() == [[True] * 4]
    assert (part.score > 0).tolist() == [[False, True, True, False]]
    np.testing.assert_array_equal(part.xy[0, [0, 3]], 0)


def test_a_cycle_of_limbs_counts_each_keypoint_once() -> None:
    limbs = (*CHAIN, (0, 2), (0, 3))
    maps = draw_maps([STANDING], limbs, (256, 256))

    assert len(Decoder(skeleton_of(4, limbs), DecoderSettings(min_keypoints=4))(maps)) == 1
    assert len(Decoder(skeleton_of(4, limbs), DecoderSettings(min_keypoints=5))(maps)) == 0


def test_partial_people_with_a_common_keypoint_are_not_merged() -> None:
    maps = draw_maps([STANDING, BESIDE], CHAIN, (256, 256))
    crossing = np.stack([STANDING[0], BESIDE[1]])
    bridge = maps.pafs.copy()
    bridge[..., :2] += 0.3 * draw_maps([crossing], [(0, 1)], (256, 256)).pafs

    found = Decoder(skeleton_of(4, CHAIN))(PoseMaps(maps.heatmaps, bridge, 8, 8))

    assert (found.score > 0).all()
    assert len(found) == 2


def test_min_mean_score_drops_the_faint() -> None:
    maps = draw_maps([STANDING], CHAIN, (256, 256))
    faint = PoseMaps(maps.heatmaps * np.float32(0.2), maps.pafs * np.float32(0.2), 8, 8)
    skeleton = skeleton_of(4, CHAIN)

    assert len(Decoder(skeleton)(faint)) == 1
    assert len(Decoder(skeleton, DecoderSettings.tao())(faint)) == 0
    assert len(Decoder(skeleton, DecoderSettings.tao())(maps)) == 1


def test_pafs_on_cell_corners_lie_half_a_cell_back() -> None:
    paf = np.zeros((9, 20, 2), np.float32)
    paf[4, :, 0] = 1  # on cell corners of stride 8: input pixel 32, between heatmap rows 3 and 4
    heatmaps = np.zeros((9, 20, 3), np.float32)
    heatmaps[3, 2, 0] = heatmaps[3, 9, 1] = 0.8
    skeleton = skeleton_of(2, [(0, 1)])
    maps = PoseMaps(heatmaps, paf, 8, 8)

    def decode(corners: bool) -> PersonKeypoints:
        settings = DecoderSettings(paf_cell_corners=corners, length_limit=9.0, small_person=0.0)
        return Decoder(skeleton, settings)(maps)

    assert len(decode(corners=False)) == 0
    np.testing.assert_allclose(decode(corners=True).person_score, [0.4375], atol=1e-5)


def test_views_of_any_axis_order_decode_to_the_same_bytes() -> None:
    maps = draw_maps([STANDING, BESIDE], CHAIN, (256, 256))
    planar = [np.ascontiguousarray(m.transpose(2, 0, 1)) for m in (maps.heatmaps, maps.pafs)]
    wide = [np.repeat(m, 2, axis=1)[::-1] for m in (maps.heatmaps, maps.pafs)]
    decoder = Decoder(skeleton_of(4, CHAIN))

    expected = decoder(maps)

    assert same_bytes(decoder(PoseMaps(*(m.transpose(1, 2, 0) for m in planar), 8, 8)), expected)
    assert same_bytes(decoder(PoseMaps(*(m[::-1, ::2] for m in wide), 8, 8)), expected)


def packed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same values as a field of records of five bytes: most at odd addresses."""
    records = np.zeros(values.shape, [("flag", np.uint8), ("value", np.float32)])
    records["value"] = values
    return records["value"]


@pytest.mark.parametrize("cells", [(9, 12), (1, 12), (1, 1)])
def test_values_at_odd_addresses_decode_to_the_same_bytes(cells: tuple[int, int]) -> None:
    random = np.random.default_rng(5)
    heatmaps = random.random((*cells, 3), np.float32)
    pafs = random.random((*cells, 2), np.float32)
    decoder = Decoder(skeleton_of(2, [(0, 1)]))
    late = np.frombuffer(b"0" + heatmaps.tobytes(), np.float32, offset=1).reshape(heatmaps.shape)

    expected = decoder(PoseMaps(heatmaps, pafs, 8, 8))

    assert len(expected) > 0
    assert same_bytes(decoder(PoseMaps(packed(heatmaps), packed(pafs), 8, 8)), expected)
    assert same_bytes(decoder(PoseMaps(late, pafs, 8, 8)), expected)


@pytest.mark.filterwarnings("error")
def test_what_only_float64_holds_counts_as_0_without_a_warning() -> None:
    maps = draw_maps([STANDING], CHAIN, (256, 256))
    heatmaps, pafs = maps.heatmaps.astype(np.float64), maps.pafs.astype(np.float64)
    heatmaps[0, 0], pafs[0, 0] = 1e300, -1e300
    zeros = PoseMaps(maps.heatmaps.copy(), maps.pafs.copy(), 8, 8)
    zeros.heatmaps[0, 0] = zeros.pafs[0, 0] = 0
    decoder = Decoder(skeleton_of(4, CHAIN))

    assert same_bytes(decoder(PoseMaps(heatmaps, pafs, 8, 8)), decoder(zeros))


def test_any_number_of_threads_gives_the_same_bytes() -> None:
    random = np.random.default_rng(1)
    batch = [
        PoseMaps(
            random.random((9 + index, 12, 5), np.float32),
            random.normal(0.5, 0.5, (9 + index, 12, 6)).astype(np.float32),
            8,
            8,
        )
        for index in range(24)
    ]
    decoder = Decoder(skeleton_of(4, CHAIN))

    alone = [decoder(maps) for maps in batch]

    assert sum(map(len, alone)) > 100
    for threads in (1, 2, 5, 64):
        for one, other in zip(alone, decoder.decode_batch(batch, threads), strict=True):
            assert same_bytes(one, other)
    assert decoder.decode_batch([]) == []
    for none in (0, -1):
        with pytest.raises(ValueError, match=f"threads: {none} must be 1 or more"):
            decoder.decode_batch(batch, threads=none)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -1, 0, 1])
@pytest.mark.parametrize("refine", [1, 2])
def test_worthless_maps_give_finite_answers(value: float, refine: int) -> None:
    decoder = Decoder(skeleton_of(4, CHAIN), DecoderSettings(refine=refine))
    flat = decoder(
        PoseMaps(np.full((6, 7, 5), value, np.float32), np.full((6, 7, 6), value, np.float32), 8, 8)
    )
    maps = draw_maps([STANDING], CHAIN, (256, 256))
    maps.heatmaps[20:, :, :2] = value
    maps.pafs[:4, :4] = value

    spoilt = decoder(maps)

    for people in (flat, spoilt):
        assert np.isfinite(people.xy).all()
        assert np.isfinite(people.score).all()
        assert np.isfinite(people.person_score).all()
    if not np.isfinite(value) or value > 1e6:  # counts as 0
        np.testing.assert_allclose(spoilt.xy, [STANDING], atol=0.7)


def test_the_smallest_maps_and_skeletons_decode() -> None:
    dot = np.ones((1, 1, 3), np.float32)
    lone = Decoder(skeleton_of(1, []))(
        PoseMaps(np.ones((4, 4, 2), np.float32), np.zeros((4, 4, 0), np.float32), 8, 8)
    )
    pair = Decoder(skeleton_of(2, [(0, 1)]))(PoseMaps(dot, dot[..., :2], 8, 8))

    assert lone.xy.shape == (0, 1, 2)  # a keypoint without limbs makes no person
    np.testing.assert_array_equal(pair.xy, [[[3.5, 3.5], [3.5, 3.5]]])
    np.testing.assert_array_equal(pair.person_score, [0])  # of no size at all


def test_maps_of_another_skeleton_are_refused_with_both_shapes() -> None:
    decoder = Decoder(skeleton_of(4, CHAIN))
    heatmaps, pafs = np.zeros((6, 7, 5), np.float32), np.zeros((12, 14, 6), np.float32)

    assert len(decoder(PoseMaps(heatmaps, pafs, 8, 4))) == 0
    with pytest.raises(ValueError, match=r"\(6, 7, 4\) and pafs \(12, 14, 6\) must be \(H, W, 5\)"):
        decoder(PoseMaps(heatmaps[..., :4], pafs, 8, 4))
    with pytest.raises(ValueError, match="strides"):
        decoder(PoseMaps(heatmaps, pafs, 8, 0))


def test_the_defaults_are_those_of_the_core() -> None:
    core, python = _native.Settings(), DecoderSettings()
    names = {name for name in dir(core) if not name.startswith("_")} - {"fault"}

    assert names == {field.name for field in dataclasses.fields(python)}
    for name in names:
        assert getattr(core, name) == np.float32(getattr(python, name)), name


FORK = """
import os, signal, numpy as np
from decode_oracle import draw_maps, skeleton_of
from bpnet.decode import Decoder
person = np.array([[60.0, 40.0], [63.5, 90.2]])
batch = [draw_maps([person], [(0, 1)], (256, 256))] * 8
decoder = Decoder(skeleton_of(2, [(0, 1)]))
before = decoder.decode_batch(batch, threads=3)
if (child := os.fork()) == 0:
    signal.alarm(20)
    after = decoder.decode_batch(batch, threads=3)
    del decoder
    os._exit(0 if len(after) == len(before) == 8 and len(after[0]) == 1 else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_decodes_with_threads_of_its_own() -> None:
    tests = str(Path(__file__).parent)
    paths = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths}

    result = subprocess.run([sys.executable, "-c", FORK], env=environment, check=False)

    assert result.returncode == 0


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="refine"):
        DecoderSettings(refine=3)
    with pytest.raises(ValueError, match="max_samples"):
        DecoderSettings(min_samples=12)
    with pytest.raises(ValueError, match=r"max_peaks: 1\.5 is of another kind"):
        DecoderSettings(max_peaks=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite"):
        DecoderSettings(paf_threshold=float("nan"))
    with pytest.raises(ValueError, match="two different keypoints"):
        Decoder(skeleton_of(2, [(1, 1)]))
