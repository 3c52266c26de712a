import numpy as np
import pytest
import tensorflow as tf

from bpnet.model.loss import pose_loss
from bpnet.spec.optimizer import BpNetLoss, FocalLossParams


def maps(*values):
    """One image of one row of cells; a cell is a list of channel values."""
    return np.array([[values]], dtype="float32")


ALL_VALID = maps([1.0], [1.0])


def test_loss_is_half_the_squared_error_over_the_images():
    heatmaps = np.concatenate([maps([1.0, 0.0])] * 2)  # (2, 1, 1, 2)
    pafs = np.concatenate([maps([0.0, -1.0])] * 2)
    masks = np.ones((2, 1, 1, 1), "float32")
    outputs = [heatmaps - 1.0, heatmaps, pafs + 2.0, pafs]

    total, shares = pose_loss(outputs, heatmaps, pafs, masks)

    assert {name: float(x) for name, x in shares.items()} == {
        "cmap_loss_stage1": 1.0,
        "cmap_loss_stage2": 0.0,
        "paf_loss_stage1": 4.0,
        "paf_loss_stage2": 0.0,
    }
    assert float(total) == 5.0


@pytest.mark.parametrize(
    "settings",
    [
        None,
        BpNetLoss(focal_loss_params=FocalLossParams(use_focal_loss=True)),
        BpNetLoss(foreground_weight=5.0),
    ],
)
def test_masked_cells_get_no_gradient(settings):
    drawn = tf.constant(maps([0.3, 0.4], [0.3, 0.4]))
    target = maps([1.0, 0.0], [1.0, 0.0])
    with tf.GradientTape() as tape:
        tape.watch(drawn)
        masks = maps([1.0], [0.0])
        total, _ = pose_loss([drawn, drawn], target, target, masks, settings=settings)

    gradient = tape.gradient(total, drawn).numpy()

    assert np.all(gradient[0, 0, 0] != 0)
    assert np.all(gradient[0, 0, 1] == 0)


def test_half_precision_outputs_are_summed_in_float32():
    drawn = tf.fill((1, 64, 64, 2), tf.constant(8.0, tf.float16))  # float16 ends at 65504
    target = np.zeros((1, 64, 64, 2), "float32")

    total, _ = pose_loss([drawn, drawn], target, target, np.ones((1, 64, 64, 1), "float32"))

    assert total.dtype == "float32"
    assert float(total) == 2 * 0.5 * 64 * 64 * 2 * 64


def test_focal_weights_follow_the_paper():
    focal = FocalLossParams(use_focal_loss=True, alpha=0.1, beta=0.02, gamma=2.0)
    settings = BpNetLoss(focal_loss_params=focal)
    heatmaps, drawn = maps([1.0], [0.0]), maps([0.7], [0.2])
    nothing = np.zeros((1, 1, 2, 2), "float32")

    _, shares = pose_loss([drawn, nothing], heatmaps, nothing, ALL_VALID, settings=settings)

    foreground = 0.3 * (1 - (0.7 - 0.1)) ** 2
    background = 0.2 * (1 - (1 - 0.2 - 0.02)) ** 2
    expected = 0.5 * (foreground**2 + background**2)
    assert float(shares["cmap_loss_stage1"]) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_treats_a_limb_alike_in_every_direction():
    settings = BpNetLoss(focal_loss_params=FocalLossParams(use_focal_loss=True))
    heatmaps = np.zeros((1, 1, 1, 2), "float32")

    def loss(direction):
        target = np.array(direction, "float32").reshape(1, 1, 1, 2)
        outputs = [heatmaps, 0.4 * target]
        _, shares = pose_loss(outputs, heatmaps, target, maps([1.0]), settings=settings)
        return float(shares["paf_loss_stage1"])

    expected = 0.5 * (0.6 * (1 - (0.4 - 0.1))) ** 2
    for direction in ([1, 0], [-1, 0], [0, -1], [-0.6, 0.8]):
        assert loss(direction) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_of_a_right_answer_has_a_finite_gradient():
    focal = FocalLossParams(use_focal_loss=True, alpha=0.0, beta=0.0, gamma=0.5)
    settings = BpNetLoss(focal_loss_params=focal)
    target = maps([1.0, 0.0], [0.0, 0.0])
    drawn = tf.constant(target)
    with tf.GradientTape() as tape:
        tape.watch(drawn)
        total, _ = pose_loss([drawn, drawn], target, target, ALL_VALID, settings=settings)

    assert np.all(np.isfinite(tape.gradient(total, drawn).numpy()))
    assert float(total) == pytest.approx(0.0, abs=1e-9)


def test_heatmaps_count_more_where_keypoints_are_drawn():
    settings = BpNetLoss(foreground_weight=3.0)
    heatmaps = maps([0.5, 0.5], [0.0, 1.0])  # a keypoint and the background, two cells
    pafs = maps([0.0, -1.0], [0.0, 0.0])  # limbs count once everywhere
    outputs = [heatmaps + 2.0, pafs + 2.0]

    _, shares = pose_loss(outputs, heatmaps, pafs, ALL_VALID, settings=settings)

    assert float(shares["cmap_loss_stage1"]) == 0.5 * 4.0 * (3 + 1 + 1 + 1)
    assert float(shares["paf_loss_stage1"]) == 0.5 * 4.0 * (1 + 1 + 1 + 1)


@pytest.mark.parametrize(("heat", "times"), [(0.009, 1), (0.011, 3)])
def test_a_keypoint_is_drawn_where_the_heat_is_above_the_threshold(heat, times):
    settings = BpNetLoss(foreground_weight=3.0)  # bkg_thresh 0.01
    heatmaps, nothing = maps([heat, 1.0]), maps([0.0, 0.0])

    _, shares = pose_loss(
        [heatmaps + 2.0, nothing], heatmaps, nothing, maps([1.0]), settings=settings
    )

    assert float(shares["cmap_loss_stage1"]) == pytest.approx(0.5 * 4.0 * (times + 1))
