"""However bad the maps, the work is bounded, and what was left out is counted."""

import numpy as np
import pytest
from decode_oracle import skeleton_of
from numpy.typing import NDArray

from bpnet.decode import Decoder, DecoderSettings
from bpnet.pose.maps import PoseMaps

PAIR = skeleton_of(2, [(0, 1)])


def spots(height: int, width: int, seed: int = 3) -> NDArray[np.float32]:
    """A peak in every second cell of every second row, no two as high."""
    random = np.random.default_rng(seed)
    heatmap = np.zeros((height, width), np.float32)
    places = heatmap[::2, ::2]
    places.flat = random.permutation(np.linspace(0.2, 0.9, places.size))
    return heatmap


def pair_maps(heatmap: NDArray[np.float32]) -> PoseMaps:
    """Each peak twice, on one spot, so that it is a person of two keypoints."""
    heatmaps = np.stack([heatmap, heatmap, np.zeros_like(heatmap)], axis=-1)
    return PoseMaps(heatmaps, np.zeros((*heatmap.shape, 2), np.float32), 1, 1)


def test_of_10000_peaks_the_strongest_are_kept_and_the_others_counted() -> None:
    heatmap = spots(200, 200)

    people = Decoder(PAIR, DecoderSettings(max_peaks=50))(pair_maps(heatmap))

    strongest = np.argsort(heatmap, axis=None)[-50:]
    rows, columns = np.unravel_index(strongest, heatmap.shape)
    assert people.dropped_peaks == 2 * (10000 - 50)
    cells = np.round(people.xy[:, 0]).astype(int)
    assert {(x, y) for x, y in cells.tolist()} == set(
        zip(columns.tolist(), rows.tolist(), strict=True)
    )


def test_10000_peaks_may_all_be_wanted() -> None:
    heatmaps = np.stack([spots(200, 200), np.zeros((200, 200), np.float32)], axis=-1)
    lone = skeleton_of(1, [])
    pafs = np.zeros((200, 200, 0), np.float32)

    people = Decoder(lone, DecoderSettings(max_peaks=10000))(PoseMaps(heatmaps, pafs, 1, 1))

    assert (len(people), people.dropped_peaks) == (0, 0)  # no limb, so no person


def test_which_peaks_are_kept_does_not_depend_on_their_place() -> None:
    maps = pair_maps(spots(30, 41))
    turned = PoseMaps(maps.heatmaps[::-1, ::-1], maps.pafs, 1, 1)
    decoder = Decoder(PAIR, DecoderSettings(max_peaks=20))

    people, others = decoder(maps), decoder(turned)

    assert people.dropped_peaks == others.dropped_peaks == 2 * (15 * 21 - 20)
    np.testing.assert_array_equal(np.sort(people.score[:, 0]), np.sort(others.score[:, 0]))


def test_only_peaks_above_the_threshold_count_as_dropped() -> None:
    heatmap = np.zeros((3, 40), np.float32)
    heatmap[1, 2::4] = np.linspace(0.05, 0.5, 10)  # 0.05 is below the threshold
    decoder = Decoder(PAIR, DecoderSettings(heatmap_threshold=0.09, max_peaks=4))

    assert decoder(pair_maps(heatmap)).dropped_peaks == 2 * (9 - 4)
    assert decoder(pair_maps(heatmap * np.float32(0.1))).dropped_peaks == 0


def test_flat_maps_have_one_peak_a_keypoint() -> None:
    board = (np.indices((40, 50)).sum(axis=0) % 2).astype(np.float32)  # all corners touch
    decoder = Decoder(PAIR)

    for heatmap in (np.full((40, 50), 0.9, np.float32), board):
        people = decoder(pair_maps(heatmap))
        assert (len(people), people.dropped_peaks) == (1, 0)


def test_peaks_everywhere_in_a_large_skeleton_give_no_more_than_the_caps_allow() -> None:
    random = np.random.default_rng(8)
    ends = random.integers(0, 133, (200, 2))
    limbs = [(int(a), int(b)) for a, b in ends if a != b]
    heatmaps = np.stack([spots(24, 24, seed) for seed in range(134)], axis=-1)
    pafs = np.full((24, 24, 2 * len(limbs)), 0.7, np.float32)  # all agree with half of the pairs
    settings = DecoderSettings(max_peaks=12)

    people = Decoder(skeleton_of(133, limbs), settings)(PoseMaps(heatmaps, pafs, 8, 8))

    found = people.score > 0
    assert people.dropped_peaks == 133 * (144 - 12)
    assert (found.sum(axis=0) <= 12).all()
    assert found.sum() > 1000
    assert 12 <= len(people) <= found.sum() // 2


@pytest.mark.parametrize("strides", [(1e30, 1e-30), (3e38, 1e-3), (np.nan, 8), (8, np.inf), (8, 0)])
def test_strides_beyond_all_measure_are_refused(strides: tuple[float, float]) -> None:
    maps = pair_maps(spots(8, 8))

    with pytest.raises(ValueError, match="strides"):
        Decoder(PAIR)(PoseMaps(maps.heatmaps, maps.pafs, *strides))


@pytest.mark.parametrize("strides", [(65536, 1 / 1024), (1 / 1024, 65536)])
def test_the_most_different_strides_give_finite_people(strides: tuple[float, float]) -> None:
    maps = pair_maps(spots(8, 8))

    people = Decoder(PAIR)(PoseMaps(maps.heatmaps, maps.pafs, *strides))

    assert np.isfinite(people.xy).all()
    assert np.isfinite(people.person_score).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"length_limit": np.nan},
        {"samples_per_cell": -np.inf},
        {"max_samples": 2**31 - 1},
        {"max_peaks": 2**64 - 1},
        {"short_limb_score": 3e38},
        {"length_limit": -0.5},
        {"small_person": np.nan},
        {"small_person": -1.0},
    ],
)
def test_settings_beyond_all_measure_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"finite|max_samples|max_peaks|0 or more"):
        DecoderSettings(**wrong)


@pytest.mark.parametrize("extreme", [-1e6, 0, 1e6])
def test_extreme_settings_give_finite_scores(extreme: float) -> None:
    settings = DecoderSettings(
        paf_threshold=-1e6,
        min_sample_share=extreme,
        samples_per_cell=abs(extreme),
        short_limb=extreme,
        short_limb_score=extreme,
        length_limit=abs(extreme),
        min_mean_score=-1e6,
        small_person=abs(extreme),
    )
    maps = pair_maps(spots(8, 8))
    maps.pafs[...] = 9e5

    people = Decoder(PAIR, settings)(maps)

    assert np.isfinite(people.person_score).all()
    assert (np.diff(people.person_score) <= 0).all()


def test_more_candidates_than_32_bits_count_are_refused() -> None:
    settings = DecoderSettings(max_peaks=10000)  # 10^8 pairs a limb
    limbs = [(index, index + 1) for index in range(43)]

    Decoder(skeleton_of(44, limbs[:42]), settings)
    with pytest.raises(ValueError, match=r"max_peaks is too large .* below 2\^32"):
        Decoder(skeleton_of(44, limbs), settings)
