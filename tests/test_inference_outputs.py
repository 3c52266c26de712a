"""Files of results: what stands in them, and that they are valid whatever ends them."""

import csv
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from listed import ListedFrames

from bpnet.errors import DataError
from bpnet.inference.frame_result import FrameResult
from bpnet.inference.frames import Frame
from bpnet.inference.growing import GrowingFile
from bpnet.inference.outputs import (
    COCO_KEYPOINTS,
    CocoFile,
    DetectionsFile,
    LinesFile,
    TableFile,
    coco_columns,
    write_all,
)
from bpnet.inference.pictures import film_names
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton

PAIR = Skeleton("pair", ("top", "bottom"), ((0, 1),), (0, 1), (0.1, 0.1), {}, ((255, 0, 0),))
VIDEO = ListedFrames([], name="a clip.mp4")
FOLDER = ListedFrames([], name="photos", moving=False)


@contextmanager
def full_disk(largest_file: int) -> Iterator[None]:
    """Files end at so many bytes, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def one_person(ids: list[int] | None = None) -> PersonKeypoints:
    """``top`` at (10.5, 20), ``bottom`` not found."""
    return PersonKeypoints(
        np.array([[[10.5, 20], [0, 0]]], np.float32),
        np.array([[0.75, 0]], np.float32),
        np.array([0.5], np.float32),
        ids=None if ids is None else np.array(ids, np.int64),
    )


def video_result(index: int, ids: list[int] | None = None) -> FrameResult:
    image = np.zeros((32, 32, 3), np.uint8)
    return FrameResult(VIDEO, Frame(image, index, index / 3), persons=one_person(ids))


def photo_result(index: int, name: str, **record: object) -> FrameResult:
    image = np.zeros((32, 32, 3), np.uint8)
    frame = Frame(image, index, record={**record, "full_image_path": name})
    return FrameResult(FOLDER, frame, persons=one_person(), drawing=image)


def test_detections_say_where_they_are_from(tmp_path: Path) -> None:
    file = DetectionsFile(tmp_path / "detections.json", {"run": 'a "b"'}, pictures=True)
    file.write(0, photo_result(0, "in/a.png", id=7))
    file.write(1, video_result(4, [3]))
    failed = Frame(None, 5, 1.5, failure="frame 5 is broken")
    file.write(2, FrameResult(VIDEO, failed, failed.failure))
    file.close()
    content = json.loads((tmp_path / "detections.json").read_text())
    people = {"keypoints": [[[10.5, 20], [0, 0]]], "keypoint_scores": [[0.75, 0]], "scores": [0.5]}
    place = {"source": "a clip.mp4", "frame": 4, "time": 1.333333}
    broken = {**place, "frame": 5, "time": 1.5, "error": "frame 5 is broken"}
    assert content == {
        "run": 'a "b"',
        "images": [
            {"id": 7, "full_image_path": "in/a.png", **people, "viz_id": 0},
            {**place, "ids": [3], **people},
            broken,
        ],
    }


def test_a_file_without_results_is_json_too(tmp_path: Path) -> None:
    DetectionsFile(tmp_path / "detections.json", {}, pictures=False).close()
    assert json.loads((tmp_path / "detections.json").read_text()) == {"images": []}
    CocoFile(tmp_path / "coco.json", PAIR).close()
    assert json.loads((tmp_path / "coco.json").read_text()) == []


def test_a_line_can_be_read_before_the_file_is_closed(tmp_path: Path) -> None:
    file = LinesFile(tmp_path / "detections.jsonl")
    file.write(0, video_result(0, [1]))
    line = json.loads((tmp_path / "detections.jsonl").read_text())
    assert (line["source"], line["frame"], line["time"], line["ids"]) == ("a clip.mp4", 0, 0, [1])
    file.close()


def test_a_table_has_a_row_a_keypoint(tmp_path: Path) -> None:
    file = TableFile(tmp_path / "detections.csv", PAIR)
    file.write(0, video_result(2, [9]))
    file.write(1, photo_result(0, 'in/a "b", c.png'))
    file.close()
    with (tmp_path / "detections.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["keypoint"] for row in rows] == ["top", "bottom"] * 2
    assert [(row["x"], row["y"], row["score"]) for row in rows[:2]] == [
        ("10.5", "20.0", "0.75"),
        ("", "", "0.0"),
    ]
    assert [row["id"] for row in rows] == ["9", "9", "", ""]
    assert rows[2]["image"] == 'in/a "b", c.png'
    assert (rows[0]["source"], rows[0]["frame"], rows[0]["time"]) == ("a clip.mp4", "2", "0.666667")


def test_coco_results_take_the_images_own_numbers(tmp_path: Path) -> None:
    file = CocoFile(tmp_path / "coco.json", PAIR)
    file.write(0, photo_result(0, "000000000139.jpg"))
    file.write(1, photo_result(1, "door.jpg"))
    file.write(2, photo_result(2, "7.jpg", image_id=88))
    file.write(3, video_result(12))
    file.close()
    results = json.loads((tmp_path / "coco.json").read_text())
    assert [result["image_id"] for result in results] == [139, 1, 88, 12]
    assert results[0]["keypoints"] == [10.5, 20, 0.75, 0, 0, 0]
    assert results[0]["category_id"] == 1


def test_coco_keypoints_stand_in_cocos_order_without_the_neck() -> None:
    names = ("neck", *reversed(COCO_KEYPOINTS))
    skeleton = Skeleton(
        "s", names, ((0, 1),), tuple(range(18)), (0.1,) * 18, {"neck": ("nose",)}, ((0, 0, 0),)
    )
    assert [names[column] for column in coco_columns(skeleton)] == list(COCO_KEYPOINTS)
    assert coco_columns(PAIR) == [0, 1]


def test_what_does_not_fit_on_the_disk_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    with full_disk(100):
        file = GrowingFile(path, head="[", between=",", tail="]\n")
        for _ in range(2):
            file.append('"' + 30 * "a" + '"')
        with pytest.raises(DataError, match=r"list\.json cannot be written: "):
            file.append('"' + 60 * "b" + '"')
        assert not path.exists()
        file.close()
    assert json.loads(path.read_text()) == [30 * "a"] * 2
    assert [each.name for each in tmp_path.iterdir()] == ["list.json"]


def test_the_last_piece_gives_way_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    file = GrowingFile(path, head="[", between=",", tail="]\n")
    with full_disk(7):
        file.append("11")
        file.append("22")  # 6 bytes so far
        with pytest.raises(DataError):
            file.close()
    assert json.loads(path.read_text()) == [11]


def test_a_file_without_room_for_its_head_is_not_left(tmp_path: Path) -> None:
    with full_disk(3), pytest.raises(DataError):
        GrowingFile(tmp_path / "list.json", head="12345")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_a_folders_is_a_sentence_and_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "x.json").mkdir()
    file = GrowingFile(tmp_path / "x.json", head="[", tail="]")
    file.append("1")
    with pytest.raises(DataError, match=r"x\.json cannot be written: .*what was written is in"):
        file.close()
    (part,) = (one for one in tmp_path.iterdir() if one.is_file())
    assert part.read_text() == "[1]"


def test_every_output_is_ended_though_one_fails(tmp_path: Path) -> None:
    def results() -> Iterator[FrameResult]:
        for index in range(100):
            yield video_result(index, [1])

    outputs = [
        LinesFile(tmp_path / "detections.jsonl"),
        TableFile(tmp_path / "detections.csv", PAIR),
        DetectionsFile(tmp_path / "detections.json", {}, pictures=False),
    ]
    with full_disk(3000), pytest.raises(DataError, match="cannot be written"):
        write_all(results(), outputs)
    images = json.loads((tmp_path / "detections.json").read_text())["images"]
    lines = (tmp_path / "detections.jsonl").read_text().splitlines()
    assert 5 < len(images) < 100
    assert len(lines) - len(images) in (0, 1)
    assert [json.loads(line)["frame"] for line in lines] == list(range(len(lines)))
    table = (tmp_path / "detections.csv").read_text()
    assert table.endswith("\n")


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["rtsp://u:***@host/door"], ["Pose_Estimation.mp4"]),
        (["in/a.mp4", "in/b.MOV"], ["Pose_Estimation_a.mp4", "Pose_Estimation_b.mp4"]),
        (["x/a.mp4", "y/A.mp4"], ["Pose_Estimation_a.mp4", "Pose_Estimation_A_2.mp4"]),
        (
            ["rtsp://host/live/?token=***", "../..", "camera 0"],
            [
                "Pose_Estimation_token.mp4",
                "Pose_Estimation_input.mp4",
                "Pose_Estimation_camera_0.mp4",
            ],
        ),
    ],
)
def test_films_are_named_for_their_sources(sources: list[str], names: list[str]) -> None:
    assert film_names(sources) == names
