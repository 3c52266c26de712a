"""Ids stay with people: literal scenes of a person and of an animal."""

import itertools

import numpy as np
import pytest

from bpnet.inference.assignment import assign
from bpnet.inference.tracking import Tracker
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category
from bpnet.spec.tracker import TrackerSettings

HORSE = Skeleton.from_category(
    Category(
        keypoints=["muzzle", "withers", "tail", "left_hoof", "right_hoof"],
        skeleton=[[1, 2], [2, 3], [2, 4], [2, 5]],
    ),
    "horse",
)
POSE = np.array([[0, 0], [30, 10], [90, 15], [35, 70], [85, 70]], np.float32)
NOBODY = PersonKeypoints(
    np.zeros((0, 5, 2), np.float32), np.zeros((0, 5), np.float32), np.zeros(0, np.float32)
)
GAP = 1 / 25  # seconds between frames
AT_ONCE = TrackerSettings(confirm_frames=1)


def horses(*places: tuple[float, float], score: float = 0.8, missing: tuple[int, ...] = ()):
    """Horses whose muzzles are at ``places``; some keypoints of all of them missing."""
    xy = np.array([POSE + place for place in places], np.float32)
    scores = np.full(xy.shape[:2], score, np.float32)
    scores[:, list(missing)] = 0
    xy[scores == 0] = 0
    return PersonKeypoints(xy, scores, np.ones(len(xy), np.float32))


def ids(tracker: Tracker, *frames: PersonKeypoints, start: float = 0.0) -> list[list[int]]:
    given = []
    for number, frame in enumerate(frames):
        tracked = tracker.update(frame, start + number * GAP)
        assert tracked.ids is not None
        given.append(tracked.ids.tolist())
    return given


def test_ids_count_from_one_and_stay():
    frames = [horses((100 + 5 * n, 50), (400, 60)) for n in range(10)]
    tracker = Tracker(HORSE)
    assert ids(tracker, *frames) == [[1, 2]] * 10
    assert tracker.people == 2


def test_the_people_are_as_they_came_and_in_their_order():
    first, second = horses((10, 10), (300, 10)), horses((301, 10), (11, 10))
    tracker = Tracker(HORSE)
    tracker.update(first, 0.0)
    tracked = tracker.update(second, GAP)
    assert tracked.ids.tolist() == [2, 1]
    np.testing.assert_array_equal(tracked.xy, second.xy)
    np.testing.assert_array_equal(tracked.score, second.score)


def test_horses_that_pass_each_other_keep_their_ids():
    frames = [horses((6 * n, 50), (300 - 6 * n, 58)) for n in range(50)]
    assert ids(Tracker(HORSE), *frames) == [[1, 2]] * 50


def test_one_hidden_behind_the_other_comes_out_as_itself():
    frames = []
    for n in range(60):
        hidden = 22 <= n < 29
        frames.append(horses((6 * n, 50), *([] if hidden else [(300 - 6 * n, 60)])))
    given = ids(Tracker(HORSE), *frames)
    assert given[:22] + given[29:] == [[1, 2]] * 53
    assert given[22:29] == [[1]] * 7


def test_a_short_gap_is_bridged_along_the_way():
    before = [horses((8 * n, 50)) for n in range(15)]
    after = [horses((8 * n, 50)) for n in range(25, 30)]
    given = ids(Tracker(HORSE), *before, *[NOBODY] * 10, *after)
    assert given == [[1]] * 15 + [[]] * 10 + [[1]] * 5


def test_after_max_gap_it_is_someone_new():
    tracker = Tracker(HORSE, TrackerSettings(max_gap=0.5, confirm_frames=1))
    assert ids(tracker, horses((50, 50))) == [[1]]
    assert ids(tracker, horses((50, 50)), start=0.4) == [[1]]
    assert ids(tracker, horses((50, 50)), start=1.0) == [[2]]


def test_someone_elsewhere_is_someone_else():
    tracker = Tracker(HORSE, AT_ONCE)
    assert ids(tracker, horses((50, 50)), horses((250, 50))) == [[1], [2]]


def test_a_new_person_gets_its_id_when_found_again():
    frames = [horses((50, 50)), *[horses((50, 50), (300, 50))] * 2]
    assert ids(Tracker(HORSE), *frames) == [[1], [1, -1], [1, 2]]


def test_what_is_found_once_gets_no_id():
    tracker = Tracker(HORSE)
    given = ids(tracker, horses((50, 50)), horses((50, 50), (300, 50)), horses((50, 50)))
    assert given == [[1], [1, -1], [1]]
    assert tracker.people == 1


def test_an_uncertain_person_keeps_its_id_but_gets_no_new_one():
    sure, unsure = horses((50, 50)), horses((52, 50), score=0.1)
    assert ids(Tracker(HORSE), sure, unsure, unsure) == [[1]] * 3
    assert ids(Tracker(HORSE), unsure, unsure, unsure) == [[-1]] * 3


def test_a_certain_person_comes_before_an_uncertain_one():
    both = horses((50, 50), (54, 50))
    both.score[0] = 0.1
    assert ids(Tracker(HORSE), horses((50, 50)), both) == [[1], [-1, 1]]


def test_a_person_of_whom_half_is_missing_is_still_the_same():
    frames = [horses((50 + 3 * n, 50), missing=(0, 2, 3) if n % 2 else ()) for n in range(8)]
    assert ids(Tracker(HORSE), *frames) == [[1]] * 8


def test_half_a_person_beside_its_other_half_is_no_new_one():
    whole = horses((50, 50))
    halves = horses((50, 50), (50, 50))
    halves.score[0, 3:] = 0
    halves.score[1, :3] = 0
    given = ids(Tracker(HORSE, AT_ONCE), whole, *[halves] * 4)
    assert given[1:] == [[1, -1]] * 4


def test_uneven_frame_times_count():
    times = [0.0, 0.04, 0.08, 0.36, 0.40, 0.62]
    tracker = Tracker(HORSE)
    given = [
        tracker.update(horses((300 * t, 50), (300 - 300 * t, 62)), t).ids.tolist() for t in times
    ]
    assert given == [[1, 2]] * 6


def test_a_time_before_the_last_one_starts_anew():
    tracker = Tracker(HORSE)
    assert ids(tracker, horses((50, 50)), start=9.0) == [[1]]
    assert ids(tracker, horses((50, 50)), start=0.0) == [[2]]


def test_the_same_time_twice_is_no_error():
    tracker = Tracker(HORSE)
    assert ids(tracker, horses((50, 50))) == [[1]]
    assert ids(tracker, horses((51, 50))) == [[1]]


def test_frames_without_people_are_no_error():
    tracked = Tracker(HORSE).update(NOBODY, 0.0)
    assert tracked.ids.dtype == np.int64
    assert tracked.ids.shape == (0,)


@pytest.mark.parametrize("scale", [0.1, 1.0, 12.0])
def test_the_image_size_does_not_matter(scale):
    frames = []
    for n in range(40):
        frame = horses((6 * n, 50), (240 - 6 * n, 58))
        frames.append(PersonKeypoints(frame.xy * np.float32(scale), frame.score, np.ones(2)))
    assert ids(Tracker(HORSE), *frames) == [[1, 2]] * 40


def test_smoothing_steadies_those_who_are_followed():
    rng = np.random.default_rng(0)
    tracker = Tracker(HORSE, TrackerSettings(smoothing=True))
    raw, smooth = [], []
    for n in range(60):
        frame = horses((50, 50), missing=(2,) if n % 3 == 0 else ())
        frame.xy[frame.score > 0] += rng.normal(0, 1.5, frame.xy[frame.score > 0].shape)
        tracked = tracker.update(frame, n * GAP)
        assert tracked.ids.tolist() == [1]
        np.testing.assert_array_equal(tracked.xy[tracked.score == 0], 0)
        raw.append(frame.xy[0, 0])
        smooth.append(tracked.xy[0, 0])
    assert np.std(smooth[20:], axis=0).max() < 0.7 * np.std(raw[20:], axis=0).min()
    np.testing.assert_allclose(np.mean(smooth[20:], axis=0), [50, 50], atol=0.7)


def test_assignment_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(300):
        rows, columns = rng.integers(1, 6, 2)
        gain = rng.choice([-0.5, 0.0, 0.2, 0.5, 0.9], (rows, columns))
        pairs = assign(gain)
        assert all(gain[pair] > 0 for pair in pairs)
        assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
        wide = np.maximum(gain if rows <= columns else gain.T, 0)
        best = max(
            sum(wide[row, column] for row, column in enumerate(order))
            for order in itertools.permutations(range(wide.shape[1]), wide.shape[0])
        )
        assert sum(gain[pair] for pair in pairs) == pytest.approx(best)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_assign_is_no_pair(shape):
    assert assign(np.zeros(shape)) == []
