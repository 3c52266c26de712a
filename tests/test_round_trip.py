"""Maps drawn from people, decoded, are the people again."""

import numpy as np
import pytest
from keras import ops

from bpnet.decode import Decoder
from bpnet.encode import draw_maps
from bpnet.pose.maps import PoseMaps
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category

STRIDE, SIGMA, LIMB_WIDTH = 8, 7.0, 8.0  # input pixels
CELLS = 46
SIZE = CELLS * STRIDE

# Places of the keypoints of an upright person (x, y), parts of its height, and the limbs.
BODY = [(0, 0.07), (0.03, 0.05), (-0.03, 0.05), (0.06, 0.07), (-0.06, 0.07)]  # nose, eyes, ears
BODY += [(0.12, 0.2), (-0.12, 0.2), (0.18, 0.36), (-0.18, 0.36), (0.2, 0.5), (-0.2, 0.5)]
BODY += [(0.09, 0.52), (-0.09, 0.52), (0.1, 0.74), (-0.1, 0.74), (0.11, 0.95), (-0.11, 0.95)]
COCO_LIMBS = [(15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7)]
COCO_LIMBS += [(6, 8), (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)]
# BodyPoseNet's tree: every limb from the neck outwards, the ears' to the shoulders not.
NECK = 17
NECK_LIMBS = [(NECK, 11), (11, 13), (13, 15), (NECK, 12), (12, 14), (14, 16), (NECK, 5), (5, 7)]
NECK_LIMBS += [(7, 9), (NECK, 6), (6, 8), (8, 10), (NECK, 0), (0, 1), (0, 2), (1, 3), (2, 4)]
HAND = [(0, 1.0)]
HAND += [
    (0.16 * (finger - 2), 0.75 - joint * 0.2 + 0.06 * abs(finger - 2))
    for finger in range(5)
    for joint in range(4)
]
HAND_LIMBS = [
    (0 if joint == 0 else finger * 4 + joint, finger * 4 + joint + 1)
    for finger in range(5)
    for joint in range(4)
]
SKELETONS = {
    "coco17": (BODY, COCO_LIMBS),
    "bodyposenet18": ([*BODY, (0, 0.2)], NECK_LIMBS),
    "hand21": (HAND, HAND_LIMBS),
    "toy2": ([(0, 0), (0.05, 0.5)], [(0, 1)]),
}


def skeleton_of(name):
    points, limbs = SKELETONS[name]
    pairs = [[start + 1, end + 1] for start, end in limbs]
    names = [f"point{number}" for number in range(len(points))]
    return Skeleton.from_category(Category(keypoints=names, skeleton=pairs), name)


def random_people(random, name, count):
    """People (P, K, 3) whose same keypoints keep 3 sigma from each other; some leave the image."""
    points = np.array(SKELETONS[name][0])
    people = []
    for _ in range(200):
        turn = random.normal(0, 0.4)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        xy = (points - points.mean(axis=0)) @ rotation.T * random.uniform(100, 320)
        xy = xy + random.normal(0, 3, xy.shape) + random.uniform(0, SIZE, 2)
        labelled = random.random(len(points)) < 0.9
        clear = all(
            (np.hypot(*(xy - other[:, :2]).T) >= 3 * SIGMA)[labelled & (other[:, 2] > 0)].all()
            for other in people
        )
        if clear:
            people.append(np.column_stack([xy, labelled]) * labelled[:, None])
        if len(people) == count:
            break
    return np.array(people, np.float32)


def linked_keypoints(person, limbs):
    """Which keypoints (K,) are an end of a limb inside the frame, to its outermost cell centres."""
    edge = (STRIDE - 1) / 2
    xy = person[:, :2]
    seen = (person[:, 2] > 0) & ((xy >= edge) & (xy <= SIZE - 1 - edge)).all(axis=-1)
    linked = np.zeros(len(person), bool)
    for start, end in limbs:
        linked[[start, end]] |= seen[start] & seen[end]
    return linked


@pytest.mark.parametrize("name", SKELETONS)
def test_nobody_is_lost_and_nothing_moves(name):
    random = np.random.default_rng(len(name))
    skeleton = skeleton_of(name)
    decode = Decoder(skeleton)
    errors, lost, linked, expected = [], 0, 0, 0
    for _ in range(24):
        people = random_people(random, name, 4)
        maps = draw_maps(
            people[None],
            limbs=skeleton.limbs,
            map_height=CELLS,
            map_width=CELLS,
            stride=STRIDE,
            sigma=SIGMA,
            limb_width=LIMB_WIDTH,
        )
        heatmaps, pafs = (ops.convert_to_numpy(one)[0] for one in maps)
        found = decode(PoseMaps(heatmaps, pafs, STRIDE, STRIDE))
        taken = set()
        for person in people:
            joined = linked_keypoints(person, skeleton.limbs)
            if not joined.any():
                continue
            linked += 1
            gaps = np.linalg.norm(found.xy - person[:, :2], axis=-1)  # (people found, K)
            agree = (found.score > 0) & joined & (gaps < SIGMA)
            best = int(agree.sum(axis=1).argmax()) if len(found) else 0
            if not agree.any() or best in taken:
                lost += 1
                continue
            taken.add(best)
            # An unlabelled keypoint between them can leave a person in two parts.
            errors.extend(np.min(gaps, axis=0, where=agree, initial=np.inf)[agree.any(axis=0)])
            expected += int(joined.sum())
    assert linked >= 20
    assert lost == 0
    assert np.mean(errors) <= 0.5
    assert len(errors) >= 0.97 * expected
