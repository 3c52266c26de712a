"""Every spec file that we ship loads, and so do TAO's documented ones, unchanged."""

import json
import logging
from pathlib import Path

import pytest

from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import DatasetSpec, SkeletonFile
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.network import BpNetLiteModel
from bpnet.spec.optimizer import BpNetExponentialDecayLRSchedule
from bpnet.spec.reader import dump_spec, parse_spec, read_spec
from bpnet.spec.train import BpNetTrainer

ROOT = Path(__file__).resolve().parents[1]

KINDS = {
    "specs/bpnet_*.yaml": BpNetTrainer,
    "specs/infer_*.yaml": InferenceSpec,
    "data_pose_config/*.json": DatasetSpec,
    "model_pose_config/*.json": SkeletonFile,
}
SHIPPED = {
    str(path.relative_to(ROOT)): kind
    for pattern, kind in KINDS.items()
    for path in sorted(ROOT.glob(pattern))
}

TAO_TRAIN = """\
__class_name__: BpNetTrainer
checkpoint_dir: /tao-experiments/bpnet/models/exp_m1_unpruned
log_every_n_secs: 30
checkpoint_n_epoch: 5
num_epoch: 100
summary_every_n_steps: 20
infrequent_summary_every_n_steps: 0
validation_every_n_epoch: 5
max_ckpt_to_keep: 100
random_seed: 42
pretrained_weights: /tao-experiments/bpnet/bodyposenet_vtrainable_v1.0/model.tlt
load_graph: False
finetuning_config:
  is_finetune_exp: False
  checkpoint_path: null
  ckpt_epoch_num: 0
use_stagewise_lr_multipliers: True
key: nvidia_tlt
inference_spec: /examples/bpnet/specs/infer_spec.yaml
dataloader:
  __class_name__: BpNetDataloader
  batch_size: 10
  pose_config:
    __class_name__: BpNetPoseConfig
    target_shape: [32, 32]
    pose_config_path: /examples/bpnet/model_pose_config/bpnet_18joints.json
  image_config:
    image_dims:
      height: 256
      width: 256
      channels: 3
    image_encoding: jpg
  dataset_config:
    root_data_path: /tao-experiments/bpnet/data/
    train_records_folder_path: /tao-experiments/bpnet/data
    train_records_path: [train-fold-000-of-001]
    val_records_folder_path: /tao-experiments/bpnet/data
    val_records_path: [val-fold-000-of-001]
    dataset_specs:
      coco: /examples/bpnet/data_pose_config/coco_spec.json
  normalization_params:
    image_scale: [256.0, 256.0, 256.0]
    image_offset: [0.5, 0.5, 0.5]
    mask_scale: [255.0]
    mask_offset: [0.0]
  augmentation_config:
    __class_name__: AugmentationConfig
    spatial_augmentation_mode: person_centric
    spatial_aug_params:
      flip_lr_prob: 0.5
      flip_tb_prob: 0.0
      rotate_deg_max: 40.0
      rotate_deg_min: -40.0
      zoom_prob: 0.0
      zoom_ratio_min: 1.0
      zoom_ratio_max: 1.0
      translate_max_x: 40.0
      translate_min_x: -40
      translate_max_y: 40.0
      translate_min_y: -40
      use_translate_ratio: False
      translate_ratio_max: 0.2
      translate_ratio_min: -0.2
      target_person_scale: 0.6
    identity_spatial_aug_params: null
  label_processor_config:
    paf_gaussian_sigma: 0.03
    heatmap_gaussian_sigma: 7.0
    paf_ortho_dist_thresh: 1.0
  shuffle_buffer_size: 20000
model:
  __class_name__: BpNetLiteModel
  backbone_attributes:
    architecture: vgg
    mtype: default
    use_bias: False
  stages: 3
  heat_channels: 19
  paf_channels: 38
  use_self_attention: False
  data_format: channels_last
  use_bias: True
  regularization_type: l1
  kernel_regularization_factor: 5.0e-4
  bias_regularization_factor: 0.0
  kernel_initializer: random_normal
optimizer:
  __class_name__: WeightedMomentumOptimizer
  learning_rate_schedule:
    __class_name__: SoftstartAnnealingLearningRateSchedule
    soft_start: 0.05
    annealing: 0.5
    base_learning_rate: 2.e-5
    min_learning_rate: 8.e-08
    last_step: null
  grad_weights_dict: null
  weight_default_value: 1.0
  momentum: 0.9
  use_nesterov: False
loss:
  __class_name__: BpNetLoss
"""
TAO_RETRAIN = (
    TAO_TRAIN.replace("num_epoch: 100", "num_epoch: 50")
    .replace("load_graph: False", "load_graph: True")
    .replace("bodyposenet_vtrainable_v1.0/model.tlt", "exp_m1_pruned/bpnet_model.pruned-0.05.tlt")
    .replace("  kernel_initializer: random_normal\n", "")
)
TAO_QUALIFIED = TAO_TRAIN.replace(
    "__class_name__: ", "__class_name__: nvidia_tao_tf1.cv.bpnet.some.module."
)
TAO_INFER = """\
model_path: /tao-experiments/bpnet/models/exp_m1_unpruned/bpnet_model.tlt
train_spec: /examples/bpnet/specs/bpnet_train_m1_coco.yaml
input_shape: [368, 368]
# choose from: {pad_image_input, adjust_network_input, None}
keep_aspect_ratio_mode: adjust_network_input
output_stage_to_use: null
output_upsampling_factor: [8, 8]
heatmap_threshold: 0.1
paf_threshold: 0.05
multi_scale_inference: False
scales: [0.5, 1, 1.5, 2]
"""
TAO_INFER_REFINE = TAO_INFER.replace("inference: False", "inference: True")
TAO_INFER_STRICT = TAO_INFER.replace("[368, 368]", "[288, 384]").replace(
    "mode: adjust_network_input", "mode: pad_image_input"
)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_file_loads_without_a_warning(name, caplog):
    with caplog.at_level(logging.WARNING, "bpnet"):
        spec = read_spec(ROOT / name, SHIPPED[name])
    assert not caplog.messages
    assert parse_spec(dump_spec(spec), SHIPPED[name], source="dump.yaml") == spec


def test_every_shipped_file_is_of_a_known_kind():
    folders = ("specs", "data_pose_config", "model_pose_config")
    files = {str(p.relative_to(ROOT)) for folder in folders for p in (ROOT / folder).iterdir()}
    assert files == set(SHIPPED)
    assert len(files) >= 7


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.endswith(".yaml")])
def test_a_shipped_yaml_opens_with_the_command_that_uses_it(name):
    first = (ROOT / name).read_text().splitlines()[0]
    assert first.startswith("# bpnet ")
    assert name in first


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.startswith("specs")])
def test_files_of_the_repository_that_a_shipped_spec_names_are_there(name):
    spec = read_spec(ROOT / name, SHIPPED[name])
    if isinstance(spec, BpNetTrainer):
        loader = spec.dataloader
        named = [loader.pose_config.pose_config_path, spec.inference_spec]
        named += loader.dataset_config.dataset_specs.values()
    else:
        assert isinstance(spec, InferenceSpec)
        named = [path for path in (spec.train_spec, spec.pose_config_path) if path]
    assert named
    for path in named:
        assert (ROOT / str(path)).is_file()


def test_the_shipped_training_spec_says_what_is_the_default_anyway():
    spec = read_spec(ROOT / "specs/bpnet_train_m1_coco.yaml", BpNetTrainer)
    assert spec.model == BpNetLiteModel()
    assert spec.dataloader.label_processor_config.heatmap_gaussian_sigma == 7.0


def test_the_shipped_skeleton_is_taos():
    skeleton = Skeleton.load(ROOT / "model_pose_config" / "bpnet_18joints.json")
    assert skeleton.name == "bpnet_18_joints"
    assert (skeleton.heatmap_channels, skeleton.paf_channels) == (19, 38)
    assert skeleton.limbs[0] == (1, 8)
    assert skeleton.limbs[9] == (2, 16)
    assert skeleton.limbs[18] == (15, 17)
    pairs = {tuple(sorted((i, other))) for i, other in enumerate(skeleton.mirror) if other != i}
    assert pairs == {(2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13), (14, 15), (16, 17)}
    assert skeleton.derived == {"neck": ("left_shoulder", "right_shoulder")}


def test_the_shipped_dataset_has_cocos_keypoints_and_sigmas():
    spec = read_spec(ROOT / "data_pose_config" / "coco_spec.json", DatasetSpec)
    skeleton = Skeleton.from_category(spec.categories[0], spec.dataset)
    thousandths = [26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]
    assert [round(1000 * sigma) for sigma in skeleton.sigmas] == thousandths
    assert len(skeleton.limbs) == 19


@pytest.mark.parametrize("text", [TAO_TRAIN, TAO_RETRAIN, TAO_QUALIFIED])
def test_taos_training_specs_load_unchanged(text):
    spec = parse_spec(text, BpNetTrainer, source="bpnet_train_m1_coco.yaml")
    assert spec.key == "nvidia_tlt"
    assert str(spec.pretrained_weights).endswith(".tlt")
    assert spec.optimizer.learning_rate_schedule.min_learning_rate == 8e-8
    assert spec.dataloader.augmentation_config.spatial_aug_params.translate_min_y == -40.0


def test_taos_training_spec_warns_only_of_what_has_no_effect(caplog):
    with caplog.at_level(logging.WARNING, "bpnet"):
        parse_spec(TAO_TRAIN, BpNetTrainer, source="t.yaml")
    assert [message.split(" has no effect: ")[0].split(".")[-1] for message in caplog.messages] == [
        "shuffle_buffer_size",
    ]


def test_taos_other_schedule_and_focal_loss_load():
    schedule = (
        "  learning_rate_schedule:\n    __class_name__: BpNetExponentialDecayLRSchedule\n"
        "    learning_rate: 2.e-5\n    decay_epochs: 17\n    decay_rate: 0.333\n"
        "    staircase: True\n    min_learning_rate: 8.18938e-8\n"
    )
    start, end = TAO_TRAIN.index("  learning_rate_schedule"), TAO_TRAIN.index("  grad_weights")
    text = TAO_TRAIN[:start] + schedule + TAO_TRAIN[end:]
    text += "  focal_loss_params: {use_focal_loss: True, alpha: 0.1, beta: 0.02, gamma: 1}\n"
    spec = parse_spec(text, BpNetTrainer, source="t.yaml")
    assert spec.optimizer.learning_rate_schedule == BpNetExponentialDecayLRSchedule()
    assert spec.loss.focal_loss_params.use_focal_loss


@pytest.mark.parametrize(
    ("text", "shape", "mode", "multi"),
    [
        (TAO_INFER, [368, 368], "adjust_network_input", False),
        (TAO_INFER_REFINE, [368, 368], "adjust_network_input", True),
        (TAO_INFER_STRICT, [288, 384], "pad_image_input", False),
        (TAO_INFER.replace("mode: adjust_network_input", "mode: null"), [368, 368], None, False),
    ],
)
def test_taos_inference_specs_load_unchanged(text, shape, mode, multi, caplog):
    spec = parse_spec(text, InferenceSpec, source="infer_spec.yaml")
    assert (spec.input_shape, spec.keep_aspect_ratio_mode) == (shape, mode)
    assert (spec.multi_scale_inference, spec.scales) == (multi, [0.5, 1.0, 1.5, 2.0])
    assert not caplog.messages


def test_taos_dataset_spec_loads_unchanged():
    text = json.dumps(
        {
            "dataset": "coco",
            "root_directory_path": "/tao-experiments/bpnet/data",
            "train_data": {
                "images_root_dir_path": "train2017",
                "mask_root_dir_path": "train_mask2017",
                "annotation_root_dir_path": "annotations/person_keypoints_train2017.json",
            },
            "test_data": {
                "images_root_dir_path": "val2017",
                "mask_root_dir_path": "val_mask2017",
                "annotation_root_dir_path": "annotations/person_keypoints_val2017.json",
            },
            "duplicate_data_with_each_person_as_center": True,
            "categories": [
                {
                    "supercategory": "person",
                    "id": 1,
                    "name": "person",
                    "num_joints": 2,
                    "keypoints": ["nose", "left_eye"],
                    "skeleton": [[2, 1]],
                    "skeleton_edge_names": [["left_eye", "nose"]],
                }
            ],
            "visibility_flags": {
                "value": {"visible": 2, "occluded": 1, "not_labeled": 0},
                "mapping": {
                    "visible": "visible",
                    "occluded": "occluded",
                    "not_labeled": "truncated",
                },
            },
            "data_filtering_params": {
                "min_acceptable_height": 32,
                "min_acceptable_width": 32,
                "min_acceptable_kpts": 5,
                "min_acceptable_interperson_dist_ratio": 0.3,
            },
        },
        indent="\t",
    )
    spec = parse_spec(text, DatasetSpec, source="coco_spec.json")
    assert spec.visibility_flags.mapping["not_labeled"] == "truncated"
    assert Skeleton.from_category(spec.categories[0], "coco").limbs == ((1, 0),)
