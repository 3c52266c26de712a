"""The body of a drawn person: joints in 3D, a random pose or a step, its projection.

Body frame: x to the person's left, y down, z forward; lengths in body heights. Image frame: pixels,
the centre of the top-left pixel (0, 0); depth grows toward the camera.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
    "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip

# The keypoint next to each: whoever sees it can guess where a hidden one is.
NEIGHBOUR = (1, 0, 0, 1, 2, 6, 5, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14)

# Points of the head from its centre, in body heights.
FACE = {
    "nose": (0, 0.012, 0.078),
    "left_eye": (0.03, -0.016, 0.062), "right_eye": (-0.03, -0.016, 0.062),
    "left_ear": (0.066, 0.0, 0.0), "right_ear": (-0.066, 0.0, 0.0), "crown": (0, -0.09, 0),
}  # fmt: skip


@dataclass(frozen=True)
class Body:
    """A posed person in the image.

    Attributes:
        xy: (17, 2) pixels of the COCO keypoints.
        facing: (17,) False for face keypoints that the head itself hides.
        points: other projected points by name, pixels and depth: (x, y, z).
        height: pixels of an upright body of this size.
        forward: how much the head faces the camera, -1 to 1, and where its face points in x.
    """

    xy: Array
    facing: NDArray[np.bool_]
    points: dict[str, Array]
    height: float
    forward: Array


def _turn(x: float, y: float, z: float) -> Array:
    """Rotation by degrees: about x (what stands bends forward), then z, then y (turns)."""
    ax, ay, az = np.radians([-x, y, z])
    about_x = np.array([[1, 0, 0], [0, np.cos(ax), -np.sin(ax)], [0, np.sin(ax), np.cos(ax)]])
    about_z = np.array([[np.cos(az), -np.sin(az), 0], [np.sin(az), np.cos(az), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(ay), 0, np.sin(ay)], [0, 1, 0], [-np.sin(ay), 0, np.cos(ay)]])
    return np.asarray(about_y @ about_z @ about_x)


def _limb_angles(rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Degrees of each joint, by a random activity: (forward, outward); bends stand in forward."""
    activity = rng.choice(["stand", "walk", "reach", "sit", "free"], p=[0.28, 0.3, 0.2, 0.1, 0.12])
    swing = rng.uniform(10, 40) * rng.choice([-1, 1])
    angles: dict[str, tuple[float, float]] = {}
    for side, sign in (("left", 1), ("right", -1)):
        arm = (rng.uniform(-15, 25), rng.uniform(5, 25))
        elbow = rng.uniform(0, 40)
        leg = (rng.uniform(-8, 8), rng.uniform(0, 12))
        knee = rng.uniform(0, 12)
        if activity == "walk":
            arm = (-sign * swing + rng.uniform(-8, 8), rng.uniform(3, 15))
            elbow = rng.uniform(10, 80)
            leg = (sign * swing * 0.8, rng.uniform(0, 6))
            knee = rng.uniform(5, 20) if sign * swing > 0 else rng.uniform(15, 70)
        elif activity == "sit":
            leg = (rng.uniform(65, 95), rng.uniform(0, 20))
            knee = rng.uniform(70, 100)
            arm = (rng.uniform(0, 50), rng.uniform(5, 30))
            elbow = rng.uniform(20, 90)
        elif activity == "reach" or (activity == "free" and rng.random() < 0.6):
            arm = (rng.uniform(-30, 120), rng.uniform(15, 150))
            elbow = rng.uniform(0, 110)
        if activity == "free":
            leg = (rng.uniform(-25, 60), rng.uniform(0, 35))
            knee = rng.uniform(0, 80)
        angles |= {f"{side}_arm": arm, f"{side}_elbow": (elbow, 0.0)}
        angles |= {f"{side}_leg": leg, f"{side}_knee": (knee, 0.0)}
    return angles


def _random_joints(rng: np.random.Generator) -> tuple[dict[str, Array], Array]:
    """Joints in the body frame, before the body is turned; the head's rotation."""
    angles = _limb_angles(rng)
    build = rng.uniform(0.88, 1.14)  # shoulder and hip width
    trunk = _turn(rng.uniform(-8, 22), rng.uniform(-12, 12), rng.uniform(-10, 10))
    head = trunk @ _turn(rng.uniform(-18, 12), rng.uniform(-50, 50), rng.uniform(-12, 12))
    return _joints(angles, build, trunk, head), head


def _joints(
    angles: dict[str, tuple[float, float]], build: float, trunk: Array, head: Array
) -> dict[str, Array]:
    """Joints in the body frame, before the body is turned."""
    joints = {"pelvis": np.zeros(3), "neck": trunk @ np.array([0, -0.31, 0])}
    joints["head"] = joints["neck"] + head @ np.array([0, -0.115, 0.012])
    down = np.array([0.0, 1.0, 0.0])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        shoulder = trunk @ np.array([sign * 0.118 * build, -0.285, 0])
        hip = np.array([sign * 0.072 * build, 0.005, 0])
        forward, outward = angles[f"{side}_arm"]
        upper = trunk @ _turn(-forward, 0, -sign * outward)
        elbow = shoulder + upper @ down * 0.165
        fore = upper @ _turn(-angles[f"{side}_elbow"][0], 0, 0)
        forward, outward = angles[f"{side}_leg"]
        thigh = _turn(-forward, 0, -sign * outward)
        knee = hip + thigh @ down * 0.235
        shin = thigh @ _turn(angles[f"{side}_knee"][0], 0, 0)
        ankle = knee + shin @ down * 0.235
        joints |= {
            f"{side}_shoulder": shoulder, f"{side}_elbow": elbow,
            f"{side}_wrist": elbow + fore @ down * 0.145,
            f"{side}_hand": elbow + fore @ down * 0.19,
            f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankle,
            f"{side}_toe": ankle + shin @ np.array([0, 0.03, 0.075]),
        }  # fmt: skip
    return joints | {name: joints["head"] + head @ np.array(at) for name, at in FACE.items()}


def random_body(rng: np.random.Generator, *, height: float, centre: tuple[float, float]) -> Body:
    """A person in a random pose, turned to any side, the middle of the body's box at ``centre``.

    Args:
        rng: Source of the pose.
        height: Pixels that the posed body's own box shall be high.
        centre: (x, y) pixels.
    """
    joints, head = _random_joints(rng)
    facing_camera = rng.random() < 0.8
    yaw = rng.normal(0, 40) if facing_camera else rng.uniform(90, 270)
    whole = _turn(0, yaw, rng.uniform(-8, 8))
    turned = {name: whole @ at for name, at in joints.items()}
    stacked = np.stack(list(turned.values()))
    top, bottom = stacked[:, 1].min() - 0.01, stacked[:, 1].max() + 0.02
    left, right = stacked[:, 0].min(), stacked[:, 0].max()
    offset = np.array([(left + right) / 2, (top + bottom) / 2])
    scale = height / (bottom - top)
    return _project(turned, whole @ head, scale=scale, offset=offset, centre=np.array(centre))


def walking_body(
    stride: float, *, swing: float, yaw: float, height: float, feet: tuple[float, float]
) -> Body:
    """A person in the middle of a step.

    Args:
        stride: How far through two steps, in turns: at 0.25 the left leg is foremost, at 0.75 the
            right one.
        swing: Degrees that the legs swing; 0 for who stands.
        yaw: Degrees that the body is turned: 0 toward us, 90 toward the right of the image.
        height: Pixels of the body, upright.
        feet: (x, y) pixels of the ground below the pelvis.
    """
    angles: dict[str, tuple[float, float]] = {}
    for side, sign in (("left", 1), ("right", -1)):
        turn = 2 * np.pi * stride
        forward = float(sign * swing * np.sin(turn))
        lifted = float(max(0.0, sign * np.cos(turn)))  # the leg that comes forward bends its knee
        angles |= {
            f"{side}_arm": (4 - 0.9 * forward, 7.0), f"{side}_elbow": (12 + 0.5 * swing, 0.0),
            f"{side}_leg": (0.9 * forward, 2.0), f"{side}_knee": (4 + 1.3 * swing * lifted, 0.0),
        }  # fmt: skip
    trunk = _turn(0.1 * swing, 0, 0)
    whole = _turn(0, yaw, 0)
    turned = {name: whole @ at for name, at in _joints(angles, 1.0, trunk, trunk).items()}
    ground = max(turned["left_ankle"][1], turned["right_ankle"][1]) + 0.03
    offset = np.array([0.0, ground])
    return _project(turned, whole @ trunk, scale=height, offset=offset, centre=np.array(feet))


def _project(
    turned: dict[str, Array], head: Array, *, scale: float, offset: Array, centre: Array
) -> Body:
    """The turned joints in pixels, ``offset`` (x, y) at ``centre``; the head's rotation."""
    points = {
        name: np.append((at[:2] - offset) * scale + centre, at[2] * scale)
        for name, at in turned.items()
    }
    depth = points["head"][2] - 0.012 * scale
    facing = np.array([name not in FACE or points[name][2] > depth for name in KEYPOINTS])
    xy = np.stack([points[name][:2] for name in KEYPOINTS])
    return Body(xy, facing, points, scale, head @ np.array([0, 0, 1.0]))
