"""IDF1 on clips small enough to count by hand."""

import numpy as np
import pytest
from identity import IdentityFrame, identity_score, keypoint_similarity


def clip(*frames: tuple[str, str]):
    """Frames of who is there and which ids stand on them: ("AB", "12"); "." is nobody, no id."""
    made = []
    for people, ids in frames:
        pairs = list(zip(people, ids, strict=True))
        true = [i for i, (person, _) in enumerate(pairs) if person != "."]
        found = [i for i, (_, given) in enumerate(pairs) if given != "."]
        alike = np.array([[float(i == j) for j in found] for i in true]).reshape(
            len(true), len(found)
        )
        made.append(
            IdentityFrame(
                np.array([ord(people[i]) for i in true], np.int64),
                np.array([int(ids[i]) for i in found], np.int64),
                alike,
            )
        )
    return made


def test_one_id_each_is_one():
    score = identity_score(clip(("AB", "12"), ("AB", "12"), ("BA", "21")))
    assert (score.idf1, score.switches, score.kept) == (1.0, 0, 6)


def test_an_id_that_changes_half_way_is_worth_half():
    score = identity_score(clip(("A", "1"), ("A", "1"), ("A", "2"), ("A", "2")))
    assert (score.idf1, score.switches, score.kept) == (0.5, 1, 2)


def test_two_people_who_swap_ids_for_good_keep_the_longer_part():
    score = identity_score(clip(*[("AB", "12")] * 3, ("AB", "21")))
    assert score.idf1 == pytest.approx(2 * 6 / 16)
    assert score.switches == 2


def test_missed_and_false_people_count_against_it():
    score = identity_score(clip(("A", "1"), ("A", "."), (".", "1"), ("A", "1")))
    assert score.idf1 == pytest.approx(2 * 2 / (3 + 3))
    assert (score.true, score.found, score.matched) == (3, 3, 2)


def test_the_pairing_is_the_best_over_the_whole_clip():
    # First come, first served would give 1 to A (3 frames) and leave B with nothing.
    frames = clip(*[("A", "1")] * 3, *[("B", "1")] * 4, *[("A", "2")] * 2)
    assert identity_score(frames).kept == 4 + 2


def test_one_id_on_two_people_serves_one():
    score = identity_score(clip(*[("A.", "1.")] * 2, *[(".B", ".1")] * 2))
    assert score.idf1 == 0.5


def test_a_pair_too_unlike_does_not_agree():
    frame = IdentityFrame(np.array([1]), np.array([1]), np.array([[0.49]]))
    assert identity_score([frame]).idf1 == 0
    assert identity_score([frame], least_similarity=0.4).idf1 == 1


def test_nobody_anywhere_is_no_error():
    assert identity_score([]).idf1 == 0
    assert identity_score(clip(("A", "."))).idf1 == 0


def test_similarity_is_cocos():
    true = np.array([[[0, 0, 1], [100, 0, 1], [0, 100, 1], [5, 5, 0]]], np.float64)
    found = true[..., :2].copy()
    found[0, 0] = (10, 0)
    present = np.array([[True, True, False, True]])
    alike = keypoint_similarity(true, found, present, [0.1, 0.1, 0.1, 0.1])
    near = np.exp(-(10**2) / (2 * 0.53 * 100 * 100 * 0.2**2))
    assert alike[0, 0] == pytest.approx((near + 1 + 0) / 3)
