import cv2
import numpy as np
import pytest
from decode_oracle import find_peaks, score_limb, skeleton_of
from numpy.typing import NDArray

from bpnet.decode import Decoder, DecoderSettings
from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints


def decode_copies(heatmap: NDArray[np.float32], **settings: float) -> PersonKeypoints:
    """The peaks of one heatmap, each as a person of two keypoints on one spot.

    A limb of no length joins each peak of the first channel with its copy in the second.
    """
    heatmaps = np.stack([heatmap, heatmap, np.zeros_like(heatmap)], axis=-1)
    pafs = np.zeros((*heatmap.shape, 2), np.float32)
    decoder = Decoder(skeleton_of(2, [(0, 1)]), DecoderSettings(**settings))
    return decoder(PoseMaps(heatmaps, pafs, 1, 1))


def decode_pair(paf: NDArray[np.float32], start: tuple[int, int], end: tuple[int, int], **settings):
    """People of a skeleton of one limb, one candidate at each end; cells are (x, y)."""
    heatmaps = np.zeros((*paf.shape[:2], 3), np.float32)
    heatmaps[start[1], start[0], 0] = heatmaps[end[1], end[0], 1] = 0.8
    decoder = Decoder(skeleton_of(2, [(0, 1)]), DecoderSettings(small_person=0.0, **settings))
    return decoder(PoseMaps(heatmaps, paf, 1, 1))


@pytest.mark.parametrize("steps", [1000, 6])  # 6: plateaus everywhere
def test_peaks_are_those_of_the_oracle(steps: int) -> None:
    random = np.random.default_rng(7)
    for _ in range(20):
        heatmap = np.round(random.random((11, 14)) * steps) / steps
        expected = np.array(sorted(find_peaks(heatmap.astype(np.float32).astype(float), 0.5)))

        found = decode_copies(heatmap.astype(np.float32), heatmap_threshold=0.5)

        rows = np.column_stack([found.xy[:, 0], found.score[:, 0]])
        np.testing.assert_allclose(rows[np.lexsort(rows.T[::-1])], expected, atol=2e-4)


def test_the_top_of_a_gaussian_is_found_between_cells() -> None:
    rows, columns = np.mgrid[:9, :9]
    heatmap = 0.7 * np.exp(-((columns - 4.3) ** 2 + (rows - 3.6) ** 2) / (2 * 0.875**2))

    found = decode_copies(heatmap.astype(np.float32))

    np.testing.assert_allclose(found.xy, [[[4.3, 3.6]] * 2], atol=1e-4)
    np.testing.assert_allclose(found.score, [[0.7, 0.7]], atol=1e-4)


def test_a_plateau_has_one_peak() -> None:
    heatmap = np.zeros((7, 9), np.float32)
    heatmap[1, [2, 6]] = 0.5  # the tips of a V: both are first in their own surroundings
    heatmap[2, [3, 5]] = 0.5
    heatmap[3, 4] = 0.5

    assert len(decode_copies(heatmap)) == 1


def test_a_plateau_below_a_higher_cell_is_no_peak() -> None:
    heatmap = np.zeros((5, 9), np.float32)
    heatmap[2, 2:6] = 0.5
    heatmap[2, 6] = 0.6

    found = decode_copies(heatmap)

    assert len(found) == 1
    assert found.xy[0, 0, 0] > 5


def test_the_threshold_is_for_the_top_between_the_cells() -> None:
    heatmap = np.zeros((5, 6), np.float32)
    heatmap[2, 1:5] = [0.03, 0.09, 0.09, 0.03]  # its top is above 0.1

    assert len(decode_copies(heatmap, heatmap_threshold=0.1)) == 1
    assert len(decode_copies(heatmap, heatmap_threshold=0.11)) == 0


def test_the_strongest_peaks_are_kept() -> None:
    heatmap = np.zeros((3, 40), np.float32)
    heatmap[1, 2::4] = np.linspace(0.2, 0.9, 10)

    found = decode_copies(heatmap, max_peaks=3)

    np.testing.assert_allclose(np.sort(found.score[:, 0]), np.linspace(0.2, 0.9, 10)[-3:])
    assert found.dropped_peaks == 2 * 7  # of both channels
    assert decode_copies(heatmap, max_peaks=10).dropped_peaks == 0


def test_doubled_heatmaps_have_the_peaks_of_an_opencv_resize() -> None:
    random = np.random.default_rng(5)
    heatmap = random.random((9, 13), np.float32)
    doubled = cv2.resize(heatmap, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    expected = np.array(sorted(find_peaks(doubled.astype(float), 0.5)))
    expected[:, :2] = expected[:, :2] / 2 - 0.25

    found = decode_copies(heatmap, heatmap_threshold=0.5, refine=2)

    rows = np.column_stack([found.xy[:, 0], found.score[:, 0]])
    np.testing.assert_allclose(rows[np.lexsort(rows.T[::-1])], expected, atol=1e-3)


def test_limbs_score_as_the_oracle_says() -> None:
    random = np.random.default_rng(3)
    found = 0
    for _ in range(200):
        paf = (random.normal(0.3, 0.3, (13, 17, 2))).astype(np.float32)
        start, end = random.integers(1, 12, 2), random.integers(1, 12, 2)
        if np.hypot(*(end - start)) < 2:
            continue
        settings = DecoderSettings(min_mean_score=0)
        expected = score_limb(paf, start * 1.0, end * 1.0, settings)

        people = decode_pair(paf, tuple(start), tuple(end), min_mean_score=0)

        assert len(people) == (expected > 0)
        if expected > 0:
            found += 1
            np.testing.assert_allclose(people.person_score, [expected], atol=1e-5)
    assert 20 < found < 150  # both outcomes were met


def test_a_limb_as_long_as_the_input_is_still_one() -> None:
    paf = np.zeros((40, 9, 2), np.float32)
    paf[..., 1] = 0.4  # of a network that is none too certain

    short, long = decode_pair(paf, (4, 5), (4, 20)), decode_pair(paf, (4, 0), (4, 39))

    np.testing.assert_allclose(short.person_score, [0.4], atol=1e-6)
    np.testing.assert_allclose(long.person_score, [0.4 * 20 / 39], atol=1e-6)


def test_a_limb_against_its_field_is_none() -> None:
    paf = np.zeros((9, 9, 2), np.float32)
    paf[..., 0] = 1

    assert len(decode_pair(paf, (1, 4), (7, 4))) == 1
    assert len(decode_pair(paf, (7, 4), (1, 4))) == 0


def test_paf_threshold_and_share_take_effect() -> None:
    paf = np.zeros((9, 20, 2), np.float32)
    paf[:, :14, 0] = 0.3  # of the way from 1 to 18, the first three quarters

    assert len(decode_pair(paf, (1, 4), (18, 4), length_limit=9.0)) == 0
    assert len(decode_pair(paf, (1, 4), (18, 4), length_limit=9.0, min_sample_share=0.7)) == 1
    assert len(decode_pair(paf, (1, 4), (9, 4), length_limit=9.0, paf_threshold=0.29)) == 1
    assert len(decode_pair(paf, (1, 4), (9, 4), length_limit=9.0, paf_threshold=0.31)) == 0
