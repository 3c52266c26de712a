"""What each setting of the decoder is worth: AP with one changed at a time, on the same maps."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scenes import Decode, Scene, Subset, average_precision
from x8_reference import X8Decoder, find_peaks_with_opencv

from bpnet.decode import Decoder, DecoderSettings
from bpnet.pose.maps import PoseMaps, input_to_map, map_to_input
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton

Array = NDArray[np.float32]

# By the name of their row, settings that differ from the defaults.
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "heatmap_threshold 0.05": {"heatmap_threshold": 0.05},
    "heatmap_threshold 0.075": {"heatmap_threshold": 0.075},
    "heatmap_threshold 0.15": {"heatmap_threshold": 0.15},
    "cell_share 0.8": {"cell_share": 0.8},
    "paf_threshold 0.0": {"paf_threshold": 0.0},
    "paf_threshold 0.1": {"paf_threshold": 0.1},
    "paf_threshold 0.15": {"paf_threshold": 0.15},
    "min_sample_share 0.6": {"min_sample_share": 0.6},
    "min_sample_share 0.7": {"min_sample_share": 0.7},
    "min_sample_share 0.9": {"min_sample_share": 0.9},
    "10 samples": {"min_samples": 10, "max_samples": 10},
    "5 samples": {"min_samples": 5, "max_samples": 5},
    "5 to 25 samples": {"samples_per_cell": 1.0, "max_samples": 25},
    "short_limb 0": {"short_limb": 0.0},
    "short_limb 2": {"short_limb": 2.0},
    "short_limb_score 0.3": {"short_limb_score": 0.3},
    "length_limit 0.35": {"length_limit": 0.35},
    "length_limit 0.75": {"length_limit": 0.75},
    "no length_limit": {"length_limit": 1e6},
    "min_keypoints 3": {"min_keypoints": 3},
    "min_keypoints 4": {"min_keypoints": 4},
    "min_mean_score 0": {"min_mean_score": 0.0},
    "min_mean_score 0.2": {"min_mean_score": 0.2},
    "min_mean_score 0.4": {"min_mean_score": 0.4},
    "TAO's pruning (4, 0.4)": {"min_keypoints": 4, "min_mean_score": 0.4},
    "refine 2": {"refine": 2},
    "small_person 0": {"small_person": 0.0},
    "small_person 3": {"small_person": 3.0},
    "small_person 8": {"small_person": 8.0},
    "thresholds 0.075, 0.025": {"heatmap_threshold": 0.075, "paf_threshold": 0.025},
}


def _joints(persons: PersonKeypoints) -> Array:
    return persons.score.sum(axis=1)


def _limbs(persons: PersonKeypoints) -> Array:
    """The sum of the limbs' scores that hold the person together; right with small_person 0."""
    return persons.person_score * (persons.score.shape[1] - 1)


def _count(persons: PersonKeypoints) -> Array:
    return (persons.score > 0).sum(axis=1).astype(np.float32)


# Person scores that the decoder does not give, of what it does; each with small_person 0, the row
# to compare them with.
SCORES: dict[str, Callable[[PersonKeypoints], Array]] = {
    "score: keypoints, sum": _joints,
    "score: keypoints, mean": lambda persons: _joints(persons) / _count(persons),
    "score: keypoints, squared, sum": lambda persons: (persons.score**2).sum(axis=1),
    "score: limbs, mean": lambda persons: _limbs(persons) / (_count(persons) - 1),
    "score: limbs and keypoints, sum": lambda persons: _limbs(persons) + _joints(persons),
    "score: limbs and keypoints, mean": lambda persons: (
        (_limbs(persons) + _joints(persons)) / _count(persons)
    ),
    "score: number of keypoints": _count,
}
X8 = "x8 reference, Keras peaks"
X8_ENGINE = "x8 reference, engine peaks"
WHOLE_CELLS = "peaks at whole cells"
VARIANTS = (*SETTINGS, *SCORES, WHOLE_CELLS, X8, X8_ENGINE)


def compare(
    scenes: Mapping[int, Sequence[Scene]],
    subset: Subset,
    skeleton: Skeleton,
    *,
    only: Sequence[str] | None,
    as_json: bool,
) -> None:
    """Print a Markdown table: AP of each variant by height, and its mean gain over the default."""
    table: dict[str, list[float]] = {}
    print(f"| decoder | {' | '.join(f'{height} px' for height in scenes)} | mean gain |")
    print(f"|---|{'---|' * (len(scenes) + 1)}", flush=True)
    for name in ["default", *(name for name in only or VARIANTS if name != "default")]:
        decode = variant(name, skeleton)
        table[name] = [
            100 * average_precision(each, decode, subset.dataset, skeleton).ap
            for each in scenes.values()
        ]
        gain = float(np.mean(table[name]) - np.mean(table["default"]))
        cells = " | ".join(f"{ap:.2f}" for ap in table[name])
        print(f"| {name} | {cells} | {gain:+.2f} |", flush=True)
    if as_json:
        print(json.dumps({name: [round(ap, 3) for ap in row] for name, row in table.items()}))


def variant(name: str, skeleton: Skeleton) -> Decode:
    """The decoder of a row of the table."""
    if name in (X8, X8_ENGINE):
        return X8Decoder(skeleton, find_peaks_with_opencv) if name == X8 else X8Decoder(skeleton)
    changes = {"small_person": 0.0} if name in SCORES else SETTINGS.get(name, {})
    decode = Decoder(skeleton, DecoderSettings(**changes))
    if name == WHOLE_CELLS:
        return lambda maps: _at_whole_cells(decode(maps), maps.heatmap_stride)
    if name not in SCORES:
        return decode

    def rescored(maps: PoseMaps) -> PersonKeypoints:
        persons = decode(maps)
        return dataclasses.replace(persons, person_score=SCORES[name](persons))

    return rescored


def _at_whole_cells(persons: PersonKeypoints, stride: float) -> PersonKeypoints:
    """Every keypoint in the middle of its heatmap cell."""
    cells = np.rint(input_to_map(persons.xy, stride))
    found = persons.score[..., None] > 0
    xy = np.where(found, map_to_input(cells, stride), np.float32(0))
    return dataclasses.replace(persons, xy=xy.astype(np.float32))
