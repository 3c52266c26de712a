"""Whether ids stay with people, and what following them costs.

    python benchmarks/tracking.py --json
    python benchmarks/tracking.py --model bpnet_model.keras -i spec.yaml --scenes 4

Drawn people walk past each other for 300 frames, stop, leave and come back (moving.py). Their maps
are drawn as for training and spoilt (moving_maps.py), or made by the network of ``--model`` from
the pictures; the real decoder reads them, the tracker follows, IDF1 (identity.py) says how well.
Who is in sight by less than half is neither expected nor held against anyone. A person who leaves
and comes back is still the same person.

The cost is that of 20 people in each of 100 frames, by the thread's processor time, beside that of
decoding the maps of 20 people. The last line with ``--json`` holds the figures.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow draws the maps

import cv2
import numpy as np
from crowds import draw_crowd
from identity import IdentityFrame, IdentityScore, identity_score, keypoint_similarity
from moving import MovingScene, expected, moving_scene
from moving_maps import spoilt_maps, true_keypoints
from numpy.typing import NDArray

from bpnet.decode import Decoder
from bpnet.inference.predictor import Predictor, build_predictor
from bpnet.inference.tracking import Tracker
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.reader import read_spec
from bpnet.spec.tracker import TrackerSettings

SKELETON = Path(__file__).resolve().parents[1] / "model_pose_config" / "bpnet_18joints.json"
CROWD = 20  # people whose cost is measured
FRAMES, FRAME_RATE = 100, 30.0


@dataclass(frozen=True)
class Clip:
    """The people found in a scene, and those who were there.

    Attributes:
        times: (F,) seconds.
        keypoints: (F, P, K, 3) true people, the third above 0 where seen.
        found: Of each frame.
        sigmas: (K,) of the skeleton.
    """

    times: NDArray[np.float64]
    keypoints: NDArray[np.float32]
    found: Sequence[PersonKeypoints]
    sigmas: Sequence[float]


def clip_of_maps(scene: MovingScene, skeleton: Skeleton) -> Clip:
    """What the decoder finds in the scene's drawn and spoilt maps."""
    decode = Decoder(skeleton)
    keypoints = true_keypoints(scene, skeleton)
    maps = spoilt_maps(keypoints, skeleton, scene.size, scene.seed)
    return Clip(scene.times, keypoints, [decode(one) for one in maps], skeleton.sigmas)


def clip_of_pictures(scene: MovingScene, predictor: Predictor) -> Clip:
    """What a network finds in the scene's pictures."""
    skeleton = predictor.backend.contract.skeleton
    keypoints = true_keypoints(scene, skeleton)
    found = [predictor(image) for image, _ in scene.frames()]
    return Clip(scene.times, keypoints, found, skeleton.sigmas)


def follow(clip: Clip, tracker: Tracker) -> IdentityScore:
    """IDF1 of ``tracker`` over a clip."""
    frames = []
    for when, people, found in zip(clip.times, clip.keypoints, clip.found, strict=True):
        tracked = tracker.update(found, float(when))
        assert tracked.ids is not None
        there = expected(people)
        hardly = ~there & (people[..., 2] > 0).any(axis=-1)
        alike = keypoint_similarity(people, tracked.xy, tracked.score > 0, clip.sigmas)
        best = alike.max(axis=0, initial=0.0, where=there[:, None])
        other = alike.max(axis=0, initial=0.0, where=hardly[:, None])
        counts = (tracked.ids >= 0) & ~((other >= 0.5) & (best < 0.5))
        frames.append(
            IdentityFrame(np.flatnonzero(there), tracked.ids[counts], alike[there][:, counts])
        )
    return identity_score(frames)


def cost(repeats: int) -> dict[str, float]:
    """Milliseconds to follow and to decode 20 people, medians over turns."""
    skeleton = Skeleton.load(SKELETON)
    decode = Decoder(skeleton)
    maps = [draw_crowd(skeleton, CROWD, seed) for seed in range(4)]
    rng = np.random.default_rng(0)
    start = decode(maps[0])
    order = np.argsort(-start.score.mean(axis=1))[:CROWD]
    frames = []
    for number in range(FRAMES):
        score = start.score[order] * (rng.random(start.score[order].shape) > 0.1)
        moved = start.xy[order] + rng.normal(0, 1.5, (*score.shape, 2))
        moved[..., 0] += 0.5 * number
        xy = np.where(score[..., None] > 0, moved, 0).astype(np.float32)
        frames.append(PersonKeypoints(xy, score.astype(np.float32), start.person_score[order]))

    def track(settings: TrackerSettings) -> None:
        tracker = Tracker(skeleton, settings)
        for number, frame in enumerate(frames):
            tracker.update(frame, number / FRAME_RATE)

    plain, smooth = TrackerSettings(), TrackerSettings(smoothing=True)
    tracking = _milliseconds(lambda: track(plain), repeats) / FRAMES
    smoothing = _milliseconds(lambda: track(smooth), repeats) / FRAMES
    decoding = _milliseconds(lambda: [decode(one) for one in maps * 10], repeats) / (10 * len(maps))
    return {
        "tracking_ms_20_people": tracking,
        "tracking_and_smoothing_ms_20_people": smoothing,
        "decoding_ms_20_people": decoding,
        "tracking_to_decoding": tracking / decoding,
    }


def _milliseconds(work: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats + 1):
        begun = time.thread_time()
        work()
        seconds.append(time.thread_time() - begun)
    return 1e3 * statistics.median(seconds[1:])


def _scores(name: str, clips: Sequence[Clip], skeleton: Skeleton) -> dict[str, float]:
    """IDF1 over the clips, one line each."""
    scores = []
    for number, clip in enumerate(clips):
        tracker = Tracker(skeleton)
        score = follow(clip, tracker)
        scores.append(score)
        people = clip.keypoints.shape[1]
        print(
            f"{name:10}{number:4}  IDF1 {score.idf1:.3f}  switches {score.switches:3}  "
            f"found with any id {score.matched / score.true:.3f}  {people} people, "
            f"{tracker.people} ids"
        )
    values = [score.idf1 for score in scores]
    return {
        f"idf1_{name}": statistics.mean(values),
        f"least_idf1_{name}": min(values),
        f"found_{name}": statistics.mean(score.matched / score.true for score in scores),
    }


def main() -> None:
    """Measure, and print a table."""
    args = _arguments()
    cv2.setNumThreads(1)
    skeleton = Skeleton.load(SKELETON)
    seeds = range(args.first, args.first + args.scenes)
    if args.model is None:
        figures = cost(args.repeats)
        plain = [clip_of_maps(moving_scene(seed), skeleton) for seed in seeds]
        figures |= _scores("plain", plain, skeleton)
        hard = [
            clip_of_maps(moving_scene(seed, people=6, restless=True, pillar=True), skeleton)
            for seed in seeds
        ]
        figures |= _scores("hard", hard, skeleton)
    else:
        spec = read_spec(args.spec, InferenceSpec) if args.spec else None
        predictor = build_predictor(args.model, spec, batch_size=1)
        skeleton = predictor.backend.contract.skeleton
        clips = [clip_of_pictures(moving_scene(seed), predictor) for seed in seeds]
        figures = _scores("network", clips, skeleton)
    for name, value in figures.items():
        print(f"{name:38}{value:8.3f}")
    if args.json:
        print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=8, help="scenes of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first scene")
    parser.add_argument("--model", type=Path, help="network that finds people in the pictures")
    parser.add_argument("-i", "--spec", type=Path, help="inference spec of --model")
    parser.add_argument("--repeats", type=int, default=9, help="turns of the timing that count")
    parser.add_argument("--json", action="store_true", help="end with a line of JSON")
    args = parser.parse_args()
    if min(args.repeats, args.scenes) < 1:
        parser.error("--repeats and --scenes must be 1 or more")
    return args


if __name__ == "__main__":
    main()
