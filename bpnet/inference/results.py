"""People as the blocks of detections.json and of its lines."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bpnet.pose.persons import PersonKeypoints
    from bpnet.pose.skeleton import Skeleton


def pose_block(skeleton: "Skeleton", label: str = "person") -> dict[str, Any]:
    """The skeleton as the head of detections.json: TAO's pose config, and our optional keys.

    So the file alone says how to draw and to evaluate its people.

    Args:
        skeleton: The skeleton.
        label: Name of what has it.
    """
    return {
        "pose_config_type": skeleton.name,
        "categories": [
            {
                "supercategory": label,
                "id": 1,
                "name": label,
                "num_joints": len(skeleton.keypoints),
                "keypoints": list(skeleton.keypoints),
                "skeleton": [[start + 1, end + 1] for start, end in skeleton.limbs],
                "sigmas": list(skeleton.sigmas),
                "mirror": [
                    [skeleton.keypoints[index], skeleton.keypoints[other]]
                    for index, other in enumerate(skeleton.mirror)
                    if index < other
                ],
                "derived": {name: list(means) for name, means in skeleton.derived.items()},
                "colors": ["#" + bytes(color).hex() for color in skeleton.colors],
            }
        ],
    }


def persons_block(persons: "PersonKeypoints") -> dict[str, Any]:
    """``keypoints`` [P][K][x, y] in pixels, ``keypoint_scores`` [P][K] and ``scores`` [P].

    Of tracked people also ``ids`` [P].
    """
    ids = {} if persons.ids is None else {"ids": persons.ids.tolist()}
    return {
        **ids,
        "keypoints": [[_rounded(xy) for xy in person] for person in persons.xy.tolist()],
        "keypoint_scores": [_rounded(person) for person in persons.score.tolist()],
        "scores": _rounded(persons.person_score.tolist()),
    }


def _rounded(numbers: list[float]) -> list[float]:
    """Four decimals: a float32 printed in full says more than it knows."""
    return [round(number, 4) for number in numbers]
