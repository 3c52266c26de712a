"""Skeletons: what they default to, what they refuse, and the contract that carries them."""

import json
import logging

import pytest

from bpnet.errors import ModelError, SpecError
from bpnet.pose.contract import ModelContract
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category

BODY = ["neck", "left_shoulder", "right_shoulder", "nose"]


def skeleton_of(**keys) -> Skeleton:
    keys = {"keypoints": BODY, "skeleton": [[1, 2], [1, 3], [1, 4]]} | keys
    return Skeleton.from_category(Category(**keys), "test")


def test_limbs_count_from_0_and_give_the_channels():
    skeleton = skeleton_of()
    assert skeleton.limbs == ((0, 1), (0, 2), (0, 3))
    assert (skeleton.heatmap_channels, skeleton.paf_channels) == (5, 6)


def test_sides_mirror_each_other_and_the_middle_itself():
    assert skeleton_of().mirror == (0, 2, 1, 3)


@pytest.mark.parametrize(
    "names",
    [
        ["l_eye", "r_eye"],
        ["eye_l", "eye_r"],
        ["leftEye", "rightEye"],
        ["LEye", "REye"],
        ["eyeLeft", "eyeRight"],
        ["left eye", "right eye"],
        ["LEFT_EYE", "RIGHT_EYE"],
    ],
)
def test_the_usual_spellings_of_left_and_right_are_found(names):
    skeleton = Skeleton.from_category(Category(keypoints=[*names, "rear", "lear"]), "x")
    assert skeleton.mirror == (1, 0, 2, 3)


def test_mirror_pairs_of_the_file_replace_the_names():
    assert skeleton_of(mirror=[["neck", "nose"]]).mirror == (3, 1, 2, 0)


def test_sigmas_are_cocos_by_name_and_the_neck_has_the_shoulders():
    names = ["neck", "left_shoulder", "r_ankle", "nose", "tail"]
    skeleton = Skeleton.from_category(Category(keypoints=names), "x")
    assert skeleton.sigmas == (0.079, 0.079, 0.089, 0.026, 0.05)


def test_the_neck_is_derived_where_both_shoulders_are():
    assert skeleton_of().derived == {"neck": ("left_shoulder", "right_shoulder")}
    assert Skeleton.from_category(Category(keypoints=["neck", "left_shoulder"]), "x").derived == {}
    assert skeleton_of(derived={}).derived == {}


def test_colors_are_warm_on_the_right_and_cool_on_the_left_and_all_differ():
    skeleton = Skeleton.from_category(
        Category(
            keypoints=["a", "left_b", "left_c", "right_b", "right_c", "d"],
            skeleton=[[1, 2], [2, 3], [1, 4], [4, 5], [1, 6]],
        ),
        "x",
    )
    assert len(set(skeleton.colors)) == 5
    for red, _, blue in skeleton.colors[:2]:
        assert blue > red
    for red, _, blue in skeleton.colors[2:4]:
        assert red > blue


def test_colors_of_the_file_are_read_as_rgb():
    colors = ["#ff8000", "#000000", "#0A0b0C"]
    assert skeleton_of(colors=colors).colors == ((255, 128, 0), (0, 0, 0), (10, 11, 12))


def test_limbs_may_be_given_by_name_alone():
    skeleton = skeleton_of(skeleton=[], skeleton_edge_names=[["nose", "neck"]])
    assert skeleton.limbs == ((3, 0),)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"keypoints": []}, "keypoints: expected at least one name"),
        ({"keypoints": ["a", "a", "b", "c"]}, "keypoints: a stands twice"),
        ({"num_joints": 5}, "num_joints: expected 4, the number of keypoints, found 5"),
        ({"skeleton": [[1, 5]]}, r"skeleton\[0\]: expected two keypoint numbers from 1 to 4"),
        ({"skeleton": [[0, 1]]}, r"skeleton\[0\]: expected two keypoint numbers from 1 to 4"),
        ({"skeleton": [[1, 2, 3]]}, r"found \[1, 2, 3\]"),
        ({"skeleton": [[1, 2], [2, 2]]}, r"skeleton\[1\]: left_shoulder is linked to itself"),
        ({"skeleton": [[1, 2], [2, 1]]}, r"skeleton\[1\]: left_shoulder, neck stands twice"),
        ({"skeleton_edge_names": [["neck", "nose"]]}, "expected 3 pairs, as many as in skeleton"),
        (
            {"skeleton": [[1, 2]], "skeleton_edge_names": [["neck", "nose"]]},
            r"skeleton_edge_names\[0\]: expected \['neck', 'left_shoulder'\]",
        ),
        ({"skeleton_edge_names": [["neck", "chin"]]}, "there is no keypoint chin"),
        ({"skeleton_edge_names": [["neck"]]}, "expected two names, found 1"),
        ({"sigmas": [0.1]}, "sigmas: expected 4, one a keypoint, found 1"),
        ({"sigmas": [0.1, 0.1, 0.1, 0.0]}, "sigmas: expected numbers above 0"),
        ({"mirror": [["neck", "chin"]]}, r"mirror\[0\]: there is no keypoint chin"),
        ({"mirror": [["neck", "neck"]]}, r"mirror\[0\]: expected two different names"),
        ({"mirror": [["neck", "nose"], ["nose", "left_shoulder"]]}, "nose is in another pair"),
        ({"derived": {"chin": ["nose"]}}, "derived: there is no keypoint chin"),
        ({"derived": {"neck": ["chin"]}}, r"derived\.neck: there is no keypoint chin"),
        ({"derived": {"neck": []}}, r"derived\.neck: expected the names"),
        ({"derived": {"neck": ["neck"]}}, r"derived\.neck: neck is derived itself"),
        ({"colors": ["#fff"]}, "colors: expected 3, one a limb, found 1"),
        ({"colors": ["#fff", "red", "blue"]}, r"colors\[0\]: expected such as #ff8800, found #fff"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(keys, said):
    with pytest.raises(SpecError, match=said):
        skeleton_of(**keys)


class TestLoad:
    def write(self, tmp_path, *categories, **keys):
        path = tmp_path / "pose.json"
        path.write_text(json.dumps({"categories": categories, **keys}))
        return path

    def test_the_name_is_the_files(self, tmp_path):
        category = {"keypoints": ["a", "b"], "skeleton": [[1, 2]]}
        path = self.write(tmp_path, category, pose_config_type="two_points")
        assert Skeleton.load(path).name == "two_points"

    def test_a_fault_names_the_file_and_the_key(self, tmp_path):
        path = self.write(tmp_path, {"keypoints": ["a", "b"], "skeleton": [[1, 3]]})
        with pytest.raises(
            SpecError, match=r"pose\.json: categories\[0\]\.skeleton\[0\]: expected"
        ):
            Skeleton.load(path)

    def test_a_network_needs_a_limb(self, tmp_path):
        with pytest.raises(SpecError, match="expected at least one limb"):
            Skeleton.load(self.write(tmp_path, {"keypoints": ["a", "b"]}))

    def test_one_category_is_expected(self, tmp_path):
        with pytest.raises(SpecError, match="categories: expected one, found 0"):
            Skeleton.load(self.write(tmp_path))

    def test_a_keypoint_without_limb_is_warned_of(self, tmp_path, caplog):
        path = self.write(tmp_path, {"keypoints": ["a", "b", "c"], "skeleton": [[1, 2]]})
        with caplog.at_level(logging.WARNING, "bpnet"):
            Skeleton.load(path)
        assert "no limb reaches c" in caplog.text


class TestContract:
    def test_it_comes_back_through_json(self):
        contract = ModelContract(
            skeleton=skeleton_of(), paf_stride=2.0, height=288, width=384, extra={"tool": "x"}
        )
        back = ModelContract.from_dict(json.loads(json.dumps(contract.to_dict())))
        assert back == contract

    def test_keys_of_later_versions_are_passed_over(self):
        said = ModelContract(skeleton=skeleton_of()).to_dict() | {"new_in_9": 1}
        assert ModelContract.from_dict(said).skeleton == skeleton_of()

    @pytest.mark.parametrize(
        "change", [{"skeleton": {}}, {"skeleton": 3}, {"image_scale": [1]}, {"layout": "hwcn"}]
    )
    def test_damaged_metadata_is_a_model_error(self, change):
        said = ModelContract(skeleton=skeleton_of()).to_dict() | change
        with pytest.raises(ModelError):
            ModelContract.from_dict(said)
