"""Who is who from frame to frame: ids over time.

Each frame's people are paired with where the people of the frames before are expected, by object
keypoint similarity (https://cocodataset.org/#keypoints-eval) and the best sum of all pairs. As in
ByteTrack (Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box",
ECCV 2022) the certain people choose first, and uncertain ones, who may be half hidden, can only go
on an id that there is already.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from bpnet.inference.assignment import assign
from bpnet.inference.motion import Tracks
from bpnet.inference.smoothing import OneEuroFilter
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.tracker import TrackerSettings

NOBODY = -1  # id of who is not followed, or not yet
DUPLICATE = 0.35  # similarity with a person found already, above which a part of it is no other
LEAST_UNCERTAIN = 0.6  # similarity of an uncertain person with a track
SURE = 0.15  # sizes; how far a pose may be off as a whole before that is held against it
FEW = 0.1  # of the keypoints; a similarity over so many in common counts half
FORGET = 4.0  # seconds in which the claim of an unseen person falls to 1/e


class Tracker:
    """Follows the people of one video or stream, frame by frame.

    A person keeps its id while it is found at least every ``max_gap`` seconds; coming back later it
    is someone new, since poses alone cannot tell people apart. Ids count from 1 and are never given
    twice. Times may be uneven; a time before the last one, as where a stream starts anew, ends
    everybody's id.

    Attributes:
        skeleton: Whose keypoints; its sigmas say how exactly each can be found.
        settings: What the tracker goes by.
        people: How many ids were given so far.
    """

    def __init__(self, skeleton: Skeleton, settings: TrackerSettings | None = None) -> None:
        self.skeleton = skeleton
        self.settings = settings or TrackerSettings()
        self.people = 0
        self._double_variance = 8 * np.asarray(skeleton.sigmas, np.float64) ** 2  # 2 (2 sigma)^2
        keypoints = len(skeleton.keypoints)
        self._tracks = Tracks.begin(
            np.zeros((0, keypoints, 2)), np.zeros((0, keypoints), np.bool_), 0.0
        )
        self._time: float | None = None
        self._filter = OneEuroFilter(
            cutoff=self.settings.smoothing_cutoff, speed_gain=self.settings.smoothing_speed
        )

    def update(self, persons: PersonKeypoints, time: float) -> PersonKeypoints:
        """The same people with their ids, smoothed where the settings say so.

        Args:
            persons: Of one frame, pixels.
            time: Of the frame, seconds.

        Returns:
            The people in the same order; ``ids`` are -1 for those who have none: people found for
            the first time, and uncertain ones whom nobody of the frames before can be.
        """
        first = self._time is None or time < self._time
        self._keep((time - self._tracks.last <= self.settings.max_gap) & (not first))
        self._time = time
        xy = persons.xy.astype(np.float64)
        found = persons.score > 0
        certain = persons.score.mean(axis=1) >= self.settings.new_person_score
        agreement = self._agreement(xy, found, time)
        similarity = self._similarity(agreement, found, time)
        row_of = self._pair(similarity, agreement.mean(axis=-1), certain)
        self._follow(row_of, xy, found, agreement, time)
        begun = certain & (row_of < 0) & ~_are_parts(similarity, row_of)
        row_of[begun] = len(self._tracks) + np.arange(int(begun.sum()))
        self._tracks = self._tracks.joined(Tracks.begin(xy[begun], found[begun], time))
        self._confirm(at_once=first)
        result = self._described(persons, row_of)
        self._keep((self._tracks.ids != NOBODY) | (self._tracks.last == time))
        return result

    def _keep(self, which: NDArray[np.bool_]) -> None:
        """End the tracks that ``which`` (T,) does not say."""
        if not which.all():
            self._tracks = self._tracks.kept(which)

    def _agreement(
        self, xy: NDArray[np.float64], found: NDArray[np.bool_], time: float
    ) -> NDArray[np.float64]:
        """(T, P, K) how well each keypoint is where each track expects it, 0..1; 0 if unknown.

        A track that is unsure of its place may move as a whole, at a price: then the pose counts.
        """
        expected, unsure = self._tracks.expected(time)
        both = self._tracks.known()[:, None] & found
        off = np.where(both[..., None], xy - expected[:, None], 0.0)  # (T, P, K, 2)
        mean = off.sum(axis=2) / np.maximum(both.sum(axis=-1), 1)[..., None]  # (T, P, 2)
        size = self._tracks.size[:, None, None]
        moved = mean * (unsure / (unsure + (SURE * size[..., 0]) ** 2))[:, None]
        place = np.exp(-0.5 * (moved**2 / np.maximum(unsure, 1e-9)[:, None]).sum(axis=-1))
        square = ((off - moved[:, :, None]) ** 2).sum(axis=-1)  # (T, P, K)
        pose = np.exp(-square / (size**2 * self._double_variance))
        return np.where(both, pose * place[..., None], 0.0)

    def _similarity(
        self, agreement: NDArray[np.float64], found: NDArray[np.bool_], time: float
    ) -> NDArray[np.float64]:
        """(T, P) object keypoint similarity over the keypoints that both have.

        Few in common say little, and who was not seen for long has less of a claim.
        """
        common = (self._tracks.known()[:, None] & found).sum(axis=-1)
        mean = agreement.sum(axis=-1) / (common + FEW * found.shape[1])
        claim = np.exp(-(time - self._tracks.last) / FORGET)
        return np.asarray(mean * claim[:, None])

    def _pair(
        self,
        similarity: NDArray[np.float64],
        gain: NDArray[np.float64],
        certain: NDArray[np.bool_],
    ) -> NDArray[np.intp]:
        """(P,) the track of each person, -1 for none.

        Args:
            similarity: (T, P) says which pairs can be.
            gain: (T, P) says which are best: the more keypoints agree, the better.
            certain: (P,).
        """
        row_of = np.full(len(certain), -1, np.intp)
        least = np.where(certain, self.settings.min_similarity, LEAST_UNCERTAIN)
        gain = np.where(similarity >= least, gain, 0.0)
        confirmed = self._tracks.ids != NOBODY
        for tracks, people in ((confirmed, certain), (confirmed, ~certain), (~confirmed, certain)):
            rows = np.setdiff1d(np.flatnonzero(tracks), row_of)
            columns = np.flatnonzero(people & (row_of < 0))
            for row, column in assign(gain[np.ix_(rows, columns)]):
                row_of[columns[column]] = rows[row]
        return row_of

    def _follow(
        self,
        row_of: NDArray[np.intp],
        xy: NDArray[np.float64],
        found: NDArray[np.bool_],
        agreement: NDArray[np.float64],
        time: float,
    ) -> None:
        """Move the tracks to the people that they were paired with."""
        again = np.flatnonzero(row_of >= 0)
        rows = row_of[again]
        elapsed = time - self._tracks.seen[rows]
        self._tracks.found_again(rows, xy[again], found[again], agreement[rows, again], time)
        if self.settings.smoothing:
            tracks, here = self._tracks, found[again][..., None]
            smoothed, speed = self._filter.step(
                xy[again],
                before=tracks.smoothed[rows],
                speed=tracks.smoothed_speed[rows],
                elapsed=elapsed,
                size=tracks.size[rows],
            )
            tracks.smoothed[rows] = np.where(here, smoothed, tracks.smoothed[rows])
            tracks.smoothed_speed[rows] = np.where(here, speed, tracks.smoothed_speed[rows])

    def _confirm(self, *, at_once: bool) -> None:
        """Give ids to those who were found often enough."""
        enough = self._tracks.frames >= (1 if at_once else self.settings.confirm_frames)
        new = np.flatnonzero((self._tracks.ids == NOBODY) & enough)
        self._tracks.ids[new] = self.people + 1 + np.arange(len(new))
        self.people += len(new)

    def _described(self, persons: PersonKeypoints, row_of: NDArray[np.intp]) -> PersonKeypoints:
        """``persons`` with ids, and with smoothed keypoints where asked for."""
        followed = row_of >= 0
        ids = np.full(len(persons), NOBODY, np.int64)
        ids[followed] = self._tracks.ids[row_of[followed]]
        if not self.settings.smoothing:
            return dataclasses.replace(persons, ids=ids)
        xy = persons.xy.copy()
        xy[followed] = self._tracks.smoothed[row_of[followed]]
        xy[persons.score <= 0] = 0
        return dataclasses.replace(persons, xy=xy, ids=ids)


def _are_parts(similarity: NDArray[np.float64], row_of: NDArray[np.intp]) -> NDArray[np.bool_]:
    """(P,) whether someone is part of a person found already: the decoder may cut one in two."""
    taken = row_of[row_of >= 0]
    return np.asarray((similarity[taken] > DUPLICATE).any(axis=0))
