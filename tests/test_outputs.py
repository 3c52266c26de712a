"""Which outputs belong to which stage, for networks of either order."""

import keras
import pytest

from bpnet.errors import ModelError
from bpnet.model.network import build_network
from bpnet.model.outputs import MapStages, stages_of
from bpnet.spec.network import BpNetLiteModel, BpNetPafFirstModel

TINY = {"width_multiplier": 0.03}


def network_of(*names):
    image = keras.Input((None, None, 3))
    return keras.Model(image, [keras.layers.Conv2D(2, 1, name=name)(image) for name in names])


@pytest.mark.parametrize(
    ("section", "stages"),
    [
        (BpNetLiteModel(stages=2, **TINY), MapStages((1, 2), (1, 2))),
        (BpNetPafFirstModel(paf_stages=2, heatmap_stages=1, **TINY), MapStages((3,), (1, 2))),
        (BpNetPafFirstModel(paf_stages=2, heatmap_stages=2, **TINY), MapStages((3, 4), (1, 2))),
        (BpNetPafFirstModel(paf_stages=1, heatmap_stages=2, **TINY), MapStages((2, 3), (1,))),
    ],
)
def test_stages_of_networks(section, stages):
    network = build_network(section)

    assert stages_of(network) == stages
    channels = [output.shape[-1] for output in network.outputs]
    assert channels == [19] * len(stages.heatmaps) + [38] * len(stages.pafs)


def test_names_that_say_nothing_are_stages_that_draw_both():
    assert stages_of(network_of("a", "b", "c", "d")) == MapStages((1, 2), (1, 2))
    with pytest.raises(ModelError, match=r"outputs \(a, b, c\) are not the heatmaps"):
        stages_of(network_of("a", "b", "c"))


def test_a_network_without_pafs_is_refused():
    with pytest.raises(ModelError, match="draws heatmap_out; it takes heatmaps and PAFs"):
        stages_of(network_of("heatmap_out"))


def test_a_stage_of_heatmaps_comes_with_the_newest_pafs():
    parallel, pafs_first = MapStages((1, 2, 3), (1, 2, 3)), MapStages((3, 4), (1, 2))

    assert [parallel.outputs_at(stage) for stage in (1, 2, None)] == [(0, 3), (1, 4), (2, 5)]
    assert [pafs_first.outputs_at(stage) for stage in (3, None)] == [(0, 3), (1, 3)]
    with pytest.raises(ModelError, match="heatmaps in stages 3 to 4, not in a stage 2"):
        pafs_first.outputs_at(2)
    with pytest.raises(ModelError, match="heatmaps in stages 1 to 3, not in a stage 4"):
        parallel.outputs_at(4)
