"""What an inference spec says of people in video."""

from dataclasses import dataclass

from bpnet.spec.settings import setting


@dataclass(frozen=True)
class TrackerSettings:
    """Every number the tracker goes by; the defaults come from benchmarks/tracking.py."""

    min_similarity: float = setting(
        "Least object keypoint similarity of a person with where one of the frames before is "
        "expected, 0..1.",
        default=0.1,
        minimum=0.0,
        maximum=1.0,
    )
    new_person_score: float = setting(
        "Least mean keypoint score (missing keypoints count 0) of a person that gets an id; one "
        "who has an id keeps it with less.",
        default=0.25,
        minimum=0.0,
        maximum=1e6,
    )
    confirm_frames: int = setting(
        "Frames that a new person must be found in, one after the other, to get an id; those of "
        "the first frame have theirs at once.",
        default=2,
        minimum=1,
        maximum=1000,
    )
    max_gap: float = setting(
        "Seconds for which nobody may be found before an id ends; who comes back later is someone "
        "new.",
        default=2.5,
        minimum=0.0,
        maximum=1e6,
    )
    smoothing: bool = setting("Smooth the keypoints of tracked people (one-euro).", default=False)
    smoothing_cutoff: float = setting(
        "Cut-off frequency for a person at rest, Hz; lower is steadier and later.",
        default=0.5,
        minimum=1e-3,
        maximum=1e6,
    )
    smoothing_speed: float = setting(
        "By how many Hz the cut-off rises for a keypoint that moves by its person's size in a "
        "second; higher follows faster.",
        default=16.0,
        minimum=0.0,
        maximum=1e6,
    )
