"""People found in the maps of drawn scenes, spoilt as a network's are."""

from collections.abc import Iterator

import numpy as np
from crowds import HEATMAP_NOISE, PAF_NOISE, add_false_peaks, spoil
from moving import MovingScene
from numpy.typing import NDArray
from scenes import LIMB_WIDTH, SIGMA, STRIDE

from bpnet.data.keypoints import KeypointReader
from bpnet.data.posed_body import KEYPOINTS
from bpnet.encode import draw_maps
from bpnet.pose.maps import PoseMaps
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category, DatasetSpec

STRENGTHS = (0.5, 1.0)  # of a keypoint or a limb
JITTER = 1.0  # pixels, standard deviation, of every keypoint in every frame
MISSING = 0.02  # share of the keypoints, in every frame anew
HIDDEN = 0.003  # share of the frames in which a person begins to be hidden as a whole
HIDDEN_FRAMES = (2, 11)  # for so many frames
FALSE_PEAKS = 1  # in each keypoint's channel of every frame
AT_ONCE = 25  # frames drawn together


def true_keypoints(scene: MovingScene, skeleton: Skeleton) -> NDArray[np.float32]:
    """(F, P, K, 3) the people of every frame: x, y in pixels, the third above 0 where seen.

    Now and then a person is hidden as a whole for some frames, by nothing in particular.
    """
    joints = scene.joints()
    rng = np.random.default_rng([scene.seed, 4])
    for frame, person in np.argwhere(rng.random(joints.shape[:2]) < HIDDEN):
        joints[frame : frame + rng.integers(*HIDDEN_FRAMES), person, :, 2] = 0
    category = Category(name="person", keypoints=list(KEYPOINTS))
    dataset = DatasetSpec(root_directory_path="", categories=[category])
    reader = KeypointReader.build(skeleton, dataset)
    return np.stack([reader.read(frame) for frame in joints])


def spoilt_maps(
    keypoints: NDArray[np.float32], skeleton: Skeleton, size: tuple[int, int], seed: int
) -> Iterator[PoseMaps]:
    """The maps of every frame's ``keypoints`` (F, P, K, 3), with a network's flaws."""
    rng = np.random.default_rng([seed, 3])
    shown = _flawed(rng, keypoints)
    for start in range(0, len(shown), AT_ONCE):
        heatmaps, pafs = draw_maps(
            shown[start : start + AT_ONCE],
            limbs=skeleton.limbs,
            map_height=size[0] // STRIDE,
            map_width=size[1] // STRIDE,
            stride=STRIDE,
            sigma=SIGMA,
            limb_width=LIMB_WIDTH,
        )
        for heat, paf in zip(np.asarray(heatmaps), np.asarray(pafs), strict=True):
            peaks = add_false_peaks(rng, heat[..., :-1], FALSE_PEAKS)
            noisy = spoil(rng, peaks, HEATMAP_NOISE, channels_of_one=1, strengths=STRENGTHS)
            background = 1 - noisy.max(axis=-1, keepdims=True)
            fields = spoil(rng, paf, PAF_NOISE, channels_of_one=2, strengths=STRENGTHS)
            yield PoseMaps(np.concatenate([noisy, background], axis=-1), fields, STRIDE, STRIDE)


def _flawed(rng: np.random.Generator, keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """``keypoints`` moved a little, some of them left out."""
    shown = keypoints.copy()
    shown[..., :2] += rng.normal(0, JITTER, shown[..., :2].shape)
    shown[..., 2] *= rng.random(shown.shape[:3]) >= MISSING
    return shown
