"""The whole decoder once more, slow and plain, from the stages of decode_oracle."""

from dataclasses import dataclass, field

import numpy as np
from decode_oracle import Points, find_cells, refine_cell, score_limb

from bpnet.decode import DecoderSettings
from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton

Connection = tuple[float, int, int, int]  # score, limb, number of the peak at its start and end
KEYS = -0.75  # the cubic's free number, as OpenCV's


@dataclass(eq=False)
class Person:
    peaks: dict[int, int] = field(default_factory=dict)  # keypoint: number of the peak
    limb_score: float = 0.0


def decode(maps: PoseMaps, skeleton: Skeleton, settings: DecoderSettings) -> PersonKeypoints:
    """What ``Decoder(skeleton, settings)(maps)`` must give, but for rounding."""
    heatmaps, pafs = maps.heatmaps.astype(float), maps.pafs.astype(float)
    peaks = [find_candidates(heatmaps[..., k], settings) for k in range(len(skeleton.keypoints))]
    in_pixels = [points * maps.heatmap_stride + (maps.heatmap_stride - 1) / 2 for points in peaks]
    origin = 0 if settings.paf_cell_corners else (maps.paf_stride - 1) / 2
    connections = []
    for limb, (first, second) in enumerate(skeleton.limbs):
        for a, start in enumerate((in_pixels[first][:, :2] - origin) / maps.paf_stride):
            for b, end in enumerate((in_pixels[second][:, :2] - origin) / maps.paf_stride):
                score = score_limb(
                    pafs[..., 2 * limb : 2 * limb + 2],
                    start,
                    end,
                    settings,
                    scale=maps.heatmap_stride / maps.paf_stride,
                    height=len(heatmaps) * maps.heatmap_stride / maps.paf_stride,
                )
                if score > 0:
                    connections.append((score, limb, a, b))
    kept = prune(assemble(connections, skeleton), peaks, settings)
    scores = {id(person): person_score(person, peaks, settings) for person in kept}
    people = sorted(kept, key=lambda person: -scores[id(person)])
    found = PersonKeypoints(
        np.zeros((len(people), len(peaks), 2)),
        np.zeros((len(people), len(peaks))),
        np.array([scores[id(person)] for person in people]),
    )
    for row, person in enumerate(people):
        for keypoint, index in person.peaks.items():
            found.xy[row, keypoint] = in_pixels[keypoint][index, :2]
            found.score[row, keypoint] = peaks[keypoint][index, 2]
    return found


def find_candidates(heatmap: Points, settings: DecoderSettings) -> Points:
    """The strongest peaks (N, 3) of (H, W): x and y in its cells, score."""
    fine = double(heatmap) if settings.refine == 2 else heatmap
    least = settings.heatmap_threshold * settings.cell_share
    cells = [cell for cell in find_cells(fine) if fine[cell] >= least]
    cells.sort(key=lambda cell: (-fine[cell], cell))
    tops = [refine_cell(fine, *cell) for cell in cells]
    kept = [top for top in tops if top[2] >= settings.heatmap_threshold][: settings.max_peaks]
    points = np.array(kept, float).reshape(-1, 3)
    if settings.refine == 2:
        points[:, :2] = points[:, :2] / 2 - 0.25
    return points


def double(heatmap: Points) -> Points:
    """(H, W) at twice the resolution, cubic, edges repeated."""
    return double_rows(double_rows(heatmap).T).T


def double_rows(heatmap: Points) -> Points:
    """Cell j of the result lies at cell j/2 - 1/4."""
    last = len(heatmap) - 1
    doubled = np.zeros((2 * len(heatmap), heatmap.shape[1]))
    for row in range(len(doubled)):
        place = row / 2 - 0.25
        for cell in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            doubled[row] += keys_weight(abs(place - cell)) * heatmap[min(max(cell, 0), last)]
    return doubled


def keys_weight(distance: float) -> float:
    """https://doi.org/10.1109/TASSP.1981.1163711, equation 15."""
    if distance <= 1:
        return (KEYS + 2) * distance**3 - (KEYS + 3) * distance**2 + 1
    return KEYS * (distance**3 - 5 * distance**2 + 8 * distance - 4)


def assemble(connections: list[Connection], skeleton: Skeleton) -> list[Person]:
    """People, in the order in which their first connection came, best connection first."""
    people: list[Person] = []
    owner: dict[tuple[int, int], Person] = {}  # of (keypoint, number of the peak)
    for score, limb, a, b in sorted(connections, key=lambda one: (-one[0], *one[1:])):
        ends = list(zip(skeleton.limbs[limb], (a, b), strict=True))
        parts = [owner.get(end) for end in ends]
        if parts[0] is not None and parts[0] is parts[1]:
            continue  # a cycle: both ends are here already
        if parts == [None, None]:
            people.append(Person())
            parts[0] = people[-1]
        kept = next(part for part in parts if part is not None)
        gone = [part for part in parts if part is not None and part is not kept]
        joined = dict(ends) if not gone else gone[0].peaks
        if any(kept.peaks.get(keypoint, peak) != peak for keypoint, peak in joined.items()):
            continue  # two peaks of one keypoint
        kept.peaks.update(joined)
        kept.limb_score += score + sum(part.limb_score for part in gone)
        people = [person for person in people if all(person is not part for part in gone)]
        owner |= dict.fromkeys(kept.peaks.items(), kept)
    return people


def prune(people: list[Person], peaks: list[Points], settings: DecoderSettings) -> list[Person]:
    """Those with enough keypoints and score."""
    kept = []
    for person in people:
        total = person.limb_score + sum(peaks[k][index, 2] for k, index in person.peaks.items())
        count = len(person.peaks)
        if count >= settings.min_keypoints and total >= settings.min_mean_score * count:
            kept.append(person)
    return kept


def person_score(person: Person, peaks: list[Points], settings: DecoderSettings) -> float:
    """Limbs over those of a whole person, times what the size of its keypoints' box makes sure."""
    places = np.array([peaks[k][index, :2] for k, index in person.peaks.items()])
    mean_square = np.mean(np.ptp(places, axis=0) ** 2)
    certainty = 1.0
    if settings.small_person > 0:
        certainty = mean_square / (mean_square + settings.small_person**2)
    return certainty * person.limb_score / (len(peaks) - 1)
