"""Who becomes a main person, which file a record goes to, and masks in parallel."""

from pathlib import Path

import numpy as np
import pytest

from bpnet.data.annotation import Annotation
from bpnet.data.coco import CocoDataset, CocoImage
from bpnet.data.convert import choose_main_people, plan_records, split_records
from bpnet.data.mask_files import write_masks
from bpnet.errors import DataError
from bpnet.spec.dataset import DataFilteringParams

FILE = Path("people.json")
FILTERS = DataFilteringParams(
    min_acceptable_height=10,
    min_acceptable_width=10,
    min_acceptable_kpts=2,
    min_acceptable_interperson_dist_ratio=0.5,
)


def annotate(
    x: float = 0,
    *,
    width: float = 20,
    height: float = 20,
    area: float = 100,
    keypoints: int = 3,
    crowd: bool = False,
) -> Annotation:
    """A person whose box is centred on (x, 50)."""
    return Annotation(
        id=1,
        xy=np.zeros((3, 2), np.float32),
        visibility=np.array([2, 1, 0], np.int32),
        bbox=np.array([x - width / 2, 50 - height / 2, width, height]),
        area=area,
        crowd=crowd,
        segmentation=None,
        num_keypoints=keypoints,
    )


def image_of(*annotations: Annotation, number: int = 1) -> CocoImage:
    return CocoImage(number, f"{number}.jpg", 100, 100, annotations)


def mains_of(*annotations: Annotation) -> list[int]:
    return choose_main_people(image_of(*annotations), FILTERS)[0]


def test_a_main_person_has_enough_keypoints_and_area() -> None:
    people = (
        annotate(0, keypoints=1),
        annotate(20, keypoints=0),
        annotate(40, area=99.9),
        annotate(60, width=200, height=1, area=100),  # narrow, but it is the area that counts
        annotate(300, crowd=True),
    )

    mains, dropped = choose_main_people(image_of(*people), FILTERS)

    assert mains == [3]
    assert dropped == {
        0: "too few keypoints",
        1: "no keypoints",
        2: "too small",
        4: "crowd",
    }


def test_a_main_person_keeps_its_distance_to_the_accepted_ones() -> None:
    assert mains_of(annotate(0), annotate(9.9), annotate(10), annotate(19.9)) == [0, 2]


def test_the_distance_is_measured_in_the_accepted_persons_own_longer_side() -> None:
    assert mains_of(annotate(0, height=40), annotate(19), annotate(50)) == [0, 2]
    assert mains_of(annotate(0), annotate(19, height=40)) == [0, 1]
    # TAO measured with the box of the image's last annotation, whoever that was.
    assert mains_of(annotate(0), annotate(19), annotate(90, height=400)) == [0, 1, 2]


def test_a_dropped_person_does_not_keep_others_away() -> None:
    assert mains_of(annotate(0, keypoints=1), annotate(1)) == [1]


@pytest.mark.parametrize(("every_person", "mains"), [(True, (0, 1)), (False, (0,))])
def test_an_image_gives_a_record_for_each_main_person_or_for_the_first(
    every_person: bool, mains: tuple[int, ...]
) -> None:
    image = image_of(annotate(0), annotate(50))

    plan = plan_records(CocoDataset(("a", "b", "c"), (image,)), FILTERS, every_person=every_person)

    assert plan.images == ((image, mains),)
    assert plan.summary.records == len(mains)


def test_the_summary_counts_what_was_used_and_why_the_rest_was_not() -> None:
    images = (
        image_of(annotate(0), annotate(50, area=1), annotate(99, keypoints=0), number=1),
        image_of(annotate(0, keypoints=1), number=2),
        image_of(number=3),
        image_of(annotate(0), number=4),
    )

    summary = plan_records(
        CocoDataset(("a", "b", "c"), images),
        FILTERS,
        every_person=True,
        left_out={4: "image is bad"},
    ).summary

    assert (summary.images, summary.images_used, summary.records) == (4, 1, 1)
    assert summary.people == 4
    assert summary.keypoints == {"a": 4, "b": 4, "c": 0}
    assert summary.dropped_images == {
        "image is bad": 1,
        "no annotations": 1,
        "no main person": 1,
    }
    assert summary.dropped_people == {"no keypoints": 1, "too few keypoints": 1, "too small": 1}
    assert summary.left_out == {"image is bad": ["4.jpg"]}
    assert summary.visibility == {"0": 4, "1": 4, "2": 4}
    assert summary.sizes == {
        "small (below 32 x 32 pixels)": 4,
        "medium": 0,
        "large (96 x 96 and above)": 0,
    }
    assert summary.heights["50 %"] == 20


def test_partitions_take_images_in_turn_and_keep_an_images_records_together() -> None:
    images = [(image_of(number=number), (0, 1)) for number in range(5)]

    files = split_records(images, partitions=2, shards=0)

    assert list(files) == ["-fold-000-of-002", "-fold-001-of-002"]
    found = [sorted((image.id, main) for image, main in records) for records in files.values()]
    assert found[0] == [(0, 0), (0, 1), (2, 0), (2, 1), (4, 0), (4, 1)]
    assert found[1] == [(1, 0), (1, 1), (3, 0), (3, 1)]


def test_shards_are_equal_slices_of_the_shuffled_records_the_last_takes_the_rest() -> None:
    images = [(image_of(number=number), (0,)) for number in range(11)]
    (whole,) = split_records(images, partitions=1, shards=0).values()

    files = split_records(images, partitions=1, shards=3)

    assert list(files) == [f"-fold-000-of-001-shard-0000{shard}-of-00003" for shard in range(3)]
    assert [len(records) for records in files.values()] == [3, 3, 5]
    assert [one for records in files.values() for one in records] == whole
    assert [image.id for image, _ in whole] != list(range(11))


def test_no_partitions_means_no_fold_in_the_name() -> None:
    images = [(image_of(), (0,))]

    assert list(split_records(images, partitions=0, shards=0)) == [""]
    assert list(split_records(images, partitions=0, shards=1)) == ["-shard-00000-of-00001"]


@pytest.mark.parametrize(("partitions", "shards"), [(3, 0), (1, 3), (2, 2)])
def test_more_files_than_records_is_an_error(partitions: int, shards: int) -> None:
    images = [(image_of(number=number), (0,)) for number in range(2)]

    with pytest.raises(DataError, match="fewer partitions or shards"):
        split_records(images, partitions=partitions, shards=shards)


def test_processes_draw_the_same_masks_as_one(tmp_path: Path) -> None:
    images = [image_of(annotate(50, crowd=True, width=n % 9 + 1), number=n) for n in range(130)]

    one, counts = write_masks(images, tmp_path / "one", workers=1, annotations=FILE)
    two, _ = write_masks(images, tmp_path / "two", workers=2, annotations=FILE)

    assert one == two == set(range(130))
    assert counts == {"drawn": 130}
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(f"{n}.png" for n in range(130))
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_images_that_would_share_a_mask_file_are_named(tmp_path: Path) -> None:
    crowd = annotate(50, crowd=True)
    images = [CocoImage(1, "a.jpg", 9, 9, (crowd,)), CocoImage(2, "a.png", 9, 9, (crowd,))]

    with pytest.raises(DataError, match=r"images 1 \(a\.jpg\) and 2 \(a\.png\)"):
        write_masks(images, tmp_path, workers=1, annotations=FILE)
