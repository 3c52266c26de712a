"""TAO's decoder as a reference: every map enlarged eight times, integer peaks, greedy assembly.

Written in NumPy and OpenCV from the published behaviour of TAO's post-processing, its numbers and
its rules included: what it vectorises is vectorised here, what it loops over is looped over. It
exists to be compared with; ``bpnet.decode`` is the decoder to use.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton

FACTOR = 8  # of the cubic enlargement
HEATMAP_THRESHOLD = 0.1  # of a smoothed peak
BLUR_SIZE, BLUR_SIGMA = (5, 5), 3.0  # enlarged cells
BELL = np.array([0.0604, 0.2455, 0.3881, 0.2455, 0.0604])  # the other blur, along one axis
PAF_THRESHOLD = 0.05  # of a sample's agreement with its limb
SAMPLES = 10  # along a limb
SAMPLE_SHARE = 0.8  # more of the samples than this must agree
LEAST_KEYPOINTS = 4
LEAST_MEAN_SCORE = 0.4
NEVER_FIRST = 2  # so many limbs, the last ones, start no person

Peaks: TypeAlias = NDArray[
    np.float64
]  # (n, 4): x, y in enlarged cells, score, number among all peaks
FindPeaks: TypeAlias = Callable[[NDArray[np.float32]], list[Peaks]]


@dataclass
class Row:
    """A person in the making: peak numbers (-1: none), TAO's sum of scores and its count."""

    peaks: list[int]
    score: float = 0.0
    count: int = 0


@dataclass(frozen=True)
class X8Decoder:
    """TAO's post-processing for one skeleton.

    TAO finds peaks in two ways: with TensorFlow for Keras models, with NumPy for engines. They
    differ in the blur and in the score that a peak has.

    Attributes:
        skeleton: whose keypoints and limbs the maps show.
        find_peaks: as for engines; ``find_peaks_with_opencv``: as for Keras models.
    """

    skeleton: Skeleton
    find_peaks: FindPeaks = field(default_factory=lambda: find_peaks_with_numpy)

    def __call__(self, maps: PoseMaps) -> PersonKeypoints:
        """The people of maps whose heatmaps and PAFs share one stride, in input pixels.

        An enlarged cell's place in input pixels is exact: at stride 8 its number is the pixel.
        """
        heatmaps, pafs = enlarge(maps)
        peaks = self.find_peaks(heatmaps[..., : len(self.skeleton.keypoints)])
        numbered = number_peaks(peaks)
        connections = [
            match_limb(score_pairs(pafs[..., 2 * limb : 2 * limb + 2], *ends), *ends)
            for limb, ends in enumerate((numbered[a], numbered[b]) for a, b in self.skeleton.limbs)
        ]
        table = np.concatenate(numbered)
        rows = assemble(connections, table, self.skeleton.limbs, keypoints=len(peaks))
        return to_persons(rows, table, stride=maps.heatmap_stride, keypoints=len(peaks))


def enlarge(maps: PoseMaps) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Heatmaps (8H, 8W, K+1) and PAFs (8H, 8W, 2L), cubic."""

    def larger(array: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width = array.shape[:2]
        size = (FACTOR * width, FACTOR * height)
        return np.asarray(
            cv2.resize(np.ascontiguousarray(array), size, interpolation=cv2.INTER_CUBIC),
            np.float32,
        )

    return larger(maps.heatmaps), larger(maps.pafs)


def find_peaks_with_numpy(heatmaps: NDArray[np.float32]) -> list[Peaks]:
    """Each channel's peaks (n, 3) as TAO finds an engine's: x, y, smoothed score.

    All channels of the enlarged ``heatmaps`` (H, W, K) are compared at once. A channel at a time
    takes from half to one and a half times as long, depending on which memory was freed before.
    """
    keypoints = heatmaps.shape[2]
    channels = [heatmaps[..., k].astype(np.float64) for k in range(keypoints)]
    smooth = np.stack([cv2.GaussianBlur(each, BLUR_SIZE, BLUR_SIGMA) for each in channels])
    above, below = np.zeros_like(smooth), np.zeros_like(smooth)
    before, after = np.zeros_like(smooth), np.zeros_like(smooth)
    above[:, 1:] = smooth[:, :-1]
    below[:, :-1] = smooth[:, 1:]
    before[..., 1:] = smooth[..., :-1]
    after[..., :-1] = smooth[..., 1:]
    highest = np.logical_and.reduce(
        (
            smooth >= above,
            smooth >= below,
            smooth >= before,
            smooth >= after,
            smooth > HEATMAP_THRESHOLD,
        )
    )
    channel, y, x = np.nonzero(highest)
    found = np.column_stack([x, y, smooth[channel, y, x]])
    return [found[channel == k] for k in range(keypoints)]


def find_peaks_with_opencv(heatmaps: NDArray[np.float32]) -> list[Peaks]:
    """Each channel's peaks (n, 3) as TAO finds a Keras model's: x, y, raw score."""
    peaks = []
    for k in range(heatmaps.shape[2]):
        heat = np.ascontiguousarray(heatmaps[..., k])
        smooth = cv2.sepFilter2D(heat, -1, BELL, BELL, borderType=cv2.BORDER_CONSTANT)
        summit = (smooth == cv2.dilate(smooth, np.ones((3, 3)))) & (heat > HEATMAP_THRESHOLD)
        y, x = np.nonzero(summit)
        peaks.append(np.column_stack([x, y, heat[y, x]]))
    return peaks


def number_peaks(peaks: Sequence[Peaks]) -> list[Peaks]:
    """The peaks of each keypoint with their number among all peaks as a fourth column."""
    first = np.cumsum([0, *(len(each) for each in peaks)])
    return [
        np.column_stack([each, np.arange(start, start + len(each))])
        for each, start in zip(peaks, first, strict=False)
    ]


def score_pairs(paf: NDArray[np.float32], starts: Peaks, ends: Peaks) -> NDArray[np.float64]:
    """The score (A, B) of a limb between every start and every end; 0 where there is none."""
    if not len(starts) or not len(ends):
        return np.zeros((len(starts), len(ends)))
    way = ends[None, :, :2] - starts[:, None, :2]  # (A, B, 2)
    unit = way / (np.linalg.norm(way, axis=-1, keepdims=True) + 1e-6)
    part = np.arange(SAMPLES)[:, None] / (SAMPLES - 1)
    points = starts[:, None, None, :2] + part * way[:, :, None]  # (A, B, samples, 2)
    cells = np.rint(points).astype(np.intp)
    along = np.einsum("absd,abd->abs", paf[cells[..., 1], cells[..., 0]], unit)
    agree = along > PAF_THRESHOLD
    count = agree.sum(axis=-1)
    score = np.where(agree, along, 0).sum(axis=-1) / (count + 1e-6)
    return np.where((score > 0) & (count > SAMPLE_SHARE * SAMPLES), score, 0.0)


def match_limb(
    scores: NDArray[np.float64], starts: Peaks, ends: Peaks
) -> list[tuple[int, int, float]]:
    """Start and end peak numbers and score of the limbs taken, the best first, each end once."""
    first, second = np.nonzero(scores)
    order = np.argsort(-scores[first, second], kind="stable")
    taken: list[tuple[int, int, float]] = []
    used_starts, used_ends = set[int](), set[int]()
    for a, b in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if a not in used_starts and b not in used_ends:
            used_starts.add(a)
            used_ends.add(b)
            taken.append((int(starts[a, 3]), int(ends[b, 3]), float(scores[a, b])))
    return taken


def assemble(
    connections: Sequence[Sequence[tuple[int, int, float]]],
    table: Peaks,
    limbs: Sequence[tuple[int, int]],
    *,
    keypoints: int,
) -> list[Row]:
    """The people whom TAO keeps, limb by limb: its rules, what they lose included."""
    rows: list[Row] = []
    for limb, (start_joint, end_joint) in enumerate(limbs):
        for start, end, score in connections[limb]:
            sharing = [
                row
                for row in rows
                if row.peaks[start_joint] == start or row.peaks[end_joint] == end
            ]
            if not sharing and limb < len(limbs) - NEVER_FIRST:
                row = Row([-1] * keypoints, table[start, 2] + table[end, 2] + score, 2)
                row.peaks[start_joint], row.peaks[end_joint] = start, end
                rows.append(row)
            elif len(sharing) == 1 and sharing[0].peaks[end_joint] != end:
                _set_end(sharing[0], end_joint, end, table[end, 2] + score)
            elif len(sharing) == 2:
                kept, gone = sharing
                pairs = zip(kept.peaks, gone.peaks, strict=True)
                if any(one >= 0 and other >= 0 for one, other in pairs):
                    _set_end(kept, end_joint, end, table[end, 2] + score)
                    continue
                both = zip(kept.peaks, gone.peaks, strict=True)
                kept.peaks = [max(one, other) for one, other in both]
                kept.score += gone.score + score
                kept.count += gone.count
                rows = [row for row in rows if row is not gone]
    return [
        row
        for row in rows
        if row.count >= LEAST_KEYPOINTS and row.score / row.count >= LEAST_MEAN_SCORE
    ]


def _set_end(row: Row, joint: int, peak: int, score: float) -> None:
    row.peaks[joint] = peak
    row.count += 1
    row.score += score


def to_persons(
    rows: Sequence[Row], table: Peaks, *, stride: float, keypoints: int
) -> PersonKeypoints:
    """The rows in input pixels, with TAO's person score, 1 - 1 / (sum of scores)."""
    found = np.array([row.peaks for row in rows], np.intp).reshape(-1, keypoints)
    padded = np.vstack([table, np.zeros(4)])  # peak -1: nothing
    # Enlarged cell k has its centre at cell (k + 1/2) / 8 - 1/2 of the map.
    step = stride / FACTOR
    xy = np.where(found[..., None] >= 0, padded[found, :2] * step + (step - 1) / 2, 0)
    person_score = np.array([1 - 1 / row.score for row in rows])
    return PersonKeypoints(
        xy.astype(np.float32),
        padded[found, 2].astype(np.float32),
        person_score.astype(np.float32),
    )
