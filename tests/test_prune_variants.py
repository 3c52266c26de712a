"""What pruning leaves of every network that can be built."""

import keras
import pytest
from test_prune import LOOSE, assert_same, masked, network, randomised
from test_variants import CONTRACT, VARIANTS

from bpnet.model.files import load_model, save_model
from bpnet.model.network import build_network
from bpnet.model.prune import prune
from bpnet.model.prune_graph import trace_channels
from bpnet.spec.optimizer import WeightedMomentumOptimizer
from bpnet.training.optimizer import learning_factors


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_equals_itself_with_masked_channels(name):
    model = randomised(build_network(VARIANTS[name]))

    result = prune(model, threshold=0.5, **LOOSE)

    assert result.parameters_after < 0.9 * result.parameters_before
    groups = trace_channels(model).members().values()
    assert_same(masked(model, result, groups), result.model, 1e-5)


@pytest.mark.parametrize("name", ["paf_first_convolutions", "lite_mobilenet"])
def test_a_pruned_file_is_pruned_again(name, tmp_path):
    model = randomised(build_network(VARIANTS[name]))
    first = prune(model, threshold=0.3, **LOOSE)
    loaded, _ = load_model(save_model(first.model, tmp_path / "once.keras", CONTRACT))

    second = prune(loaded, threshold=0.6, **LOOSE)

    assert second.parameters_before == first.parameters_after > second.parameters_after
    groups = trace_channels(loaded).members().values()
    assert_same(masked(loaded, second, groups), second.model, 1e-5)


def test_stagewise_rates_survive_pruning(tmp_path):
    model = network()
    pruned = prune(model, threshold=0.5, **LOOSE).model
    loaded, _ = load_model(save_model(pruned, tmp_path / "pruned.keras", None))

    def factors(of: keras.Model):
        found = learning_factors(WeightedMomentumOptimizer(), of, stagewise=True)
        return dict(zip((x.path for x in of.trainable_variables), found, strict=True))

    assert factors(loaded) == factors(model)
    assert set(factors(model).values()) == {1.0, 2.0, 4.0, 8.0}
