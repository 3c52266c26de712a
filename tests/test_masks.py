"""Masks: what counts in the loss, and the files that say so."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as run_lengths

from bpnet.data.coco import Annotation, CocoImage, read_coco
from bpnet.data.masks import draw_mask, mask_name, store_mask
from bpnet.errors import DataError


def annotate(
    bbox: tuple[float, float, float, float],
    *,
    keypoints: int = 0,
    crowd: bool = False,
    segmentation: Any = None,
) -> Annotation:
    return Annotation(
        id=5,
        xy=np.zeros((17, 2), np.float32),
        visibility=np.zeros(17, np.int32),
        bbox=np.array(bbox, np.float64),
        area=bbox[2] * bbox[3],
        crowd=crowd,
        segmentation=segmentation,
        num_keypoints=keypoints,
    )


def image_of(*annotations: Annotation, height: int = 6, width: int = 8) -> CocoImage:
    return CocoImage(1, "a.jpg", height, width, annotations)


def square(left: int, top: int, right: int, bottom: int) -> tuple[np.ndarray, ...]:
    return (np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64),)


def test_everything_counts_where_everyone_is_labelled() -> None:
    assert (draw_mask(image_of(annotate((1, 1, 3, 3), keypoints=4))) == 255).all()


@pytest.mark.parametrize("crowd", [True, False])
def test_a_labelled_person_keeps_its_region_inside_an_ignored_one(crowd: bool) -> None:
    mask = draw_mask(
        image_of(
            annotate((0, 0, 5, 4), crowd=crowd, segmentation=square(0, 0, 5, 4)),
            annotate((2, 1, 2, 2), keypoints=9, segmentation=square(2, 1, 4, 3)),
        )
    )

    expected = np.full((6, 8), 255, np.uint8)
    expected[0:4, 0:5] = 0
    expected[1:3, 2:4] = 255
    np.testing.assert_array_equal(mask, expected)


def test_a_crowd_with_keypoints_is_still_a_crowd() -> None:
    assert draw_mask(image_of(annotate((0, 0, 2, 2), crowd=True, keypoints=3)))[0, 0] == 0


def test_a_box_stands_in_for_a_missing_segmentation() -> None:
    mask = draw_mask(image_of(annotate((5.2, 3.9, 50, 1.2))))

    expected = np.full((6, 8), 255, np.uint8)
    expected[3:6, 5:8] = 0  # every pixel the box touches, inside the image
    np.testing.assert_array_equal(mask, expected)


def test_a_box_outside_the_image_covers_nothing() -> None:
    assert draw_mask(image_of(annotate((-9, -9, 4, 4)))).all()


def test_all_polygons_of_a_person_count() -> None:
    segmentation = (*square(0, 0, 1, 1), *square(6, 4, 8, 6))

    mask = draw_mask(image_of(annotate((0, 0, 8, 6), segmentation=segmentation)))

    assert np.argwhere(mask == 0).tolist() == [[0, 0], [4, 6], [4, 7], [5, 6], [5, 7]]


def test_run_lengths_go_down_the_columns_and_begin_with_zeros() -> None:
    segmentation = {"size": [6, 8], "counts": [2, 3, 43]}

    mask = draw_mask(image_of(annotate((0, 0, 8, 6), crowd=True, segmentation=segmentation)))

    assert np.argwhere(mask == 0).tolist() == [[2, 0], [3, 0], [4, 0]]


def test_compressed_run_lengths_equal_those_of_pycocotools() -> None:
    region = np.random.default_rng(3).random((71, 93)) < 0.5
    region[:, 20:80] = False  # long runs take several characters
    counts = run_lengths.encode(np.asfortranarray(region, np.uint8))["counts"].decode()
    person = annotate((0, 0, 9, 9), segmentation={"size": [71, 93], "counts": counts})

    mask = draw_mask(image_of(person, height=71, width=93))

    np.testing.assert_array_equal(mask == 0, region)


@pytest.mark.parametrize("counts", [[2, 3], [-2, 50], ["x"], "", "P1", "garbage", "\u00e9", "o"])
def test_damaged_run_lengths_are_named(counts: Any) -> None:
    person = annotate((0, 0, 8, 6), segmentation={"size": [6, 8], "counts": counts})

    with pytest.raises(DataError, match=r"annotation 5 of a\.jpg has run lengths"):
        draw_mask(image_of(person))


def test_a_mask_file_is_named_after_its_image() -> None:
    assert mask_name("sub/a.b.jpg") == "sub/a.b.png"


def test_a_stored_mask_reads_back_and_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "a.png"
    image = image_of(annotate((0, 0, 5, 4)))

    first = store_mask(image, path)
    content = path.read_bytes()
    second = store_mask(image, path)

    assert (first, second) == ("drawn", "kept")
    assert [entry.name for entry in path.parent.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), draw_mask(image))
    path.unlink()
    store_mask(image, path)
    assert path.read_bytes() == content


def test_a_mask_of_other_annotations_is_drawn_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    store_mask(image_of(annotate((0, 0, 5, 4))), path)

    outcome = store_mask(image_of(annotate((1, 0, 5, 4))), path)

    assert outcome == "drawn"
    assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[0, 0] == 255


def test_a_mask_valid_everywhere_is_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    hidden = annotate((1, 1, 2, 2)), annotate((0, 0, 5, 4), keypoints=3)
    store_mask(image_of(hidden[0]), path)

    assert store_mask(image_of(*hidden), path) == "all valid"
    assert not path.exists()


@pytest.mark.parametrize("annotation", [annotate((0, 0, 5, 4)), annotate((0, 0, 0, 0))])
def test_an_image_where_a_mask_would_stand_is_left_alone(
    tmp_path: Path, annotation: Annotation
) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((6, 8, 3), 77, np.uint8))
    photo = path.read_bytes()

    with pytest.raises(DataError, match=r"a\.png is an image that bpnet did not draw"):
        store_mask(image_of(annotation), path)
    assert path.read_bytes() == photo


def test_a_damaged_mask_is_drawn_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    image = image_of(annotate((0, 0, 5, 4)))
    store_mask(image, path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:-9], b"no image"):
        path.write_bytes(damaged)
        assert store_mask(image, path) == "drawn"
        assert path.read_bytes() == whole


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "masks").write_text("in the way")

    with pytest.raises(DataError, match=r"masks.a\.png cannot be"):
        store_mask(image_of(annotate((0, 0, 5, 4))), tmp_path / "masks" / "a.png")


@pytest.mark.coco
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
def test_real_segmentations_equal_those_of_pycocotools(shared_data: Path) -> None:
    path = shared_data / "coco/annotations/person_keypoints_train.json"
    crowded = [
        image
        for image in read_coco(path).images
        if any(one.crowd and isinstance(one.segmentation, dict) for one in image.annotations)
    ]
    for image in crowded[:5]:
        ignored, kept = np.zeros((2, image.height, image.width), bool)
        for one in image.annotations:
            if isinstance(one.segmentation, dict):
                runs = run_lengths.frPyObjects(dict(one.segmentation), image.height, image.width)
            else:
                assert one.segmentation is not None
                polygons = [polygon.ravel().tolist() for polygon in one.segmentation]
                runs = run_lengths.merge(
                    run_lengths.frPyObjects(polygons, image.height, image.width)
                )
            region = run_lengths.decode(runs) == 1
            if one.crowd or one.num_keypoints == 0:
                ignored |= region
            else:
                kept |= region

        np.testing.assert_array_equal(draw_mask(image) == 0, ignored & ~kept)
    assert len(crowded) >= 5
