"""``bpnet skeleton``: files made, checked and drawn, of people and of what are none."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bpnet import cli
from bpnet.commands.skeleton_check import check_skeleton
from bpnet.commands.skeleton_draw import _crossings, draw_skeleton, spread_out
from bpnet.commands.skeleton_graph import suggest_limbs
from bpnet.commands.skeleton_labels import People, people_of_file
from bpnet.commands.skeleton_repeated import measure_sigmas, read_repeated
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category

FINGERS = ("thumb", "index", "middle", "ring", "little")
BEETLE = {
    "id": 7,
    "name": "beetle",
    "supercategory": "insect",
    "keypoints": ["head", "left_leg", "right_leg", "tail"],
    "skeleton": [[1, 2], [1, 3], [1, 4]],
}
POSE = [[50, 10, 2], [80, 50, 2], [20, 50, 2], [50, 90, 2]]


def coco(
    path: Path, poses: list[Any], *, category: dict[str, Any] = BEETLE, first: int = 1
) -> Path:
    """An annotation file of one beetle of 100 x 100 an image."""
    images, annotations = [], []
    for number, pose in enumerate(poses, first):
        images.append({"id": number, "file_name": f"{number}.jpg", "height": 100, "width": 100})
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": category["id"],
                "bbox": [0, 0, 100, 100],
                "area": 10000,
                "iscrowd": 0,
                "keypoints": np.asarray(pose).flatten().tolist(),
            }
        )
    content = {"images": images, "annotations": annotations, "categories": [category]}
    path.write_text(json.dumps(content))
    return path


def skeleton_file(path: Path, **category: Any) -> Path:
    path.write_text(json.dumps({"categories": [{**BEETLE, **category}]}))
    return path


def moved(pose: list[list[int]], index: int, x: int, y: int) -> list[list[int]]:
    return [[a + x, b + y, v] if i == index else [a, b, v] for i, (a, b, v) in enumerate(pose)]


class TestInit:
    def test_a_category_becomes_a_skeleton_file(self, tmp_path, capsys):
        source, target = coco(tmp_path / "a.json", [POSE]), tmp_path / "s.json"
        assert cli.main(["skeleton", "init", str(source), "-o", str(target)]) == 0
        skeleton = Skeleton.load(target)
        assert (skeleton.name, skeleton.limbs) == ("beetle", ((0, 1), (0, 2), (0, 3)))
        assert skeleton.mirror == (0, 2, 1, 3)
        assert "heat_channels: 5, paf_channels: 6" in capsys.readouterr().out

    @pytest.mark.parametrize("content", [[{"name": "none"}, BEETLE], BEETLE])
    def test_categories_alone_will_do(self, tmp_path, content):
        source, target = tmp_path / "c.json", tmp_path / "s.json"
        source.write_text(json.dumps(content))
        assert cli.main(["skeleton", "init", str(source), "-o", str(target)]) == 0
        assert Skeleton.load(target).keypoints[3] == "tail"

    def test_a_hand_of_21_points_from_names_alone(self, tmp_path):
        target = tmp_path / "hand.json"
        chains = [
            word
            for finger in FINGERS
            for word in ("--chain", "wrist", *(f"{finger}_{joint}" for joint in range(1, 5)))
        ]
        line = ["skeleton", "init", "-o", str(target), "--name", "hand", *chains]
        assert cli.main(line) == 0
        hand = Skeleton.load(target)
        assert (hand.name, hand.heatmap_channels, hand.paf_channels) == ("hand", 22, 40)
        assert hand.limbs[4] == (0, 5)
        assert hand.mirror == tuple(range(21))
        assert cli.main(["skeleton", "draw", str(target)]) == 0
        assert cv2.imread(str(target.with_suffix(".png"))).shape[0] == 900

    def test_options_add_to_the_file(self, tmp_path):
        source, target = coco(tmp_path / "a.json", [POSE]), tmp_path / "s.json"
        options = "--derive middle left_leg right_leg --limb middle tail --limb middle head"
        options += " --keypoints sting --chain tail sting --mirror head sting"
        line = ["skeleton", "init", str(source), "-o", str(target), *options.split()]
        assert cli.main(line) == 0
        skeleton = Skeleton.load(target)
        assert skeleton.keypoints[4:] == ("sting", "middle")
        assert skeleton.derived == {"middle": ("left_leg", "right_leg")}
        assert skeleton.limbs[3:] == ((3, 4), (5, 3), (5, 0))
        assert skeleton.mirror == (4, 2, 1, 3, 0, 5)

    def test_short_lists_stand_on_one_line(self, tmp_path):
        source, target = coco(tmp_path / "a.json", [POSE]), tmp_path / "s.json"
        cli.main(["skeleton", "init", str(source), "-o", str(target)])
        assert '"keypoints": ["head", "left_leg", "right_leg", "tail"]' in target.read_text()

    def test_a_file_is_not_written_over(self, tmp_path, capsys):
        source, target = coco(tmp_path / "a.json", [POSE]), tmp_path / "s.json"
        target.write_text("mine")
        line = ["skeleton", "init", str(source), "-o", str(target)]
        assert cli.main(line) == 1
        assert "give --overwrite" in capsys.readouterr().err
        assert target.read_text() == "mine"
        assert cli.main([*line, "--overwrite"]) == 0

    @pytest.mark.parametrize(
        ("category", "options", "said"),
        [
            ({"keypoints": []}, [], "no category with keypoints"),
            ({"skeleton": []}, [], "no limbs: give --chain"),
            ({}, ["--limb", "head", "wing"], "there is no keypoint wing"),
            ({}, ["--category", "bee"], "no category `bee`"),
            ({"skeleton": [[1, "2"]]}, [], r"skeleton[0][1]: expected a whole number"),
            ({"skeleton": [[1, 9]]}, [], "from 1 to 4"),
        ],
    )
    def test_what_cannot_be_a_skeleton_is_named(self, tmp_path, capsys, category, options, said):
        source = coco(tmp_path / "a.json", [], category={**BEETLE, **category})
        target = tmp_path / "s.json"
        assert cli.main(["skeleton", "init", str(source), "-o", str(target), *options]) == 1
        assert said in capsys.readouterr().err
        assert not target.exists()

    def test_without_a_file_names_are_needed(self, tmp_path, capsys):
        assert cli.main(["skeleton", "init", "-o", str(tmp_path / "s.json")]) == 1
        assert "no keypoints" in capsys.readouterr().err

    def test_limbs_are_suggested_by_what_keeps_its_length(self):
        """A body of 4 points in a row, one of which passes near another from time to time."""
        draw = np.random.default_rng(0)
        xy = np.zeros((200, 4, 2), np.float32)
        for index, step in enumerate((20, 20, 30), 1):
            angle = draw.uniform(0, 2 * np.pi, 200)
            away = step * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
            xy[:, index] = xy[:, index - 1] + away
        people = People(("a", "b", "c", "d"), xy, np.ones((200, 4), bool), np.full(200, 50.0))
        limbs = suggest_limbs(people, mirror=(0, 1, 2, 3))
        assert {frozenset(limb) for limb in limbs} == {
            frozenset(p) for p in ((0, 1), (1, 2), (2, 3))
        }
        assert limbs[0][0] == 1  # from the middle outwards

    def test_suggested_limbs_have_their_mirror_images(self, tmp_path):
        poses = [moved(POSE, 2, step, step) for step in range(12)]
        source, target = coco(tmp_path / "a.json", poses), tmp_path / "s.json"
        line = ["skeleton", "init", str(source), "-o", str(target), "--suggest_limbs"]
        assert cli.main(line) == 0
        skeleton = Skeleton.load(target)
        assert not [finding for finding in check_skeleton(skeleton) if "mirror" in finding.sentence]


class TestCheck:
    def code(self, *arguments: Path | str) -> int:
        return cli.main(["skeleton", "check", *map(str, arguments)])

    @pytest.mark.parametrize(
        ("category", "code", "said"),
        [
            ({}, 0, "errors: 0"),
            ({"skeleton": [[1, 2], [1, 3]]}, 1, "no limb reaches tail"),
            ({"skeleton": [[1, 4], [2, 3]]}, 1, "2 parts that nothing connects"),
            ({"skeleton": [[1, 2], [2, 3], [1, 4]]}, 0, "has no mirror image: add head, right_leg"),
            ({"mirror": []}, 0, "left_leg sounds like one of two sides"),
            ({"sigmas": [0.1, 0.1, 0.09, 0.1]}, 0, "mirror images with different sigmas"),
            ({"sigmas": [0.5, 0.1, 0.1, 0.1]}, 0, "the sigma of head, 0.5, is not between"),
            ({}, 0, "4 of 4 keypoints have the sigma 0.05, which is a guess"),
        ],
    )
    def test_faults_are_named(self, tmp_path, capsys, category, code, said):
        assert self.code(skeleton_file(tmp_path / "s.json", **category)) == code
        assert said in capsys.readouterr().out

    def test_a_file_that_is_no_skeleton_is_an_error(self, tmp_path, capsys):
        assert self.code(skeleton_file(tmp_path / "s.json", skeleton=[[1, 5]])) == 1
        assert "from 1 to 4, found [1, 5]" in capsys.readouterr().err

    def test_what_labels_lack_is_an_error(self, tmp_path, capsys):
        pose = [*POSE[:3], [0, 0, 0]]
        labels = coco(tmp_path / "a.json", [pose, pose])
        assert self.code(skeleton_file(tmp_path / "s.json"), "-a", labels) == 1
        shown = capsys.readouterr().out
        assert "nobody has a label of tail" in shown
        assert "2 people with keypoints" in shown

    def test_a_derived_keypoint_counts_as_labelled(self, tmp_path):
        labels = coco(tmp_path / "a.json", [POSE, [*POSE[:2], [0, 0, 0], POSE[3]]])
        keypoints = [*BEETLE["keypoints"], "middle"]
        derived = {"middle": ["left_leg", "right_leg"]}
        file = skeleton_file(tmp_path / "s.json", keypoints=keypoints, derived=derived)
        people = people_of_file(labels, Skeleton.read(file), category=None)
        assert people.labelled[:, 4].tolist() == [True, False]
        assert people.xy[0, 4].tolist() == [50, 50]

    def test_a_dataset_spec_leads_to_the_labels(self, tmp_path, capsys):
        coco(tmp_path / "a.json", [POSE])
        section = {"images_root_dir_path": ".", "annotation_root_dir_path": "a.json"}
        spec = tmp_path / "d.json"
        content = {"root_directory_path": str(tmp_path), "categories": [BEETLE]}
        spec.write_text(json.dumps({**content, "test_data": section}))
        assert self.code(skeleton_file(tmp_path / "s.json"), "-d", spec) == 0
        assert "1 people with keypoints" in capsys.readouterr().out


class TestSigmas:
    def repeated(self, tmp_path: Path, people: int = 10) -> list[Path]:
        """Twice the same people: heads 10 pixels apart, left legs too, the rest alike."""
        other = moved(moved(POSE, 0, 6, 8), 1, 6, 8)
        first = coco(tmp_path / "1.json", [POSE] * people)
        return [first, coco(tmp_path / "2.json", [other] * people)]

    def test_they_are_cocos(self, tmp_path):
        skeleton = Skeleton.read(skeleton_file(tmp_path / "s.json"))
        groups = read_repeated(self.repeated(tmp_path), skeleton.keypoints, category=None)
        assert len(groups) == 10
        measured = measure_sigmas(groups, skeleton)
        # 10 pixels apart: 5 from the mean, (25 + 25) / (2 - 1) of an area of 10000.
        assert measured["head"] == (pytest.approx(0.005**0.5), 20)
        assert measured["left_leg"] == measured["right_leg"] == (pytest.approx(0.0025**0.5), 40)
        assert measured["tail"] == (0, 20)

    def test_few_labels_are_none(self, tmp_path):
        skeleton = Skeleton.read(skeleton_file(tmp_path / "s.json"))
        files = self.repeated(tmp_path, people=9)
        groups = read_repeated(files, skeleton.keypoints, category=None)
        assert set(measure_sigmas(groups, skeleton)) == {"left_leg", "right_leg"}

    def test_init_writes_them(self, tmp_path, capsys):
        files = self.repeated(tmp_path)
        target = tmp_path / "s.json"
        line = ["skeleton", "init", files[0], "-o", target, "--repeated", *files]
        assert cli.main([str(word) for word in line]) == 0
        assert Skeleton.load(target).sigmas == (0.0707, 0.05, 0.05, 0.05)
        assert "of tail; their sigmas are as before" in capsys.readouterr().err

    def test_check_compares_them(self, tmp_path, capsys):
        files = map(str, self.repeated(tmp_path))
        file = skeleton_file(tmp_path / "s.json", sigmas=[0.03, 0.05, 0.05, 0.05])
        assert cli.main(["skeleton", "check", str(file), "--repeated", *files]) == 0
        shown = capsys.readouterr().out
        assert "0.0707 of 20 labels; 2.4 times apart" in shown
        assert "20 labels, all the same" in shown

    def test_files_without_a_common_person_are_refused(self, tmp_path, capsys):
        one, two = coco(tmp_path / "1.json", [POSE]), coco(tmp_path / "2.json", [POSE], first=5)
        file = skeleton_file(tmp_path / "s.json")
        line = ["skeleton", "check", str(file), "--repeated", str(one), str(two)]
        assert cli.main(line) == 1
        assert "no person in common" in capsys.readouterr().err

    def test_one_file_is_not_enough(self, tmp_path, capsys):
        one, file = coco(tmp_path / "1.json", [POSE]), skeleton_file(tmp_path / "s.json")
        assert cli.main(["skeleton", "check", str(file), "--repeated", str(one)]) == 1
        assert "two annotation files" in capsys.readouterr().err


class TestDraw:
    def test_a_chain_is_drawn_straight(self):
        category = Category(keypoints=["a", "b", "c"], skeleton=[[1, 2], [2, 3]])
        a, b, c = spread_out(Skeleton.from_category(category, "chain"))
        assert np.linalg.norm(a - c) == pytest.approx(2 * np.linalg.norm(a - b), rel=0.01)
        assert a[1] < b[1] < c[1]  # the first at the top

    def test_left_is_on_the_right(self):
        head, left, right, _ = spread_out(Skeleton.from_category(Category(**BEETLE), "beetle"))
        assert left[0] > head[0] > right[0]

    def test_a_labelled_pose_is_drawn_where_it_is(self, tmp_path):
        skeleton = Skeleton.read(skeleton_file(tmp_path / "s.json"))
        labels = coco(tmp_path / "a.json", [[*POSE[:3], [0, 0, 0]], POSE])
        people = people_of_file(labels, skeleton, category=None)
        picture = draw_skeleton(skeleton, people)
        # POSE is 80 high and grows to 720: 9 times, its middle (50, 50) at (450, 450).
        for x, y in ((450, 90), (720, 450), (180, 450), (450, 810)):
            assert picture[y - 9 : y + 9, x - 9 : x + 9].min() < 100
        assert picture[450, 800].tolist() == [255, 255, 255]

    def test_crossing_limbs_are_counted(self):
        xy = np.array([[0, 0], [10, 10], [0, 10], [10, 0], [20, 0]], float)
        assert _crossings(xy, [(0, 1), (2, 3)]) == 1
        assert _crossings(xy, [(0, 2), (3, 1)]) == 0
        assert _crossings(xy, [(0, 1), (1, 2)]) == 0

    def test_133_points_have_room(self):
        names = [f"p{i}" for i in range(133)]
        limbs = [[i, i + 1] for i in range(1, 133)]
        skeleton = Skeleton.from_category(Category(keypoints=names, skeleton=limbs), "many")
        picture = draw_skeleton(skeleton)
        assert picture.shape[0] == 900
        assert picture.shape[1] > 1500

    def test_the_suffix_says_the_format(self, tmp_path, capsys):
        file = skeleton_file(tmp_path / "s.json")
        assert cli.main(["skeleton", "draw", str(file), "-o", str(tmp_path / "s.gif")]) == 2
        assert cli.main(["skeleton", "draw", str(file), "-o", str(tmp_path / "s.jpg")]) == 0
        assert cv2.imread(str(tmp_path / "s.jpg")) is not None


@pytest.mark.coco
def test_cocos_own_limbs_are_suggested(shared_data, tmp_path):
    source = shared_data / "coco" / "annotations" / "person_keypoints_train.json"
    target = tmp_path / "s.json"
    line = ["skeleton", "init", str(source), "-o", str(target), "--suggest_limbs"]
    assert cli.main(line) == 0
    skeleton = Skeleton.load(target)
    named = {frozenset(skeleton.keypoints[i] for i in limb) for limb in skeleton.limbs}
    for side in ("left", "right"):
        for one, other in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee")):
            assert frozenset((f"{side}_{one}", f"{side}_{other}")) in named
