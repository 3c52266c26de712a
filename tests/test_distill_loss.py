"""Losses and stages of a network that learns from a trained one beside its labels."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from bpnet.errors import SpecError
from bpnet.model.loss import pose_loss
from bpnet.model.outputs import MapStages
from bpnet.spec.optimizer import BpNetLoss, Distillation, FocalLossParams
from bpnet.spec.reader import dump_spec, parse_spec
from bpnet.spec.train import BpNetTrainer
from bpnet.training.teacher import from_cell_corners, places_of

RETRAIN_SPEC = Path(__file__).resolve().parents[1] / "specs" / "bpnet_retrain_m1_coco.yaml"


def maps(*values: list[float]) -> np.ndarray:
    """One image of one row of cells; a cell is a list of channel values."""
    return np.array([[values]], dtype="float32")


def distilling(weight: float, **how: Any) -> BpNetLoss:
    return BpNetLoss(distillation=Distillation(teacher="any", weight=weight), **how)


ALL_VALID = maps([1.0])
QUARTER = distilling(0.25)


def test_part_of_the_loss_is_against_the_teachers_maps() -> None:
    label, drawn, taught = maps([1.0, 0.0]), maps([3.0, 0.0]), maps([3.0, 4.0])

    total, shares = pose_loss(
        [drawn, label], label, label, ALL_VALID, settings=QUARTER, taught=[taught, label]
    )

    assert {name: float(x) for name, x in shares.items()} == {
        "cmap_loss_stage1": 2.0,
        "paf_loss_stage1": 0.0,
        "distillation_loss": 8.0,
    }
    assert float(total) == 0.75 * 2.0 + 0.25 * 8.0


def test_an_output_without_a_teacher_learns_from_its_labels_in_full() -> None:
    label, drawn = maps([0.0, 0.0]), maps([2.0, 0.0])
    total, shares = pose_loss(
        [drawn, drawn], label, label, ALL_VALID, settings=QUARTER, taught=[None, drawn]
    )
    assert float(shares["distillation_loss"]) == 0.0
    assert float(total) == 2.0 + 0.75 * 2.0


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"focal_loss_params": FocalLossParams(use_focal_loss=True)},
        {"foreground_weight": 5.0},
    ],
)
def test_what_the_mask_hides_is_not_taught(how: dict[str, Any]) -> None:
    drawn = tf.constant(maps([0.3, 0.4], [0.3, 0.4]))
    label, taught = maps([1.0, 0.0], [1.0, 0.0]), maps([0.5, 0.5], [0.5, 0.5])
    masks = maps([1.0], [0.0])
    with tf.GradientTape() as tape:
        tape.watch(drawn)
        total, _ = pose_loss(
            [drawn, drawn],
            label,
            label,
            masks,
            settings=distilling(1.0, **how),
            taught=[taught, taught],
        )
    gradient = tape.gradient(total, drawn).numpy()
    assert np.all(gradient[0, 0, 0] != 0)
    assert np.all(gradient[0, 0, 1] == 0)


def test_a_taught_cell_weighs_as_much_as_a_labelled_one() -> None:
    label, drawn = maps([0.5, 0.5], [0.0, 1.0]), maps([2.0, 2.0], [2.0, 2.0])
    taught = maps([0.0, 0.0], [0.0, 0.0])  # it sees no keypoint where the label shows one
    nothing = np.zeros_like(label)
    settings = distilling(0.5, foreground_weight=3.0)
    _, shares = pose_loss(
        [drawn, nothing], label, nothing, maps([1.0], [1.0]), settings=settings,
        taught=[taught, None],
    )  # fmt: skip
    assert float(shares["distillation_loss"]) == 0.5 * 4.0 * (3 + 1 + 1 + 1)


@pytest.mark.parametrize(
    ("learner", "teacher", "places"),
    [
        (MapStages.in_parallel(2), MapStages.in_parallel(2), (0, 1, 2, 3)),
        (MapStages.in_parallel(2), MapStages.in_parallel(3), (0, 2, 3, 5)),
        (MapStages.in_parallel(4), MapStages.in_parallel(2), (0, 1, None, 1, 2, 3, None, 3)),
        (MapStages((4,), (1, 2, 3)), MapStages.in_parallel(3), (2, 3, 4, 5)),
        (MapStages.in_parallel(2), MapStages((3,), (1, 2)), (0, 0, 1, 2)),
    ],
)
def test_stages_that_both_have_and_the_last_ones_belong_together(
    learner: MapStages, teacher: MapStages, places: tuple[int | None, ...]
) -> None:
    assert places_of(learner, teacher) == places


def test_pafs_on_cell_corners_are_read_at_cell_centres() -> None:
    ramp = np.arange(4, dtype="float32")
    pafs = (10 * ramp[:, None] + ramp)[None, :, :, None]
    moved = np.asarray(from_cell_corners(pafs, 8))[0, :, :, 0]
    np.testing.assert_allclose(moved[:3, :3], pafs[0, :3, :3, 0] + 11 * 7 / 16, rtol=1e-6)
    assert moved[3, 3] == 33.0


def test_a_section_without_a_teacher_is_refused() -> None:
    text = RETRAIN_SPEC.read_text()
    with pytest.raises(SpecError, match=r"loss\.distillation\.teacher: missing"):
        parse_spec(f"{text}  distillation:\n    weight: 0.5\n", BpNetTrainer, source="x.yaml")


def test_the_distillation_of_the_retrain_spec_can_be_switched_on() -> None:
    text = RETRAIN_SPEC.read_text()
    first = text.index("  # distillation:")
    on = text[:first] + re.sub(r"(?m)^  # ", "  ", text[first:])
    spec = parse_spec(on, BpNetTrainer, source="retrain.yaml")
    expected = Distillation(teacher="results/train/bpnet_model.keras", weight=0.5)
    assert spec.loss.distillation == expected
    assert parse_spec(dump_spec(spec), BpNetTrainer, source="dump.yaml") == spec
