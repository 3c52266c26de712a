"""Record files: TAO's features, whole files, and the sentence that a damaged one ends in."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from bpnet.data.coco import Annotation, CocoImage
from bpnet.data.records import PoseRecord, RecordIndex, build_record, write_records
from bpnet.errors import DataError


def record(image_id: int = 9) -> PoseRecord:
    return PoseRecord(
        image_id=image_id,
        height=40,
        width=60,
        image_path="train/\u00e9.jpg",
        mask_path="",
        dataset="coco",
        joints=np.array([[[1.5, 2, 2], [0, 0, 0]], [[7, 8, 1], [9, 9, 2]], [[3, 3, 3]] * 2]),
        scales=np.array([20.5, 31, 4]),
        centers=np.array([[5.5, 6], [7, 8], [1, 2]]),
        person_idx=4,
        num_other_people=2,
    )


def annotate(number: int, *, keypoints: int, crowd: bool = False) -> Annotation:
    return Annotation(
        id=number,
        xy=np.full((2, 2), number, np.float32),
        visibility=np.array([2, 1], np.int32),
        bbox=np.array([number, 0, 4, 10 + number], np.float64),
        area=40,
        crowd=crowd,
        segmentation=None,
        num_keypoints=keypoints,
    )


def test_a_record_survives_its_bytes() -> None:
    before = record()

    after = PoseRecord.parse(before.serialise())

    for name in ("joints", "scales", "centers"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        assert getattr(after, name).dtype == np.float64
    assert after.joints.shape == (3, 2, 3)
    assert (after.image_id, after.height, after.width) == (9, 40, 60)
    assert (after.image_path, after.mask_path, after.dataset) == ("train/\u00e9.jpg", "", "coco")
    assert (after.person_idx, after.num_other_people) == (4, 2)


def test_embedded_files_survive_and_leave_no_trace_where_absent() -> None:
    bare = record()
    full = dataclasses.replace(bare, image_bytes=b"\xff\xd8jpeg", mask_bytes=b"\x89PNG")

    after = PoseRecord.parse(full.serialise())

    assert (after.image_bytes, after.mask_bytes) == (b"\xff\xd8jpeg", b"\x89PNG")
    assert b"encoded" not in bare.serialise()
    assert PoseRecord.parse(bare.serialise()).image_bytes == b""


def test_a_record_without_people_keeps_its_number_of_keypoints() -> None:
    image = CocoImage(8, "a.jpg", 40, 60, (annotate(1, keypoints=0),))

    built = build_record(
        image, None, image_path="a.jpg", mask_path="", dataset="coco", num_keypoints=17
    )
    after = PoseRecord.parse(built.serialise())

    assert after.joints.shape == (0, 17, 3)
    assert (after.scales.shape, after.centers.shape) == ((0,), (0, 2))
    assert (after.person_idx, after.num_other_people) == (-1, 0)


def test_record_files_may_stand_behind_an_address() -> None:
    path = Path("ram://records/deep") / "a"

    assert write_records(path, [record(1), record(2)]) == 2

    index = RecordIndex([path])
    assert [index.parse(number).image_id for number in range(2)] == [1, 2]
    assert tf.io.gfile.listdir("ram://records/deep") == ["a"]
    with pytest.raises(DataError, match="the record file ram://records/none cannot be read"):
        RecordIndex([Path("ram://records/none")])


def test_tao_s_loader_finds_its_features() -> None:
    text, number = tf.io.FixedLenFeature([], tf.string), tf.io.FixedLenFeature([], tf.int64)
    names = {
        "frame/image_id": number,
        "frame/height": number,
        "frame/width": number,
        "frame/image_path": text,
        "frame/mask_path": text,
        "dataset": text,
        "person/joints": text,
        "person/scales": text,
        "person/centers": text,
        "person/person_idx": number,
        "person/num_other_people": number,
    }

    parsed = tf.io.parse_single_example(record().serialise(), names)

    joints = tf.io.decode_raw(parsed["person/joints"], tf.float64).numpy()
    np.testing.assert_array_equal(joints, record().joints.ravel())
    assert parsed["frame/image_path"].numpy().decode() == "train/\u00e9.jpg"
    assert parsed["frame/image_id"].numpy() == 9


def test_the_main_person_comes_first_and_other_labelled_people_follow() -> None:
    people = (
        annotate(0, keypoints=3),
        annotate(1, keypoints=0),
        annotate(2, keypoints=9),
        annotate(3, keypoints=5, crowd=True),
        annotate(4, keypoints=1),
    )
    image = CocoImage(8, "a.jpg", 40, 60, people)

    built = build_record(image, 2, image_path="t/a.jpg", mask_path="m/a.png", dataset="coco")

    assert built.joints[:, 0, 0].tolist() == [2, 0, 4]
    assert built.joints[:, :, 2].tolist() == [[2, 1]] * 3
    assert built.scales.tolist() == [12, 10, 14]
    assert built.centers.tolist() == [[4, 6], [2, 5], [6, 7]]
    assert (built.person_idx, built.num_other_people) == (2, 2)


def test_an_index_reads_any_record_of_several_files(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "empty", tmp_path / "b"]
    for path, ids in zip(paths, ([3, 1, 2], [], [5, 4]), strict=True):
        assert write_records(path, (record(number) for number in ids)) == len(ids)

    index = RecordIndex(paths)

    assert len(index) == 5
    assert [index.parse(place).image_id for place in (4, 0, 3, 2, 1)] == [4, 3, 5, 2, 1]
    assert index.read(3) == record(5).serialise()
    with pytest.raises(ValueError, match="record 5 of 5"):
        index.read(5)


def test_the_files_are_those_of_tensorflow(tmp_path: Path) -> None:
    write_records(tmp_path / "a", [record(1), record(2)])

    read = [data.numpy() for data in tf.data.TFRecordDataset(str(tmp_path / "a"))]

    assert read == [record(1).serialise(), record(2).serialise()]


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_records(tmp_path / name, [record(1), record(2)])

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("lost", [1, 4, 300, -5])
def test_a_file_cut_short_is_named_with_the_byte(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "train-fold-000-of-001"
    write_records(path, [record(1), record(2)])
    content = path.read_bytes()
    second = len(record(1).serialise()) + 16
    path.write_bytes(content[:-lost] if lost > 0 else content[: second - lost])

    with pytest.raises(
        DataError, match=rf"train-fold-000-of-001 is cut short.* at byte {second}\b"
    ):
        RecordIndex([path])


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8" * 40)

    with pytest.raises(DataError, match=r"photo\.jpg is not a TFRecord file.* byte 0"):
        RecordIndex([path])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent cannot be read: No such file"):
        RecordIndex([tmp_path / "absent"])


def test_a_file_that_shrank_after_the_scan_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_records(path, [record(1)])
    index = RecordIndex([path])
    path.write_bytes(path.read_bytes()[:50])

    with pytest.raises(DataError, match="a is shorter than when it was opened"):
        index.read(0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xff\xff", "record 1 of .*a is damaged"),
        (b"", "record 1 of .*a has no feature"),
        (record().serialise().replace(b"person/scales", b"person/scalez"), "'person/scales'"),
    ],
)
def test_a_damaged_record_is_named_with_its_place(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "a"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(record().serialise())
        writer.write(data)

    with pytest.raises(DataError, match=said):
        RecordIndex([path]).parse(1)


def test_people_that_do_not_fit_their_boxes_are_damage(tmp_path: Path) -> None:
    fields = record().__dict__ | {"centers": np.zeros((2, 2))}

    with pytest.raises(DataError, match="the record is damaged"):
        PoseRecord.parse(PoseRecord(**fields).serialise())


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_records(path, [record(1)])

    def broken() -> object:
        yield record(2)
        raise DataError("no more")

    with pytest.raises(DataError, match="no more"):
        write_records(path, broken())  # type: ignore[arg-type]

    assert RecordIndex([path]).parse(0).image_id == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DataError, match=r"file.a cannot be written"):
        write_records(tmp_path / "file" / "a", [record()])
