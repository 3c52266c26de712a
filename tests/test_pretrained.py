"""ImageNet weights from Keras's files, here of random numbers, find their layers."""

import logging

import keras
import numpy as np
import pytest

from bpnet.errors import ModelError
from bpnet.model.network import build_network
from bpnet.model.pretrained import (
    IMAGENET,
    VGG19_LAYERS,
    ImageNetFile,
    fetch,
    load_backbone_weights,
)
from bpnet.spec.dataloader import NormalizationParams
from bpnet.spec.network import BackboneAttributes, BpNetLiteModel

pytestmark = pytest.mark.filterwarnings("ignore:`input_shape` is undefined")
TINY_STAGES = {"stages": 2, "stage1_kernel_sizes": [1], "stageT_kernel_sizes": [1]}


def section_of(architecture, path, *, use_bias=False):
    backbone = BackboneAttributes(architecture=architecture, weights=str(path), use_bias=use_bias)
    return BpNetLiteModel(backbone_attributes=backbone, **TINY_STAGES)


def load(section, normalization=None):
    network = build_network(section)
    backbone = section.backbone_attributes
    report = load_backbone_weights(network, backbone, normalization or NormalizationParams())
    return network, report


@pytest.fixture(scope="module")
def vgg19(tmp_path_factory):
    """keras.applications' network with random weights, and the file of them."""
    network = keras.applications.VGG19(include_top=False, weights=None, input_shape=(None, None, 3))
    path = tmp_path_factory.mktemp("vgg") / "vgg19_notop.weights.h5"
    network.save_weights(path)
    return network, path


def test_vgg19_gives_ten_kernels_the_first_from_bgr_to_rgb(vgg19, caplog):
    source, path = vgg19

    with caplog.at_level(logging.INFO, "bpnet"):
        network, report = load(section_of("vgg", path))

    assert report.loaded == tuple(VGG19_LAYERS.values())
    kernels = {x: network.get_layer(x).kernel.numpy() for x in report.loaded}
    first = source.get_layer("block1_conv1").kernel.numpy()
    np.testing.assert_array_equal(kernels["block_1a_conv_1"], first[:, :, ::-1])
    np.testing.assert_array_equal(
        kernels["block_4b_conv_1"], source.get_layer("block4_conv2").kernel.numpy()
    )
    assert ("block5_conv4", "not in this network") in report.skipped
    assert "block_6a_conv_1" in report.missing
    for said in ("block4_conv3 skipped: not in this network", "biases of VGG19 are left out"):
        assert said in caplog.text
    assert "start afresh: block_1a_bn_1" in caplog.text


def test_vgg19_gives_its_biases_where_there_are_any(vgg19):
    source, path = vgg19
    bias = source.get_layer("block1_conv1").bias
    bias.assign(np.arange(64.0))
    source.save_weights(path)

    network, _ = load(section_of("vgg", path, use_bias=True))

    np.testing.assert_array_equal(network.get_layer("block_1a_conv_1").bias, np.arange(64.0))


@pytest.mark.parametrize(
    ("architecture", "last"),  # and the last layer before the first stride that ours leaves out
    [
        ("mobilenet_v3_large", "expanded_conv_6_expand_bn"),
        ("efficientnet_v2_b0", "block4a_expand_bn"),
    ],
)
def test_small_backbones_are_those_of_keras(architecture, last, tmp_path, caplog):
    source = IMAGENET[architecture].network(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    draw = np.random.default_rng(0)
    for layer in source.layers:  # live batch norms, so that the comparison below sees them
        for variable in layer.weights:
            if variable.name in ("gamma", "moving_variance"):
                variable.assign(draw.uniform(0.5, 1.5, variable.shape))
            elif variable.name in ("beta", "moving_mean"):
                variable.assign(draw.normal(0.0, 0.2, variable.shape))
    source.save_weights(tmp_path / "x.weights.h5")

    network, report = load(
        section_of(architecture, tmp_path / "x.weights.h5"),
        NormalizationParams(image_scale=[128.0] * 3),
    )

    assert all(reason == "not in this network" for _, reason in report.skipped)
    assert all(x.startswith(("stage", "channel_red", "paf", "heatmap")) for x in report.missing)
    pixels = draw.uniform(0, 255, (1, 64, 96, 3)).astype("float32")
    ours, theirs = (
        keras.Model(x.inputs[0], x.get_layer(last).output)(images, training=False).numpy()
        for x, images in ((network, pixels / 256 - 0.5), (source, pixels))
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
    assert f"normalization_params: weights of {architecture} were learned on" in caplog.text


def test_files_that_do_not_serve_are_named(vgg19, tmp_path):
    source, _ = vgg19
    (tmp_path / "text.h5").write_text("no weights")
    part = keras.Model(source.inputs[0], source.get_layer("block2_conv2").output)
    part.save_weights(tmp_path / "part.weights.h5")

    for name, sentence in (
        ("gone.h5", "gone.h5 does not exist; give the path of vgg19_weights"),
        ("text.h5", "text.h5 is not keras.applications' file of vgg"),
        ("part.weights.h5", "part.weights.h5 is not keras.applications' file of vgg"),
    ):
        with pytest.raises(ModelError, match=sentence) as error:
            load(section_of("vgg", tmp_path / name))
        assert "\n" not in str(error.value)


def test_weights_that_cannot_be_fetched_are_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("bpnet.model.pretrained._KERAS", "http://127.0.0.1:9/")

    with pytest.raises(ModelError, match=r"could not be fetched \(.*download that file") as error:
        load(section_of("vgg", "imagenet"))

    assert "backbone_attributes.weights" in str(error.value)
    assert not any(tmp_path.rglob("*.h5"))


def test_a_file_in_kerass_cache_is_not_fetched_again(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    path = tmp_path / "models" / "there.h5"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    file = ImageNetFile("a/there.h5", "a4c69b2cd3a1f0d9cb9e7a17fbd3ce6a", keras.applications.VGG19)

    monkeypatch.setattr("bpnet.model.pretrained._KERAS", "http://127.0.0.1:9/")
    with pytest.raises(ModelError, match="could not be fetched"):  # another file than published
        fetch(file, "vgg")

    file = ImageNetFile("a/there.h5", "63f4f1e9b725370f459720575cd5f953", keras.applications.VGG19)
    assert fetch(file, "vgg") == path
