"""The cost that pruning aims at is the cost that the pruned network has."""

import keras
import pytest
from keras import layers
from test_prune import LOOSE, VARIANTS

from bpnet.model.description import describe_network
from bpnet.model.prune import prune
from bpnet.model.prune_cost import SIZE, operations_left
from bpnet.model.prune_graph import trace_channels


def gflops(model):
    return describe_network(model, SIZE, SIZE).gflops


@pytest.mark.parametrize("variant", VARIANTS)
def test_operations_are_foretold(variant):
    model = VARIANTS[variant][0]()
    channels = trace_channels(model)
    result = prune(model, threshold=0.5, **LOOSE)

    kept = {space: range(size) for space, size in channels.sizes.items()}
    kept |= {channels.filters[row.layer]: range(row.kept) for row in result.table}

    share = gflops(result.model) / gflops(model)
    assert operations_left(model, channels)(kept) == pytest.approx(share, rel=1e-9)
    assert share < 0.95


def test_target_flops_finds_the_largest_network_within_the_share():
    model = VARIANTS["attention"][0]()

    result = prune(model, target_flops=0.5, **LOOSE)
    looser = prune(model, threshold=result.threshold - 0.002, **LOOSE)

    assert gflops(result.model) <= 0.5 * gflops(model) < gflops(looser.model)


def test_both_targets_are_kept_within():
    """Most operations are in the first layer here, most parameters in the second."""
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, padding="same", name="early")(image)
    x = layers.Conv2D(64, 3, strides=8, padding="same", name="late")(x)
    model = keras.Model(image, layers.Conv2D(2, 1, name="out")(x))

    for targets in ({"target_params": 0.9, "target_flops": 0.5}, {"target_params": 0.5}):
        pruned = prune(model, **targets, **LOOSE)
        assert pruned.parameters_after <= targets["target_params"] * pruned.parameters_before
        assert gflops(pruned.model) <= targets.get("target_flops", 1.0) * gflops(model)
