"""Ids over whole clips: drawn people who cross, leave, come back and are hidden for a while."""

from pathlib import Path

import numpy as np
import pytest
from moving import moving_scene
from tracking import clip_of_maps, follow

from bpnet.inference.tracking import Tracker
from bpnet.pose.skeleton import Skeleton

SKELETON = Path(__file__).resolve().parents[1] / "model_pose_config" / "bpnet_18joints.json"


@pytest.mark.parametrize("seed", [0, 101])
def test_ids_stay_with_people_for_300_frames(seed):
    skeleton = Skeleton.load(SKELETON)
    clip = clip_of_maps(moving_scene(seed), skeleton)
    assert len(clip.times) == 300
    score = follow(clip, Tracker(skeleton))
    assert score.true > 600
    assert score.idf1 >= 0.95


def test_a_scene_is_worth_tracking():
    scene = moving_scene(0)
    joints = scene.joints()
    inside = (joints[..., 2] > 0).any(axis=-1)  # (F, P)
    changes = np.diff(inside.astype(int), axis=0)
    assert (changes == 1).any()
    assert (changes == -1).any()
    x = joints[:, :, 11:13, 0].mean(axis=-1)
    order = np.sign(x[:, :, None] - x[:, None, :])
    crossed = (order.max(axis=0) > 0) & (order.min(axis=0) < 0)
    assert crossed[np.triu_indices(x.shape[1], 1)].sum() >= 3


def test_the_picture_shows_the_joints_that_the_maps_are_drawn_from():
    scene = moving_scene(3, size=(184, 328), frames=6)
    drawn = [joints for _, joints in scene.frames()]
    np.testing.assert_allclose(np.stack(drawn)[..., :2], scene.joints()[..., :2])
    images = [image for image, _ in moving_scene(3, size=(184, 328), frames=2).frames()]
    assert images[0].shape == (184, 328, 3)
