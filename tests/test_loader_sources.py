"""Where images come from: files, records, addresses; and those that a training goes on without."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from small_training import (
    COCO,
    SKELETON,
    batches_of,
    grey_images,
    loader_of,
    record_of,
    write_image,
)

from bpnet.data.coco import Annotation, CocoImage
from bpnet.data.masks import store_mask
from bpnet.data.pipeline import iterate, make_batches, steps_per_epoch
from bpnet.data.records import write_records
from bpnet.data.skipped import SkippedImages
from bpnet.errors import DataError


def equal(one, other):
    return all(
        np.array_equal(a[name], b[name]) for a, b in zip(one, other, strict=True) for name in a
    )


def masked_images(root, count):
    """Random images with random masks, and their records."""
    records = grey_images(root, count)
    random = np.random.default_rng(1)
    for number in range(count):
        write_image(root / f"{number}.png", random.choice([0, 255], (60, 80)).astype(np.uint8))
    return [replace(one, mask_path=f"{n}.png", image_id=n) for n, one in enumerate(records)]


def test_embedded_files_make_the_batches_that_files_make(tmp_path):
    records = masked_images(tmp_path, 4)
    embedded = [
        replace(
            one,
            image_bytes=(tmp_path / one.image_path).read_bytes(),
            mask_bytes=(tmp_path / one.mask_path).read_bytes(),
        )
        for one in records
    ]
    from_files = batches_of(tmp_path, records)
    for one in records:
        (tmp_path / one.image_path).unlink()
        (tmp_path / one.mask_path).unlink()
    assert equal(batches_of(tmp_path, embedded), from_files)


def test_images_and_records_behind_an_address_are_read(tmp_path):
    records = masked_images(tmp_path, 3)
    from_files = batches_of(tmp_path, records)
    root = "ram://loader/data"
    for path in [*tmp_path.glob("*.jpg"), *tmp_path.glob("*.png"), tmp_path / "train.tfrecord"]:
        tf.io.gfile.copy(str(path), f"{root}/{path.name}", overwrite=True)
    batches = make_batches(
        loader_of(root),
        skeleton=SKELETON,
        datasets={"coco": COCO},
        records=[Path(f"{root}/train.tfrecord")],
        seed=1,
        batch_size=2,
        steps=2,
    )
    remote = [{name: value.numpy() for name, value in one.items()} for one in iterate(batches)]
    assert remote[0].pop("paths")[0].startswith(root.encode())
    for one in (*remote, *from_files):
        one.pop("paths", None)
    assert equal(remote, from_files)


def test_an_image_missing_behind_an_address_is_named(tmp_path):
    (record,) = grey_images(tmp_path, 1)
    with pytest.raises(DataError, match=r"^ram://nothing/here/0\.jpg \(image 1\) cannot be read"):
        batches_of(tmp_path, [record], loader=loader_of("ram://nothing/here"))


def test_an_image_without_people_has_no_keypoints(tmp_path):
    write_image(tmp_path / "a.jpg", np.zeros((60, 80, 3), np.uint8))
    negative = replace(record_of("a.jpg", [], size=(60, 80)), joints=np.zeros((0, 3, 3)))
    (batch,) = batches_of(tmp_path, [negative], steps=1)
    assert batch["keypoints"].shape == (2, 1, 4, 3)
    assert not batch["keypoints"].any()
    assert (batch["masks"] == 1).all()


def test_an_image_is_shown_as_it_is_stored_whatever_its_exif_orientation(tmp_path):
    records = grey_images(tmp_path, 1)
    plain = batches_of(tmp_path, records)
    data = (tmp_path / "0.jpg").read_bytes()
    quarter_turn = bytes.fromhex("4d4d002a00000008 0001 0112 0003 00000001 00060000 00000000")
    segment = b"Exif\0\0" + quarter_turn
    header = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big")
    (tmp_path / "0.jpg").write_bytes(data[:2] + header + segment + data[2:])
    assert equal(batches_of(tmp_path, records), plain)


def test_a_crowd_has_no_loss_but_the_labelled_person_in_it_has(tmp_path):
    def person(box, *, keypoints, crowd=False):
        xy, flags = np.zeros((3, 2), np.float32), np.zeros(3, np.int32)
        region = np.array(box, np.float64)
        return Annotation(1, xy, flags, region, 1.0, crowd, None, keypoints)

    crowd = person((32, 32, 64, 48), keypoints=0, crowd=True)
    nobody = person((128, 0, 16, 16), keypoints=0)
    labelled = person((64, 48, 16, 64), keypoints=3)
    image = CocoImage(1, "a.jpg", 128, 160, (crowd, nobody, labelled))
    write_image(tmp_path / "a.jpg", np.zeros((128, 160, 3), np.uint8))
    assert store_mask(image, tmp_path / "a.png") == "drawn"
    record = record_of("a.jpg", [], size=(128, 160), mask="a.png")
    loader = loader_of(tmp_path, mode="standard")
    (batch,) = batches_of(tmp_path, [record], loader=loader, augment=False, batch_size=1, steps=1)
    counts = np.ones((16, 20))  # cells of 8 pixels
    counts[4:10, 4:12] = counts[0:2, 16:18] = 0
    counts[6:14, 8:10] = 1
    np.testing.assert_array_equal(batch["masks"][0, ..., 0], counts)


def spoil(path):
    path.write_bytes(path.read_bytes()[:500])


@pytest.mark.parametrize(
    ("name", "damage", "sentence"),
    [
        ("1.jpg", spoil, "1.jpg (image 1) is not an image, or is damaged"),
        ("1.jpg", Path.unlink, "1.jpg (image 1) cannot be read: No such file"),
        ("1.png", Path.unlink, "1.png (mask of image 1) cannot be read: No such file"),
    ],
)
def test_a_bad_image_is_skipped_and_the_others_stay_as_they_were(tmp_path, name, damage, sentence):
    records = masked_images(tmp_path, 3)
    whole = batches_of(tmp_path, records, batch_size=3, steps=2)
    damage(tmp_path / name)
    skipped = SkippedImages()
    rest = batches_of(tmp_path, records, batch_size=3, steps=2, skipped=skipped)
    again = batches_of(tmp_path, records, batch_size=3, steps=2, threads=1, skipped=SkippedImages())
    assert equal(rest, again)
    for batch, before in zip(rest, whole, strict=True):
        bad = batch["paths"] == str(tmp_path / "1.jpg").encode()
        assert bad.sum() == 1
        assert (batch["images"][bad] == 127).all()
        assert not batch["masks"][bad].any()
        assert not batch["keypoints"][bad].any()
        for value in ("images", "masks", "keypoints"):
            np.testing.assert_array_equal(batch[value][~bad], before[value][~bad])
    path = str(tmp_path / "1.jpg")
    assert len(skipped) == 1
    assert sentence in skipped.reasons[path]
    assert skipped.times[path] == 2


def test_a_damaged_record_is_skipped(tmp_path):
    records = grey_images(tmp_path, 3)
    write_records(tmp_path / "train.tfrecord", records)
    data = (tmp_path / "train.tfrecord").read_bytes()
    place = data.index(b"frame/height")
    spoiled = data[:place] + b"frame/hXight" + data[place + 12 :]
    (tmp_path / "train.tfrecord").write_bytes(spoiled)

    def read(**how):
        batches = make_batches(
            loader_of(tmp_path),
            skeleton=SKELETON,
            datasets={"coco": COCO},
            records=[tmp_path / "train.tfrecord"],
            seed=1,
            batch_size=3,
            steps=1,
            **how,
        )
        return next(iterate(batches))

    with pytest.raises(DataError, match=r"record 0 of .* has no feature 'frame/height'"):
        read()
    skipped = SkippedImages()
    batch = read(skipped=skipped)
    grey = (batch["images"].numpy() == 127).all(axis=(1, 2, 3))
    assert grey.sum() == 1
    assert not batch["masks"].numpy()[grey].any()
    assert list(skipped.reasons) == ["record 0"]


def test_a_record_file_cut_short_is_used_as_far_as_it_goes(tmp_path):
    records = grey_images(tmp_path, 3)
    path = tmp_path / "train.tfrecord"
    write_records(path, records)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="is cut short: the record at byte"):
        steps_per_epoch([path], 1)
    skipped = SkippedImages()
    assert steps_per_epoch([path, tmp_path / "no.tfrecord"], 1, skipped) == 2
    assert steps_per_epoch([path], 1, skipped) == 2
    assert sorted(skipped.reasons) == [str(tmp_path / "no.tfrecord"), str(path)]
    assert set(skipped.times.values()) == {1}
    batches = make_batches(
        loader_of(tmp_path),
        skeleton=SKELETON,
        datasets={"coco": COCO},
        records=[path],
        seed=1,
        batch_size=2,
        steps=1,
        skipped=skipped,
    )
    names = {Path(name.decode()).name for name in next(iterate(batches))["paths"].numpy()}
    assert names == {"0.jpg", "1.jpg"}


def test_what_was_skipped_is_listed_once_with_counts(caplog):
    skipped = SkippedImages()
    with caplog.at_level(logging.WARNING):
        skipped.report()
        assert not caplog.messages
        for name in ("b.jpg", "a.jpg", "b.jpg"):
            skipped.add(name, f"{name} is damaged")
        met = caplog.messages[:]
        skipped.report()
    assert met == ["skipped: b.jpg is damaged", "skipped: a.jpg is damaged"]
    assert caplog.messages[2:] == [
        "2 images or record files were skipped, 3 times in all:",
        "  a.jpg is damaged (1 times)",
        "  b.jpg is damaged (2 times)",
    ]
