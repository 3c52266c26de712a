"""Maps of many people, with a network's flaws, for timing decoders without a network or images.

People in random poses and sizes stand in a 656x368 input: half of them face the camera, far sides
of faces are hidden, one keypoint in seven is missing, people overlap. Their maps are drawn as for
training, then spoilt as a network's are: every keypoint and limb of a channel has its own strength,
smooth noise lies over all cells, false peaks stand where nobody is. Lightweight OpenPose on COCO
gives 11 peaks a person found, half of them below 0.65, over noise of 0.002 (heatmaps) and 0.004
(PAFs) standard deviation; these maps have more of each: 14 peaks a person, noise of 0.01 and 0.02.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from scenes import SIGMA, STRIDE, draw_people

from bpnet.data.keypoints import KeypointReader
from bpnet.data.posed_body import KEYPOINTS, random_body
from bpnet.pose.maps import PoseMaps
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category, DatasetSpec

SIZE = (368, 656)  # height, width, pixels: maps of 46 x 82 cells
HEIGHTS = (70.0, 300.0)  # of people, pixels
LEAST_GAP = 20.0  # pixels between any two people's shoulders' middles
MISSING = 1 / 7  # share of the keypoints
STRENGTH = (0.15, 1.0)  # of a keypoint or a limb
STRENGTH_PATCH = 4  # cells over which the strength hardly changes
HEATMAP_NOISE, PAF_NOISE = 0.01, 0.02  # standard deviations
FALSE_PEAKS = 0.1  # a person, in each keypoint's channel
FALSE_STRENGTH = (0.08, 0.3)
SHOULDERS = [KEYPOINTS.index("left_shoulder"), KEYPOINTS.index("right_shoulder")]


def draw_crowd(skeleton: Skeleton, people: int, seed: int) -> PoseMaps:
    """Stride-8 maps of ``people`` people in a 656x368 input; ``skeleton`` has COCO's names."""
    rng = np.random.default_rng([seed, people])
    maps = draw_people(place_people(rng, skeleton, people), skeleton, SIZE)
    drawn = add_false_peaks(rng, maps.heatmaps[..., :-1], round(FALSE_PEAKS * people))
    heatmaps = spoil(rng, drawn, HEATMAP_NOISE, channels_of_one=1)
    background = 1 - heatmaps.max(axis=-1, keepdims=True)
    pafs = spoil(rng, maps.pafs, PAF_NOISE, channels_of_one=2)
    return PoseMaps(np.concatenate([heatmaps, background], axis=-1), pafs, STRIDE, STRIDE)


def place_people(rng: np.random.Generator, skeleton: Skeleton, people: int) -> NDArray[np.float32]:
    """Keypoints (people, K, 3) in pixels of the input, the third 1 where labelled."""
    height, width = SIZE
    joints: list[NDArray[np.float64]] = []
    while len(joints) < people:
        size = np.exp(rng.uniform(*np.log(HEIGHTS)))
        centre = (rng.uniform(0, width), rng.uniform(0.2, 0.8) * height)
        body = random_body(rng, height=size, centre=centre)
        middle = body.xy[SHOULDERS].mean(axis=0)
        gaps = [np.hypot(*(middle - one[SHOULDERS, :2].mean(axis=0))) for one in joints]
        if min(gaps, default=np.inf) < LEAST_GAP:
            continue
        inside = ((body.xy >= 0) & (body.xy <= [width - 1, height - 1])).all(axis=-1)
        seen = inside & body.facing & (rng.random(len(KEYPOINTS)) >= MISSING)
        joints.append(np.column_stack([body.xy, 2.0 * seen]))
    category = Category(name="person", keypoints=list(KEYPOINTS))
    dataset = DatasetSpec(root_directory_path="", categories=[category])
    return KeypointReader.build(skeleton, dataset).read(np.array(joints))


def fill_maps(skeleton: Skeleton, peaks: int, seed: int) -> PoseMaps:
    """The worst case: ``peaks`` peaks in every keypoint's channel, all pairs of them plausible.

    Every limb points to the right everywhere, and its end's peaks stand in a band of columns right
    of its start's: no pair is refused. ``skeleton`` must not have limbs in a circle.
    """
    rng = np.random.default_rng(seed)
    height, width = (side // STRIDE for side in SIZE)
    keypoints = len(skeleton.keypoints)
    band = [0] * keypoints
    for _ in range(keypoints):
        for start, end in skeleton.limbs:
            band[end] = max(band[end], band[start] + 1)
    columns = width // (max(band) + 1)
    heatmaps = np.zeros((height, width, keypoints + 1), np.float32)
    for keypoint in range(keypoints):
        first = band[keypoint] * columns
        places = np.mgrid[1:height:2, first + 1 : first + columns : 2].reshape(2, -1)
        chosen = places[:, rng.permutation(places.shape[1])[:peaks]]
        heatmaps[chosen[0], chosen[1], keypoint] = rng.uniform(0.3, 1, chosen.shape[1])
    pafs = np.zeros((height, width, skeleton.paf_channels), np.float32)
    pafs[..., ::2] = rng.uniform(0.8, 1, pafs[..., ::2].shape)
    return PoseMaps(heatmaps, pafs, STRIDE, STRIDE)


def add_false_peaks(
    rng: np.random.Generator, heatmaps: NDArray[np.float32], count: int
) -> NDArray[np.float32]:
    """``heatmaps`` (H, W, K) with ``count`` weak peaks in every channel."""
    height, width, keypoints = heatmaps.shape
    rows, columns = np.mgrid[:height, :width]
    changed = heatmaps.copy()
    for keypoint in range(keypoints):
        for _ in range(count):
            y, x = rng.uniform(0, height), rng.uniform(0, width)
            square = ((rows - y) ** 2 + (columns - x) ** 2) * (STRIDE / SIGMA) ** 2
            peak = rng.uniform(*FALSE_STRENGTH) * np.exp(-square / 2)
            changed[..., keypoint] = np.maximum(changed[..., keypoint], peak)
    return changed


def spoil(
    rng: np.random.Generator,
    maps: NDArray[np.float32],
    noise: float,
    *,
    channels_of_one: int,
    strengths: tuple[float, float] = STRENGTH,
) -> NDArray[np.float32]:
    """``maps`` (H, W, C), every patch of every channel of its own strength, under smooth noise.

    ``channels_of_one`` channels, x and y of a limb, share their strength.
    """
    height, width, channels = maps.shape
    shape = (-(-height // STRENGTH_PATCH), -(-width // STRENGTH_PATCH), channels // channels_of_one)
    strength = np.repeat(rng.uniform(*strengths, shape), channels_of_one, axis=-1)
    strength = cv2.resize(strength, (width, height), interpolation=cv2.INTER_LINEAR)
    blurred = cv2.GaussianBlur(rng.normal(size=maps.shape), (0, 0), 1.0)
    return np.asarray(maps * strength + blurred * (noise / blurred.std()), np.float32)
