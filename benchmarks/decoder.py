"""How fast maps become people, against TAO's way of enlarging them first.

    python benchmarks/decoder.py --json

Needs no data: crowds are drawn as in training and spoilt as networks spoil them (crowds.py says
how), 46x82 maps of a 656x368 input, 18 keypoints, 19 limbs. Everything runs in turns on one thread,
OpenCV included, with the decoder's default settings, and every figure is a median over the turns.
What runs on one thread is timed by that thread's processor time, which waiting for other programs
does not lengthen; only what compares one thread with two is timed by the clock on the wall, and
wants a quiet machine. The reference is x8_reference.py: cubic enlargement, blurred integer peaks,
TAO's assembly. The last line with ``--json`` holds the figures; times in milliseconds an image.
"""

import argparse
import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow draws the maps

import cv2
import numpy as np
from crowds import draw_crowd, fill_maps
from x8_reference import X8Decoder, enlarge, find_peaks_with_opencv

from bpnet.decode import Decoder
from bpnet.pose.maps import PoseMaps
from bpnet.pose.skeleton import Skeleton

REPOSITORY = Path(__file__).resolve().parents[1]
SKELETON = REPOSITORY / "model_pose_config" / "bpnet_18joints.json"
PEOPLE = (1, 5, 10, 15, 20, 25, 30, 35, 40)  # of the crowds
FAST_CALLS = 10  # of the fast decoder in a turn, for the clock's sake
BATCH = 256  # images of decode_batch
ROUNDS = 200_000  # of hashing, so many that waking a thread does not count


@dataclass(frozen=True)
class Task:
    """Something to time: ``work`` for so many ``images``, by ``clock``."""

    images: int
    work: Callable[[], object]
    clock: Callable[[], float] = time.thread_time


def main() -> None:
    """Measure, and print a table."""
    args = _arguments()
    cv2.setNumThreads(1)
    skeleton = Skeleton.load(SKELETON)
    decode = Decoder(skeleton)
    crowds = {
        people: [draw_crowd(skeleton, people, seed) for seed in range(args.crowds)]
        for people in PEOPLE
    }
    full = fill_maps(skeleton, decode.settings.max_peaks, seed=0)
    found = {people: _mean_found(decode, maps) for people, maps in crowds.items()}
    times = measure(_tasks(decode, X8Decoder(skeleton), crowds, full), args.repeats)
    figures = summarise(times)
    _print_table(times, figures, found)
    if args.json:
        print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def measure(tasks: Mapping[str, Task], repeats: int) -> dict[str, float]:
    """Median milliseconds an image of each task; all run in turns, once before anything counts."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(repeats + 1):
        for name, task in tasks.items():
            begun = task.clock()
            task.work()
            if turn > 0:
                seconds[name].append((task.clock() - begun) / task.images)
    return {name: 1e3 * statistics.median(values) for name, values in seconds.items()}


def summarise(times: Mapping[str, float]) -> dict[str, float]:
    """The figures of the JSON line."""
    people = np.array(PEOPLE, np.float64)
    ours = np.array([times[_name(count)] for count in PEOPLE])
    slope, _ = np.polyfit(people, ours, 1)
    resize = times["resize"]
    return {
        "ms_20_people": times[_name(20)],
        "ms_40_people": times[_name(40)],
        "resize_ms": resize,
        "resize_ratio_20_people": resize / times[_name(20)],
        "resize_ratio_40_people": resize / times[_name(40)],
        "x8_reference_ms": times["x8 reference"],
        "x8_reference_in_resizes": times["x8 reference"] / resize,
        "speedup_20_people": times["x8 reference"] / times[_name(20)],
        "speedup_20_people_opencv_peaks": times["x8, OpenCV peaks"] / times[_name(20)],
        "ms_extra_person": float(slope),
        "ms_20_people_planar": times["20 people, planar maps"],
        "ms_worst_case": times["worst case"],
        "batch_speedup_2_threads": times["batch, 1 thread"] / times["batch, 2 threads"],
        "arithmetic_speedup_2_threads": times["arithmetic, 1 thread"]
        / times["arithmetic, 2 threads"],
    }


def _tasks(
    decode: Decoder,
    x8: X8Decoder,
    crowds: Mapping[int, list[PoseMaps]],
    full: PoseMaps,
) -> dict[str, Task]:
    """What is timed, by name."""
    twenty = crowds[20]

    def each(work: Callable[[PoseMaps], object], maps: Sequence[PoseMaps], calls: int = 1) -> Task:
        def run() -> None:  # a result is dropped before the next is made
            for _ in range(calls):
                for one in maps:
                    work(one)

        return Task(calls * len(maps), run)

    tasks = {_name(people): each(decode, maps, FAST_CALLS) for people, maps in crowds.items()}
    planar = [_planar(maps) for maps in twenty]
    tasks["20 people, planar maps"] = each(decode, planar, FAST_CALLS)
    tasks["worst case"] = each(decode, [full])
    tasks["resize"] = each(enlarge, twenty)
    tasks["x8 reference"] = each(x8, twenty)
    tasks["x8, OpenCV peaks"] = each(X8Decoder(x8.skeleton, find_peaks_with_opencv), twenty)
    # Longer than what another task left of the caches, or a sleeping thread, can cost.
    batch = [twenty[index % len(twenty)] for index in range(BATCH)]
    for threads, name in ((1, "1 thread"), (2, "2 threads")):
        decode_batch = partial(decode.decode_batch, batch, threads=threads)
        tasks[f"batch, {name}"] = Task(BATCH, decode_batch, time.perf_counter)
        # ThreadPoolExecutor starts its threads in the turn that does not count.
        hash_twice = partial(_hash_twice, ThreadPoolExecutor(threads))
        tasks[f"arithmetic, {name}"] = Task(1, hash_twice, time.perf_counter)
    return tasks


def _hash_twice(pool: ThreadPoolExecutor) -> None:
    list(pool.map(_arithmetic, range(2)))


def _arithmetic(_: int) -> bytes:
    """Whole-number arithmetic in registers: no memory, and without Python's lock throughout."""
    return hashlib.pbkdf2_hmac("sha256", b"arithmetic", b"loop", ROUNDS)


def _planar(maps: PoseMaps) -> PoseMaps:
    """The same maps, every channel in one piece of memory, as ONNX networks write them."""
    heatmaps, pafs = (
        np.ascontiguousarray(array.transpose(2, 0, 1)).transpose(1, 2, 0)
        for array in (maps.heatmaps, maps.pafs)
    )
    return PoseMaps(heatmaps, pafs, maps.heatmap_stride, maps.paf_stride)


def _mean_found(decode: Decoder, batch: list[PoseMaps]) -> float:
    return statistics.mean(len(decode(maps)) for maps in batch)


def _name(people: int) -> str:
    return f"{people} people"


def _print_table(
    times: Mapping[str, float], figures: Mapping[str, float], found: Mapping[int, float]
) -> None:
    print(f"{'':26}{'ms':>9}{'found':>8}{'resizes':>9}")
    for name, milliseconds in times.items():
        people = next((count for count in PEOPLE if _name(count) == name), None)
        seen = "" if people is None else f"{found[people]:.1f}"
        print(f"{name:26}{milliseconds:9.3f}{seen:>8}{milliseconds / times['resize']:9.3f}")
    print()
    for name, value in figures.items():
        print(f"{name:32}{value:10.3f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15, help="turns that count")
    parser.add_argument("--crowds", type=int, default=4, help="crowds of each size")
    parser.add_argument("--json", action="store_true", help="end with a line of JSON")
    args = parser.parse_args()
    if min(args.repeats, args.crowds) < 1:
        parser.error("--repeats and --crowds must be 1 or more")
    return args


if __name__ == "__main__":
    main()
