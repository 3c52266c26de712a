"""Spec files: values, faults with their lines, tags, overrides, and writing back."""

import dataclasses
import logging
import os
from pathlib import Path

import pytest

from bpnet.errors import SpecError
from bpnet.spec.dataset import Category, DatasetSpec, SkeletonFile
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.network import BpNetLiteModel, BpNetModel
from bpnet.spec.optimizer import (
    BpNetExponentialDecayLRSchedule,
    SoftstartAnnealingLearningRateSchedule,
    WeightedMomentumOptimizer,
)
from bpnet.spec.reader import dump_spec, parse_spec, read_spec
from bpnet.spec.train import BpNetTrainer

TRAIN = """\
dataloader:
  pose_config: {pose_config_path: pose.json}
  dataset_config:
    root_data_path: data/
    train_records_folder_path: records
    train_records_path: [train-*]
    dataset_specs: {coco: coco.json}
"""


def faults_of(text: str, kind: type, source: str = "spec.yaml", overrides=()) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec(text, kind, source=source, overrides=overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "number"),
    [("1e-4", 1e-4), ("1.0e10", 1e10), ("2E3", 2000.0), (".5", 0.5), ("7", 7.0), ("1_000", 1000.0)],
)
def test_numbers_of_every_spelling_are_numbers(written, number):
    spec = parse_spec(
        f"base_learning_rate: {written}", SoftstartAnnealingLearningRateSchedule, source="a.yaml"
    )
    assert spec.base_learning_rate == number
    assert type(spec.base_learning_rate) is float


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        ("stages: 3.7", BpNetLiteModel, "stages: expected a whole number, found 3.7"),
        ("stages: 3.0", BpNetLiteModel, "stages: expected a whole number, found 3.0"),
        ("stages: true", BpNetLiteModel, "stages: expected a whole number, found true"),
        ("stages: '3'", BpNetLiteModel, "found the text '3'; write it without quotes"),
        ("stages:", BpNetLiteModel, "stages: expected a whole number, found null"),
        ("stages: 7", BpNetLiteModel, "stages: expected at most 6, found 7"),
        ("use_bias: 'false'", BpNetLiteModel, "expected true or false, found the text 'false'"),
        ("use_bias: 0", BpNetLiteModel, "use_bias: expected true or false, found 0"),
        ("momentum: yes", WeightedMomentumOptimizer, "momentum: expected a number, found true"),
        ("momentum: .nan", WeightedMomentumOptimizer, "momentum: expected a number, found nan"),
        ("momentum: -.inf", WeightedMomentumOptimizer, "momentum: expected a number, found -inf"),
        (f"momentum: 1{'0' * 400}", WeightedMomentumOptimizer, "momentum: expected a number"),
        ("model_path: 7", InferenceSpec, "expected text, found 7; put it in quotes"),
        ("input_shape: 368", InferenceSpec, "input_shape: expected a list, found 368"),
        ("input_shape: [368, a]", InferenceSpec, "input_shape[1]: expected a whole number"),
        ("input_shape: [368, 4]", InferenceSpec, "input_shape[1]: expected at least 8, found 4"),
        ("input_shape: [368]", InferenceSpec, "input_shape: expected 2 values, found 1"),
        ("decoder: fast", InferenceSpec, "decoder: expected a section of keys, found the text"),
        (
            "keep_aspect_ratio_mode: pad_image",
            InferenceSpec,
            "found the text 'pad_image'; did you mean pad_image_input?",
        ),
        ("flip_tests: true", InferenceSpec, "flip_tests: unknown key; did you mean flip_test?"),
        ("scales: [1, 2", InferenceSpec, "broken YAML"),
        ("model_path: !!python/name:os.system", InferenceSpec, "not allowed"),
        ("model_path: [1]: [2]", InferenceSpec, "broken YAML"),
    ],
)
def test_a_fault_is_named_with_its_line_key_and_finding(line, kind, said):
    report = faults_of(f"# a comment\n{line}\n", kind)
    assert report.startswith(("spec.yaml:2: ", "spec.yaml:3: "))  # broken YAML shows at its end
    assert said in report
    assert "\n" not in report


def test_a_seed_is_one_that_every_generator_takes():
    for seed, said in (("-1", "at least 0, found -1"), ("4294967296", "at most 4294967295")):
        report = faults_of(f"random_seed: {seed}\n{TRAIN}", BpNetTrainer)
        assert report.startswith(f"spec.yaml:1: random_seed: expected {said}")


def test_every_fault_of_a_file_is_in_one_report_in_the_order_of_its_lines():
    text = "num_epoch: many\nnum_epochs: 3\nload_graph: true\nload_graph: false\n" + TRAIN
    report = faults_of(text, BpNetTrainer, overrides=["modl.stages=2", "nonsense"]).splitlines()
    assert report[0] == "5 faults in spec.yaml:"
    assert report[1:] == [
        "  spec.yaml:1: num_epoch: expected a whole number, found the text 'many'",
        "  spec.yaml:2: num_epochs: unknown key; did you mean num_epoch?",
        "  spec.yaml:4: load_graph: the key stands twice in this section",
        "  --set nonsense: expected section.key=value",
        "  --set modl.stages: modl: unknown key; did you mean model?",
    ]


def test_a_missing_required_key_names_its_section_and_the_misspelt_one():
    report = faults_of(TRAIN.replace("pose_config:", "pose_confg:"), BpNetTrainer)
    assert "spec.yaml:2: dataloader.pose_confg: unknown key; did you mean pose_config?" in report
    assert "spec.yaml:1: dataloader.pose_config: missing, and required" in report
    assert "pose_confg may be it, misspelt" in report


@pytest.mark.parametrize("text", ["", "# only a comment\n", "[1, 2]", "just text"])
def test_a_file_without_keys_is_refused(text):
    assert faults_of(text, InferenceSpec).startswith("spec.yaml")


class TestClassNames:
    def test_a_tag_picks_the_member_of_a_union(self):
        spec = parse_spec(TRAIN + "model: {__class_name__: BpNetModel}", BpNetTrainer, source="a")
        assert isinstance(spec.model, BpNetModel)

    def test_without_a_tag_the_first_member_is_meant(self):
        spec = parse_spec(TRAIN + "model: {stages: 2}", BpNetTrainer, source="a")
        assert isinstance(spec.model, BpNetLiteModel)

    def test_taos_qualified_names_are_read_by_their_last_part(self):
        text = (
            "__class_name__: nvidia_tao_tf1.cv.bpnet.trainers.bpnet_trainer.BpNetTrainer\n"
            + TRAIN
            + "optimizer:\n  learning_rate_schedule:\n"
            "    __class_name__: some.module.BpNetExponentialDecayLRSchedule\n    decay_epochs: 5\n"
        )
        spec = parse_spec(text, BpNetTrainer, source="a")
        assert isinstance(spec.optimizer.learning_rate_schedule, BpNetExponentialDecayLRSchedule)

    def test_an_unknown_class_is_a_fault_with_a_guess(self):
        report = faults_of(TRAIN + "model: {__class_name__: BpNetLightModel}", BpNetTrainer)
        assert "model.__class_name__: expected BpNetLiteModel or BpNetModel" in report
        assert "did you mean BpNetLiteModel?" in report

    def test_the_name_of_an_only_class_must_be_right_when_it_stands(self):
        report = faults_of(TRAIN + "loss: {__class_name__: FocalLoss}", BpNetTrainer)
        assert "spec.yaml:8: loss.__class_name__: expected BpNetLoss" in report


class TestOverrides:
    def test_an_override_changes_a_key_and_makes_the_sections_on_its_way(self):
        overrides = ["num_epoch=3", "optimizer.learning_rate_schedule.base_learning_rate=1e-4"]
        spec = parse_spec(TRAIN, BpNetTrainer, source="a", overrides=overrides)
        assert spec.num_epoch == 3
        assert spec.optimizer.learning_rate_schedule.base_learning_rate == 1e-4

    def test_an_override_may_hold_a_list_a_section_or_nothing(self):
        overrides = ["scales=[0.5, 1]", "decoder={preset: tao}", "keep_aspect_ratio_mode="]
        spec = parse_spec("{}", InferenceSpec, source="a", overrides=overrides)
        assert spec.scales == [0.5, 1.0]
        assert spec.decoder.preset == "tao"
        assert spec.keep_aspect_ratio_mode is None

    def test_text_that_is_no_yaml_is_text(self):
        spec = parse_spec("{}", InferenceSpec, source="a", overrides=["model_path=@models: x"])
        assert spec.model_path == "@models: x"

    @pytest.mark.parametrize(
        ("override", "said"),
        [
            ("flip_test=3", "--set flip_test: expected true or false, found 3"),
            ("decoder.presett=tao", "--set decoder.presett: unknown key; did you mean preset?"),
            ("input_shape.height=3", "--set input_shape.height: input_shape is a list"),
            ("=3", "--set =3: expected section.key=value"),
        ],
    )
    def test_a_faulty_override_is_named_as_it_was_typed(self, override, said):
        report = faults_of("input_shape: [8, 8]", InferenceSpec, overrides=[override])
        assert report.startswith(said)

    def test_an_override_leaves_other_users_of_an_alias_alone(self):
        text = "dataset: coco\nroot_directory_path: d\n" + (
            "categories: [{keypoints: [nose]}]\n"
            "train_data: &t {images_root_dir_path: a, annotation_root_dir_path: b}\ntest_data: *t\n"
        )
        overrides = ["test_data.images_root_dir_path=c"]
        spec = parse_spec(text, DatasetSpec, source="a", overrides=overrides)
        assert spec.train_data is not None
        assert spec.train_data.images_root_dir_path == "a"


class TestYamlAndJson:
    def test_merge_keys_bring_defaults(self):
        text = TRAIN + (
            "model:\n  backbone_attributes: &b {use_bias: true}\n  stages: 4\n"
            "finetuning_config:\n  <<: {ckpt_epoch_num: 2, is_finetune_exp: true}\n"
            "  ckpt_epoch_num: 3\n"
        )
        config = parse_spec(text, BpNetTrainer, source="a").finetuning_config
        assert (config.is_finetune_exp, config.ckpt_epoch_num) == (True, 3)

    def test_json_may_be_indented_with_tabs_and_escape_letters(self):
        text = '{\n\t"name": "per\\u0073on",\t"keypoints":["a","b"],\n\t"sigmas": [5E-2, 1]\n}'
        category = parse_spec(text, Category, source="a.json")
        assert (category.name, category.sigmas) == ("person", [0.05, 1.0])

    def test_broken_json_is_named_as_json_with_its_line(self):
        report = faults_of('{\n"keypoints": ["a",\n}', Category, source="pose.json")
        assert report.startswith("pose.json:3: broken JSON: ")

    def test_a_fault_in_json_has_its_line(self):
        text = '{"categories": [\n {"keypoints": ["a", "b"],\n  "num_joints": "two"}]}'
        report = faults_of(text, SkeletonFile, source="pose.json")
        assert report == (
            "pose.json:3: categories[0].num_joints: expected a whole number, found the text 'two'"
        )

    def test_nesting_without_end_is_no_crash(self):
        assert "nested too deeply" in faults_of("[" * 5000, InferenceSpec, source="a.json")

    def test_an_alias_that_contains_itself_is_a_fault(self):
        report = faults_of("scales: &a [*a]", InferenceSpec)
        assert "spec.yaml:1: an alias that contains itself" in report

    def test_aliases_that_grow_without_end_are_read_in_no_time(self):
        lines = ["a0: &a0 [x, x]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
        assert "30 faults" in faults_of("\n".join(lines), InferenceSpec)


class TestFiles:
    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(SpecError, match=r"gone\.yaml does not exist"):
            read_spec(tmp_path / "gone.yaml", InferenceSpec)

    def test_a_folder(self, tmp_path):
        with pytest.raises(SpecError, match="is a folder"):
            read_spec(tmp_path, InferenceSpec)

    def test_bytes_that_are_no_text(self, tmp_path):
        path = tmp_path / "a.yaml"
        path.write_bytes(b"model_path: \xff\xfe")
        with pytest.raises(SpecError, match=r"not UTF-8 text \(byte 12\)"):
            read_spec(path, InferenceSpec)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
    def test_a_file_that_may_not_be_read(self, tmp_path):
        path = tmp_path / "a.yaml"
        path.write_text("{}")
        path.chmod(0)
        with pytest.raises(SpecError, match="cannot be read"):
            read_spec(path, InferenceSpec)

    def test_a_byte_order_mark_is_no_key(self, tmp_path):
        path = tmp_path / "a.YML"
        path.write_text("pad_value: 0", encoding="utf-8-sig")
        assert read_spec(path, InferenceSpec).pad_value == 0


class TestKeysWithoutEffect:
    def test_each_is_warned_of_once_with_the_reason(self, caplog):
        text = TRAIN + "evaluator: tao\nhooks: {any: thing}\n"
        with caplog.at_level(logging.WARNING, "bpnet"):
            parse_spec(text, BpNetTrainer, source="a.yaml")
        assert caplog.messages == [
            "a.yaml:8: evaluator has no effect: TAO never used it either",
            "a.yaml:9: hooks has no effect: there are none",
        ]

    def test_none_is_warned_of_at_its_default(self, caplog):
        text = TRAIN + "evaluator: null\n"
        parse_spec(text, BpNetTrainer, source="a.yaml")
        assert not caplog.messages


class TestDump:
    def test_a_spec_reads_back_equal(self):
        text = TRAIN + (
            "pretrained_weights: '1e-4'\ncheckpoint_dir: 'no'\nfinal_model_name: 'ü: #x'\n"
            "model: {__class_name__: BpNetModel, stages: 2}\n"
            "optimizer: {__class_name__: AdamWOptimizer, weight_decay: 1e-5,\n"
            "  learning_rate_schedule: {__class_name__: BpNetExponentialDecayLRSchedule}}\n"
        )
        spec = parse_spec(text, BpNetTrainer, source="a.yaml")
        assert parse_spec(dump_spec(spec), BpNetTrainer, source="b.yaml") == spec

    def test_the_key_is_never_written(self):
        spec = parse_spec(TRAIN + "key: tlt_encode", BpNetTrainer, source="a.yaml")
        assert spec.key == "tlt_encode"
        text = dump_spec(spec)
        assert "tlt_encode" not in text
        back = parse_spec(text, BpNetTrainer, source="b.yaml")
        assert back == dataclasses.replace(spec, key=None)


def test_reading_a_shipped_file_and_reading_its_text_agree(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text('{"pad_value": 3}')
    assert read_spec(path, InferenceSpec) == parse_spec("pad_value: 3", InferenceSpec, source="a")
