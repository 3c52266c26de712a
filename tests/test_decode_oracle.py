"""The whole decoder, and the stages that only show in whole people, against the slow oracle."""

import cv2
import numpy as np
import pytest
from decode_oracle import score_limb, skeleton_of
from decode_oracle_people import decode, double

from bpnet.decode import Decoder, DecoderSettings
from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton

CYCLES = ((0, 1), (1, 2), (2, 0), (3, 2), (3, 4), (4, 0), (0, 1), (1, 0))  # and a limb twice
LOOSE = DecoderSettings(
    paf_threshold=-9.0, min_sample_share=0.0, min_mean_score=-9.0, length_limit=9.0
)


def same(found: PersonKeypoints, expected: PersonKeypoints) -> None:
    assert len(found) == len(expected)
    np.testing.assert_allclose(found.person_score, expected.person_score, atol=1e-4)
    np.testing.assert_allclose(found.score, expected.score, atol=1e-3)
    np.testing.assert_allclose(found.xy, expected.xy, atol=1e-2)


def noisy_maps(seed: int, *, paf_stride: float = 8, lean: float = 0.3) -> PoseMaps:
    """Maps of 5 keypoints and the 8 limbs of CYCLES over an input of 96 x 80 pixels."""
    random = np.random.default_rng(seed)
    height, width = int(96 / paf_stride), int(80 / paf_stride)
    heatmaps = random.random((12, 10, 6), np.float32) ** 3
    pafs = random.normal(lean, 0.5, (height, width, 16)).astype(np.float32)
    return PoseMaps(heatmaps, pafs, 8, paf_stride)


@pytest.mark.parametrize(
    ("settings", "paf_stride", "least"),
    [
        (DecoderSettings(), 8, 10),
        (DecoderSettings(refine=2), 8, 10),
        (DecoderSettings(), 2, 10),
        (DecoderSettings(paf_cell_corners=True), 4, 10),
        (DecoderSettings(heatmap_threshold=0.3, cell_share=0.9, max_peaks=4), 8, 4),
        (DecoderSettings(samples_per_cell=2.0, max_samples=17, min_samples=2), 4, 10),
        (DecoderSettings(short_limb=3.0, short_limb_score=0.35, length_limit=0.3), 8, 10),
        (DecoderSettings.tao(), 8, 2),
        (DecoderSettings(small_person=2.0), 8, 10),
        (LOOSE, 8, 10),
    ],
)
def test_noisy_maps_decode_as_the_oracle_says(
    settings: DecoderSettings, paf_stride: float, least: int
) -> None:
    skeleton = skeleton_of(5, CYCLES)
    people = 0
    for seed in range(4):
        maps = noisy_maps(seed, paf_stride=paf_stride)
        expected = decode(maps, skeleton, settings)

        same(Decoder(skeleton, settings)(maps), expected)

        people += len(expected)
    assert people >= 4 * least


def test_doubling_is_opencvs_cubic_resize() -> None:
    heatmap = np.random.default_rng(2).random((7, 9))

    doubled = cv2.resize(heatmap, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)

    np.testing.assert_allclose(double(heatmap), doubled, atol=1e-6)


@pytest.mark.parametrize("paf_stride", [1, 2, 8])
@pytest.mark.parametrize("corners", [False, True])
def test_a_limb_scores_as_the_oracle_says_at_any_paf_stride(paf_stride: int, corners: bool) -> None:
    random = np.random.default_rng(4)
    settings = DecoderSettings(
        paf_threshold=-9.0,
        min_mean_score=-9.0,
        paf_cell_corners=corners,
        samples_per_cell=1.5,
        small_person=0.0,
    )
    decoder = Decoder(skeleton_of(2, [(0, 1)]), settings)
    heights = []
    for _ in range(40):
        paf = random.normal(0.3, 0.3, (48 // paf_stride, 64 // paf_stride, 2)).astype(np.float32)
        cells = random.integers([0, 0], [16, 12], (2, 2))  # x, y, at heatmap stride 4
        heatmaps = np.zeros((12, 16, 3), np.float32)
        heatmaps[cells[:, 1], cells[:, 0], [0, 1]] = 0.5
        origin = 0 if corners else (paf_stride - 1) / 2
        ends = (cells * 4 + 1.5 - origin) / paf_stride
        expected = score_limb(paf, *ends, settings, scale=4 / paf_stride, height=48 / paf_stride)

        found = decoder(PoseMaps(heatmaps, paf, 4, paf_stride))

        np.testing.assert_allclose(found.person_score, [expected] * (expected > 0), atol=1e-5)
        heights.append(expected)
    assert 5 < np.count_nonzero(heights) < 40


def row_of_peaks(skeleton: Skeleton, *places: dict[int, float]) -> PoseMaps:
    """One row of cells; for each keypoint the columns of its peaks, and how high they are.

    Every field points to the right, so every limb to the right scores exactly 1.
    """
    heatmaps = np.zeros((1, 40, len(places) + 1), np.float32)
    for keypoint, peaks in enumerate(places):
        heatmaps[0, list(peaks), keypoint] = list(peaks.values())
    pafs = np.zeros((1, 40, skeleton.paf_channels), np.float32)
    pafs[..., ::2] = 1
    return PoseMaps(heatmaps, pafs, 1, 1)


def columns(found: PersonKeypoints) -> list[list[float]]:
    """x of every keypoint of every person, -1 where there is none, sorted."""
    return sorted(np.where(found.score > 0, found.xy[..., 0], -1).tolist())


LONG = DecoderSettings(length_limit=99.0)
ANY_SIZE = DecoderSettings(length_limit=99.0, small_person=0.0)


def test_equal_limbs_go_to_the_stronger_peaks_then_to_the_first_in_reading_order() -> None:
    skeleton = skeleton_of(2, [(0, 1)])
    decoder = Decoder(skeleton, LONG)

    by_strength = decoder(row_of_peaks(skeleton, {2: 0.5, 6: 0.8}, {12: 0.3, 16: 0.4}))
    by_place = decoder(row_of_peaks(skeleton, {2: 0.5, 6: 0.5}, {12: 0.5, 16: 0.5}))

    assert columns(by_strength) == [[2, 12], [6, 16]]
    assert columns(by_place) == [[2, 12], [6, 16]]


def test_equal_limbs_of_two_kinds_go_by_the_skeletons_order() -> None:
    places = [{2: 0.5}, {12: 0.5}, {6: 0.5, 8: 0.9}]
    to_last = skeleton_of(3, [(0, 1), (0, 2), (2, 1)])
    # 0-1 first; then 0-2 takes the stronger of the two 2s; 2-1 of the other comes too late.
    found = Decoder(to_last, LONG)(row_of_peaks(to_last, *places))

    assert columns(found) == [[2, 12, 8]]


def test_the_best_limb_anywhere_comes_first_not_the_first_limb_of_the_skeleton() -> None:
    skeleton = skeleton_of(3, [(0, 1), (1, 2)])
    maps = row_of_peaks(skeleton, {2: 0.5, 4: 0.5}, {10: 0.5}, {16: 0.5})
    maps.heatmaps[0, 14, 1] = 0.5  # a second candidate of keypoint 1
    maps.pafs[0, :, 0] = 0.5
    maps.pafs[0, 12:, 0] = 0.6  # limbs 0-1 are weak, and best towards column 14
    maps.pafs[0, :, 2] = np.linspace(1, 0, 40)  # 1-2 is best from column 10

    same(Decoder(skeleton, LONG)(maps), decode(maps, skeleton, LONG))
    assert columns(Decoder(skeleton, LONG)(maps))[-1] == [4, 14, -1]
    assert columns(Decoder(skeleton, LONG)(maps))[0] == [2, 10, 16]


def test_two_halves_merge_only_if_they_share_no_keypoint() -> None:
    skeleton = skeleton_of(4, [(0, 1), (2, 3), (1, 2), (0, 3)])
    whole = row_of_peaks(skeleton, {2: 0.5}, {6: 0.5}, {10: 0.5}, {14: 0.5})
    whole.pafs[..., 4:] = 0
    whole.pafs[..., 4] = 0.3  # the bridge 1-2 comes last
    torn = row_of_peaks(skeleton, {2: 0.5, 8: 0.4}, {6: 0.5}, {10: 0.5}, {14: 0.5})
    torn.pafs[...] = 0
    torn.pafs[0, :7, 0] = 1  # 0 at column 2 with 1
    torn.pafs[0, 8:, 6] = 1  # 0 at column 8 with 3
    torn.pafs[0, 10:, 2] = 0.9  # 2 with 3
    torn.pafs[0, :, 4] = 0.3  # 1 with 2: each half has a 0 of its own

    assert columns(Decoder(skeleton, LONG)(whole)) == [[2, 6, 10, 14]]
    assert columns(Decoder(skeleton, LONG)(torn)) == [[2, 6, -1, -1], [8, -1, 10, 14]]


def test_a_limb_named_twice_or_backwards_adds_no_score() -> None:
    once, twice = skeleton_of(2, [(0, 1)]), skeleton_of(2, [(0, 1), (0, 1), (1, 0)])

    found = [
        Decoder(skeleton, ANY_SIZE)(row_of_peaks(skeleton, {2: 0.5}, {9: 0.5}))
        for skeleton in (once, twice)
    ]

    assert [people.person_score.tolist() for people in found] == [[1], [1]]


def test_a_persons_score_counts_missing_limbs_as_none() -> None:
    skeleton = skeleton_of(5, [(0, 1), (1, 2), (2, 3), (3, 4)])

    maps = row_of_peaks(skeleton, {2: 0.5}, {9: 0.5}, {15: 0.5}, {}, {})
    found = Decoder(skeleton, ANY_SIZE)(maps)

    np.testing.assert_allclose(found.person_score, [2 / 4])


@pytest.mark.parametrize("stride", [1, 8])
def test_a_small_person_is_less_certain_than_a_large_one(stride: int) -> None:
    skeleton = skeleton_of(2, [(0, 1)])
    row = row_of_peaks(skeleton, {2: 0.5, 20: 0.8}, {5: 0.5, 34: 0.8})
    row.pafs[0, 20:, 0] = 0.5
    maps = PoseMaps(row.heatmaps, row.pafs, stride, stride)

    any_size, by_size = Decoder(skeleton, ANY_SIZE)(maps), Decoder(skeleton, LONG)(maps)

    np.testing.assert_allclose(any_size.person_score, [1, 0.5])
    # Boxes of 14 x 0 and 3 x 0 cells: mean squares 98 and 4.5, beside 5 squared.
    np.testing.assert_allclose(by_size.person_score, [0.5 * 98 / 123, 4.5 / 29.5], rtol=1e-6)
    np.testing.assert_array_equal(by_size.xy, any_size.xy[::-1])


def test_pruning_does_not_look_at_the_size() -> None:
    skeleton = skeleton_of(2, [(0, 1)])
    maps = row_of_peaks(skeleton, {2: 0.5}, {5: 0.75})
    settings = DecoderSettings(length_limit=99.0, min_mean_score=1.125, small_person=1e6)

    assert len(Decoder(skeleton, settings)(maps)) == 1


def test_min_mean_score_is_limbs_and_keypoints_over_keypoints() -> None:
    skeleton = skeleton_of(2, [(0, 1)])
    maps = row_of_peaks(skeleton, {2: 0.5}, {9: 0.75})  # (1 + 0.5 + 0.75) / 2

    for limit, kept in ((1.125, 1), (1.126, 0)):
        settings = DecoderSettings(length_limit=99.0, min_mean_score=limit)
        assert len(Decoder(skeleton, settings)(maps)) == kept


def test_cell_share_drops_cells_far_below_the_threshold() -> None:
    skeleton = skeleton_of(2, [(0, 1)])
    heatmaps = np.zeros((5, 6, 3), np.float32)
    heatmaps[2, 1:5, :2] = np.array([[0.03, 0.09, 0.09, 0.03]]).T  # their top is above 0.1
    maps = PoseMaps(heatmaps, np.zeros((5, 6, 2), np.float32), 8, 8)

    for share, kept in ((0.8, 1), (0.95, 0)):
        assert len(Decoder(skeleton, DecoderSettings(cell_share=share))(maps)) == kept
