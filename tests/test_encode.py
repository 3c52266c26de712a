"""The targets against slow, obvious NumPy."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from bpnet.encode import draw_maps, person_scales

CHAIN = tuple((joint, joint + 1) for joint in range(4))
STAR = ((0, 1), (0, 2), (3, 0))


def slow_maps(keypoints, *, limbs, map_height, map_width, stride, sigma, limb_width, scales=None):
    scales = np.ones(keypoints.shape[:2]) if scales is None else scales
    images, _, joints, _ = keypoints.shape
    heatmaps = np.zeros((images, map_height, map_width, joints + 1))
    pafs = np.zeros((images, map_height, map_width, 2 * len(limbs)))
    unsure = np.zeros(pafs.shape, bool)  # cells so near a ribbon's edge that rounding decides
    for n, i, j in np.ndindex(images, map_height, map_width):
        x, y = stride * j + (stride - 1) / 2, stride * i + (stride - 1) / 2
        for joint in range(joints):
            for scale, (px, py, labelled) in zip(scales[n], keypoints[n, :, joint], strict=True):
                if labelled:
                    heat = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * (scale * sigma) ** 2))
                    heat = heat if heat >= 0.001 else 0
                    heatmaps[n, i, j, joint] = max(heatmaps[n, i, j, joint], heat)
        heatmaps[n, i, j, -1] = min(max(1 - heatmaps[n, i, j, :-1].max(), 0), 1)
        for limb, (start, end) in enumerate(limbs):
            vectors = []
            for scale, person in zip(scales[n], keypoints[n], strict=True):
                (ax, ay, a_labelled), (bx, by, b_labelled) = person[start], person[end]
                length = np.hypot(bx - ax, by - ay)
                if not (a_labelled and b_labelled) or length == 0:
                    continue
                ux, uy = (bx - ax) / length, (by - ay) / length
                along = (x - ax) * ux + (y - ay) * uy
                beside = (x - ax) * uy - (y - ay) * ux
                past_the_ends = max(-along, along - length)
                edge = max(past_the_ends, abs(beside)) - scale * limb_width
                unsure[n, i, j, 2 * limb : 2 * limb + 2] |= abs(edge) < 1e-3
                if edge <= 0:
                    vectors.append((ux, uy))
            if vectors:
                pafs[n, i, j, 2 * limb : 2 * limb + 2] = np.mean(vectors, axis=0)
    return heatmaps, pafs, unsure


def random_people(seed, *, images, people, joints, size):
    random = np.random.default_rng(seed)
    xy = random.uniform(-0.3 * size, 1.3 * size, (images, people, joints, 2))
    xy[:, 1] = xy[:, 0] + random.normal(0, 3, xy[:, 0].shape)  # two people on top of each other
    labelled = random.random((images, people, joints, 1)) < 0.8
    return (np.concatenate([xy, labelled], axis=-1) * labelled).astype(np.float32)


@pytest.mark.parametrize(
    ("limbs", "joints", "stride"),
    [(CHAIN, 5, 8), (STAR, 4, 8), (((0, 1),), 2, 4), (((1, 0), (0, 1)), 3, 8)],
)
@pytest.mark.parametrize(("compiled", "people"), [(False, 5), (True, 11)])
def test_maps_equal_the_slow_ones(limbs, joints, stride, compiled, people):
    keypoints = random_people(joints, images=2, people=people, joints=joints, size=96)
    how = {"limbs": limbs, "map_height": 96 // stride, "map_width": 112 // stride}
    how |= {"stride": stride, "sigma": 7.0, "limb_width": 8.0}

    def draw(keypoints):
        return draw_maps(keypoints, **how)

    if compiled:
        open_shape = tf.TensorSpec((None, None, joints, 3))
        heatmaps, pafs = tf.function(draw, input_signature=[open_shape])(keypoints)
    else:
        heatmaps, pafs = draw(keypoints)
    slow_heatmaps, slow_pafs, unsure = slow_maps(keypoints, **how)
    near_threshold = np.abs(slow_heatmaps - 0.001) < 1e-5
    assert unsure.mean() < 0.001
    np.testing.assert_allclose(
        np.where(near_threshold, slow_heatmaps, heatmaps), slow_heatmaps, atol=1e-5
    )
    np.testing.assert_allclose(np.where(unsure, slow_pafs, pafs), slow_pafs, atol=1e-5)


def test_people_of_their_own_scale_equal_the_slow_ones():
    keypoints = random_people(1, images=2, people=4, joints=5, size=96)
    how = {"limbs": CHAIN, "map_height": 12, "map_width": 12, "stride": 8}
    how |= {"sigma": 7.0, "limb_width": 8.0}
    how |= {"scales": np.random.default_rng(2).uniform(0.4, 2, (2, 4)).astype(np.float32)}
    heatmaps, pafs = draw_maps(keypoints, **how)
    slow_heatmaps, slow_pafs, unsure = slow_maps(keypoints, **how)
    near_threshold = np.abs(slow_heatmaps - 0.001) < 1e-5
    np.testing.assert_allclose(
        np.where(near_threshold, slow_heatmaps, heatmaps), slow_heatmaps, atol=1e-5
    )
    np.testing.assert_allclose(np.where(unsure, slow_pafs, pafs), slow_pafs, atol=1e-5)


def test_a_person_is_as_large_as_the_longer_side_of_the_labelled_box():
    unlabelled = [900, 900, 0]
    tall = [[10, 20, 1], [30, 84, 1], unlabelled]  # 20 x 64
    wide = [[10, 20, 1], [42, 20, 1], unlabelled]  # 32 x 0
    huge = [[0, 0, 1], [0, 999, 1], unlabelled]
    point, nobody = [[5, 5, 1], unlabelled, unlabelled], [unlabelled] * 3
    keypoints = np.array([[tall, wide, huge, point, nobody]], np.float32)
    scales = person_scales(keypoints, reference=64, least=0.25, most=1.5)
    assert keras.ops.convert_to_numpy(scales).tolist() == [[1, 0.5, 1.5, 0.25, 0.25]]


def test_maps_under_xla_are_the_same():
    keypoints = random_people(0, images=2, people=11, joints=5, size=96)
    how = {"limbs": CHAIN, "map_height": 12, "map_width": 12, "stride": 8}
    how |= {"sigma": 7.0, "limb_width": 8.0}

    def draw(keypoints):
        scales = person_scales(keypoints, reference=64, least=0.5, most=1.5)
        return draw_maps(keypoints, scales=scales, **how)

    compiled = tf.function(draw, jit_compile=True)(keypoints)
    for one, other in zip(draw(keypoints), compiled, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("backend", "needed"),
    # Keras' NumPy back end imports JAX's.
    [("numpy", "jax"), ("jax", "jax"), ("torch", "torch")],
)
def test_other_back_ends_draw_the_same(tmp_path, backend, needed):
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"Keras' {backend} back end needs {needed}, which is not installed")
    keypoints = random_people(0, images=2, people=11, joints=5, size=96)
    how = {"limbs": CHAIN, "map_height": 12, "map_width": 12, "stride": 8}
    how |= {"sigma": 7.0, "limb_width": 8.0}
    np.save(tmp_path / "keypoints.npy", keypoints)
    program = f"""
import numpy as np, keras
from bpnet.encode import draw_maps, person_scales
assert keras.backend.backend() == {backend!r}
keypoints = keras.ops.convert_to_tensor(np.load("keypoints.npy"))
scales = person_scales(keypoints, reference=64, least=0.5, most=1.5)
maps = draw_maps(keypoints, scales=scales, **{how!r})
np.savez("maps.npz", *[keras.ops.convert_to_numpy(one) for one in maps])
"""
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    scales = person_scales(keypoints, reference=64, least=0.5, most=1.5)
    drawn = np.load(tmp_path / "maps.npz")
    for one, name in zip(draw_maps(keypoints, scales=scales, **how), drawn.files, strict=True):
        np.testing.assert_allclose(drawn[name], one, atol=1e-5)


def test_a_keypoint_on_a_cell_centre_is_one_and_the_background_zero():
    keypoints = np.array([[[[11.5, 3.5, 1], [0, 0, 0]]]], np.float32)
    heatmaps, pafs = draw_maps(
        keypoints, limbs=((0, 1),), map_height=4, map_width=4, stride=8, sigma=7, limb_width=8
    )
    heatmaps = keras.ops.convert_to_numpy(heatmaps)
    assert heatmaps[0, 0, 1].tolist() == [1, 0, 0]
    assert not heatmaps[..., 1].any()
    assert not keras.ops.convert_to_numpy(pafs).any()  # one end is not labelled


def test_a_limb_of_no_length_is_not_drawn():
    keypoints = np.full((1, 1, 2, 3), 16, np.float32)
    heatmaps, pafs = draw_maps(
        keypoints, limbs=((0, 1),), map_height=4, map_width=4, stride=8, sigma=7, limb_width=8
    )
    assert np.isfinite(keras.ops.convert_to_numpy(heatmaps)).all()
    assert not keras.ops.convert_to_numpy(pafs).any()


def test_two_people_in_one_limb_share_its_cells():
    right, down = [[11.5, 11.5, 1], [27.5, 11.5, 1]], [[19.5, 3.5, 1], [19.5, 19.5, 1]]
    _, pafs = draw_maps(
        np.array([[right, down]], np.float32),
        limbs=((0, 1),),
        map_height=4,
        map_width=4,
        stride=8,
        sigma=7,
        limb_width=4,
    )
    cells = keras.ops.convert_to_numpy(pafs)[0]
    assert cells[1, 2].tolist() == [0.5, 0.5]
    assert cells[1, 1].tolist() == [1, 0]
    assert cells[0, 2].tolist() == [0, 1]
