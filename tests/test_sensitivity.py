"""Which convolutions suffer from int8, and which then stay float."""

import numpy as np
import pytest
from hand_made_graph import inputs, residual_graph

from bpnet.export.calibration import collect_histograms, make_ranges
from bpnet.export.float_convolutions import float_convolutions
from bpnet.export.quantize import quantise, ranged_tensors
from bpnet.export.sensitivity import LayerSensitivity, choose_float_nodes, map_loss, rank_layers

GRAPH = residual_graph()
IMAGES = inputs(3, seed=5)
NAMES = ["first", "depthwise", "project", "branch", "last"]


@pytest.fixture(scope="module")
def ranges():
    return make_ranges(collect_histograms(GRAPH, inputs(4), ranged_tensors(GRAPH)), "max")


@pytest.fixture(scope="module")
def spoilt(ranges):
    """One scale of the table is a tenth of what it should be: that of ``project``'s input."""
    return {**ranges, "depthwise.relu": ranges["depthwise.relu"] / 10}


def test_the_loss_of_the_graph_itself_is_zero_and_that_of_int8_is_not(ranges):
    loss = map_loss(GRAPH, IMAGES)
    assert loss(GRAPH) == 0.0
    assert 0 < loss(quantise(GRAPH, ranges, form="tensorrt")) < 0.05


def test_the_layer_whose_scale_is_wrong_comes_first(spoilt):
    ranking = rank_layers(GRAPH, spoilt, map_loss(GRAPH, IMAGES))
    assert sorted(layer.name for layer in ranking) == sorted(NAMES)
    assert ranking[0].name == "project"
    assert ranking[0].loss > 5 * ranking[1].loss


def test_the_worst_layer_alone_stays_float_where_that_is_enough(spoilt):
    loss = map_loss(GRAPH, IMAGES)
    ranking = rank_layers(GRAPH, spoilt, loss)
    limit = ranking[0].loss / 3
    choice = choose_float_nodes(GRAPH, spoilt, ranking, loss=loss, limit=limit)
    assert choice.added == ("project",)
    assert choice.nodes == {"project", "head"}
    assert choice.within_limit
    assert choice.tried[0] > limit >= choice.tried[1] == choice.loss


# What is lost with so many float convolutions, and how many of the five that means to keep.
LOSSES = {"none": ([1, 1, 1, 1, 1, 1], 0), "three": ([9, 8, 7, 2, 1, 0], 3),
          "all": ([9, 9, 9, 9, 9, 1], 5), "never": ([9, 9, 9, 9, 9, 9], 5)}  # fmt: skip


@pytest.mark.parametrize("case", LOSSES)
def test_as_few_layers_as_will_do_stay_float(ranges, case):
    losses, expected = LOSSES[case]
    ranking = [LayerSensitivity(name, 1.0) for name in NAMES]
    measured = []

    def loss(graph):
        count = len(float_convolutions(graph)) - 1  # without the head
        measured.append(count)
        return losses[count]

    choice = choose_float_nodes(GRAPH, ranges, ranking, loss=loss, limit=2)
    assert choice.added == tuple(NAMES[:expected])
    assert choice.within_limit == (case != "never")
    assert len(measured) == len(set(measured))  # nothing is measured twice


def test_a_loss_that_is_not_a_number_is_the_worst(ranges):
    losses = iter([1.0, np.nan, 3.0, 2.0, 0.0])
    ranking = rank_layers(GRAPH, ranges, lambda graph: next(losses))
    assert [layer.name for layer in ranking] == ["depthwise", "project", "branch", "first", "last"]
