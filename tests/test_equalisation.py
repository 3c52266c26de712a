"""Channels that depthwise convolutions read get equal ranges, and the network stays what it was."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hand_made_graph import GraphMaker, inputs, residual_graph

from bpnet.commands.export_calibration import warn_of_lost_channels
from bpnet.export.calibration import collect_histograms, make_ranges
from bpnet.export.choices import FORMS
from bpnet.export.equalisation import depthwise_inputs, equalise
from bpnet.export.graph import open_session, with_outputs
from bpnet.export.quantize import quantise, ranged_tensors

SPREAD = np.float32([1, 100, 0.01, 3, 0.3, 30, 0, 1])  # of the channels; one is dead


def uneven_graph(*, relu=True) -> onnx.ModelProto:
    """A depthwise convolution of two kernels a channel reads channels of very different size."""
    make = GraphMaker()
    name = make.conv("x", "wide", 3, 8)
    make.weights["wide.weight"] *= SPREAD[:, None, None, None]
    make.weights["wide.bias"] *= SPREAD
    name = make.relu(name) if relu else name
    make.weights["depthwise.weight"] = make.draw.normal(0, 1, (16, 1, 3, 3)).astype(np.float32)
    make.weights["depthwise.weight"] /= np.repeat(np.maximum(SPREAD, 0.01), 2)[:, None, None, None]
    kernel = {"kernel_shape": [3, 3], "pads": [1] * 4, "group": 8}
    name = make.relu(make.node("Conv", [name, "depthwise.weight"], "depthwise", **kernel))
    return make.model(make.conv(name, "head", 16, 5, kernel=1))


def table_of(graph, method="max"):
    return make_ranges(collect_histograms(graph, inputs(4), ranged_tensors(graph)), method)


def run(graph, image, *names):
    session = open_session(with_outputs(graph, names) if names else graph)
    return session.run(None, {"x": image[None]})


@pytest.mark.parametrize(("relu", "name"), [(True, "wide.relu"), (False, "wide")])
def test_channels_become_equal_and_maps_stay(relu, name):
    graph = uneven_graph(relu=relu)
    assert list(depthwise_inputs(graph)) == [name]
    scaled = onnx.ModelProto()
    scaled.CopyFrom(graph)
    channels = table_of(graph).channels[name]
    ranges = equalise(scaled, {name: channels})
    assert set(ranges) == {"wide", name}
    assert ranges[name] == channels.max()
    images = inputs(4)
    for image in images:
        (expected,), (found,) = run(graph, image), run(scaled, image)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    seen = np.max([np.abs(run(scaled, image, name)[0][0]).max((1, 2)) for image in images], 0)
    alive = channels > 0
    assert alive.tolist() == (SPREAD > 0).tolist()
    # 0.01 would have to grow by more than 1024 times.
    np.testing.assert_allclose(seen[SPREAD > 0.01], channels.max(), rtol=1e-5)
    assert seen[2] == pytest.approx(channels[2] * 1024, rel=1e-5)


def test_the_table_has_the_range_of_every_channel():
    graph = uneven_graph()
    seen = [run(graph, image, "wide.relu")[0][0].max((1, 2)) for image in inputs(4)]
    table = table_of(graph)
    np.testing.assert_array_equal(table.channels["wide.relu"], np.max(seen, 0))
    assert set(table.channels) == {"wide.relu"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", ["max", "percentile", "mse", "entropy"])
def test_int8_loses_far_less(form, method):
    graph = uneven_graph()
    table = table_of(graph, method)
    (image,) = inputs(1)
    (expected,) = run(graph, image)
    plain, equal = (
        np.abs(run(quantise(graph, ranges, form=form), image)[0] - expected).mean()
        for ranges in (dict(table), table)
    )
    assert equal < plain / 4


def test_what_others_read_too_is_left_as_it_is():
    make = GraphMaker()
    wide = make.relu(make.conv("x", "wide", 3, 8))
    depthwise = make.conv(wide, "depthwise", 8, 8, group=8)
    total = make.node("Add", [depthwise, wide], "sum")
    assert depthwise_inputs(make.model(make.conv(total, "head", 8, 5))) == {}
    assert depthwise_inputs(residual_graph()) == {}  # a pooling stands between
    shared = GraphMaker()
    first = shared.relu(shared.conv("x", "one", 3, 3))
    second = shared.node("Conv", [first, "one.weight"], "two", pads=[1] * 4)
    third = shared.conv(second, "depthwise", 3, 3, group=3)
    assert depthwise_inputs(shared.model(shared.conv(third, "head", 3, 5))) == {}


def test_a_reused_cache_of_a_depthwise_network_is_warned_of(caplog):
    warn_of_lost_channels(Path("cal.bin"), uneven_graph(), Path("net.onnx"))
    assert "cal.bin holds no ranges of single channels" in caplog.text
    caplog.clear()
    make = GraphMaker()
    plain = make.model(make.conv("x", "head", 3, 5, kernel=1))
    warn_of_lost_channels(Path("cal.bin"), plain, Path("net.onnx"))
    assert not caplog.records
