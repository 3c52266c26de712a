"""The one-euro filter: steady at rest, quick in motion, the same at every size and frame rate."""

import numpy as np
import pytest

from bpnet.inference.smoothing import OneEuroFilter

FILTER = OneEuroFilter(cutoff=0.5, speed_gain=16.0)


def run(xy, *, gap=1 / 30, size=100.0, filter_=FILTER):
    """One keypoint (F, 2) through the filter."""
    before, speed = np.asarray(xy, float)[None, None, 0], np.zeros((1, 1, 2))
    smoothed = [before[0, 0]]
    for point in np.asarray(xy, float)[1:]:
        before, speed = filter_.step(
            point[None, None],
            before=before,
            speed=speed,
            elapsed=np.full((1, 1), gap),
            size=np.array([size]),
        )
        smoothed.append(before[0, 0])
    return np.array(smoothed)


NOISE = np.random.default_rng(0).normal(0, 1.0, (300, 2))


def test_a_person_at_rest_hardly_trembles():
    smoothed = run(np.add(NOISE, [50, 80]))
    assert smoothed[30:].std(axis=0).max() < 0.5 * NOISE[30:].std(axis=0).min()
    np.testing.assert_allclose(smoothed[30:].mean(axis=0), [50, 80], atol=0.2)


def test_a_fast_hand_lags_less_than_with_a_fixed_cutoff():
    way = np.column_stack([300 * np.arange(60) / 30, np.zeros(60)])  # three sizes a second
    lag = (way - run(way))[-1, 0]
    fixed = (way - run(way, filter_=OneEuroFilter(cutoff=0.5, speed_gain=0.0)))[-1, 0]
    assert 0 < lag < 0.15 * fixed


def test_the_image_size_does_not_matter():
    way = NOISE * [3, 1] + np.arange(300)[:, None]
    large = run(4 * way, size=400)
    np.testing.assert_allclose(large, 4 * run(way, size=100), atol=1e-9)


def test_half_the_frame_rate_smooths_as_much():
    step = np.where(np.arange(240) < 20, 0.0, 10.0)[:, None] * [1, 0]
    fast, slow = run(step, gap=1 / 60), run(step[::2], gap=1 / 30)
    np.testing.assert_allclose(slow[12:], fast[24::2], atol=1.2)  # of a step of 10
    np.testing.assert_allclose(slow[-1], fast[-1], atol=0.01)


def test_a_keypoint_that_comes_back_starts_anew():
    smoothed, speed = FILTER.step(
        np.full((1, 2, 2), 90.0),
        before=np.zeros((1, 2, 2)),
        speed=np.full((1, 2, 2), 7.0),
        elapsed=np.array([[np.inf, 0.05]]),
        size=np.array([100.0]),
    )
    assert smoothed[0, 0].tolist() == [90, 90]
    assert speed[0, 0].tolist() == [0, 0]
    assert (smoothed[0, 1] < 90).all()


def test_two_frames_of_one_time_are_no_error():
    smoothed, _ = FILTER.step(
        np.full((1, 1, 2), 5.0),
        before=np.zeros((1, 1, 2)),
        speed=np.zeros((1, 1, 2)),
        elapsed=np.zeros((1, 1)),
        size=np.ones(1),
    )
    assert smoothed[0, 0] == pytest.approx([0, 0])
