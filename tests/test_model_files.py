import json
import logging
import re
import zipfile

import h5py
import keras
import numpy as np
import pytest

from bpnet.errors import ModelError
from bpnet.model.files import find_model, load_model, output_path, save_model
from bpnet.model.network import build_network
from bpnet.model.prune import prune
from bpnet.model.weights import copy_weights_by_name, load_weights_by_name
from bpnet.pose.contract import ModelContract
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.network import BackboneAttributes, BpNetLiteModel, BpNetModel

SECTION = BpNetLiteModel(stages=2, width_multiplier=0.125)
IMAGES = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 32, 32, 3)).astype("float32")
CONTRACT = ModelContract(
    skeleton=Skeleton(
        name="pair",
        keypoints=("left_hand", "right_hand"),
        limbs=((0, 1),),
        mirror=(1, 0),
        sigmas=(0.05, 0.06),
        derived={},
        colors=((255, 0, 0),),
    ),
    image_offset=(0.25, 0.5, 0.75),
    extra={"note": "Ж"},
)


@pytest.fixture(scope="module")
def network():
    return build_network(SECTION)


def assert_equal_weights(first, second):
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_file_says_what_the_network_means(network, tmp_path):
    path = save_model(network, tmp_path / "new" / "model.keras", CONTRACT)

    loaded, contract = load_model(path)

    assert contract == CONTRACT
    assert [x.name for x in loaded.layers] == [x.name for x in network.layers]
    assert_equal_weights(loaded, network)
    assert keras.saving.load_model(path).name == "bpnet"  # plain Keras reads it too


def test_a_plain_keras_file_has_no_contract(network, tmp_path):
    network.save(tmp_path / "plain.keras")

    assert load_model(tmp_path / "plain.keras")[1] is None


def test_a_key_seals_the_file(network, tmp_path):
    path = save_model(network, tmp_path / "model.tlt", CONTRACT, key="secret")

    loaded, contract = load_model(path, key="secret")

    assert contract == CONTRACT
    assert_equal_weights(loaded, network)
    assert b"bpnet.json" not in path.read_bytes()
    with pytest.raises(ModelError, match=r"model\.tlt .*key is wrong"):
        load_model(path, key="other")
    with pytest.raises(ModelError, match=r"model\.tlt is encrypted: give its key"):
        load_model(path)


def test_nvidias_encrypted_files_are_named_as_such(tmp_path):
    (tmp_path / "model.tlt").write_bytes(bytes(range(256)))

    with pytest.raises(ModelError, match="NVIDIA"):
        load_model(tmp_path / "model.tlt", key="nvidia_tlt")


def test_mixed_precision_networks_are_saved_in_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build_network(SECTION)
    finally:
        keras.config.set_dtype_policy("float32")

    loaded, _ = load_model(save_model(network, tmp_path / "model.keras", None))

    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
    assert_equal_weights(loaded, network)


@pytest.mark.parametrize("asked", ["model.hdf5", "model.tlt", "model.h5"])
def test_taos_names_find_the_keras_file(asked, tmp_path, caplog):
    (tmp_path / "model.keras").touch()

    with caplog.at_level(logging.INFO, "bpnet"):
        assert find_model(tmp_path / asked) == tmp_path / "model.keras"
    assert "using" in caplog.text


def test_a_file_that_exists_is_taken_as_it_is(tmp_path, caplog):
    for name in ("model.keras", "model.hdf5"):
        (tmp_path / name).touch()

    with caplog.at_level(logging.INFO, "bpnet"):
        assert find_model(tmp_path / "model.hdf5") == tmp_path / "model.hdf5"
    assert not caplog.text


@pytest.mark.parametrize(
    ("asked", "key", "written"),
    [
        ("model.keras", None, "model.keras"),
        ("model.hdf5", None, "model.keras"),
        ("model.tlt", None, "model.keras"),
        ("model", None, "model.keras"),
        ("model.keras", "secret", "model.tlt"),
        ("model", "secret", "model.tlt"),
        ("model.tlt", "secret", "model.tlt"),
        ("model.epoch-80.hdf5", None, "model.epoch-80.keras"),
    ],
)
def test_models_are_written_as_keras_or_tlt(asked, key, written, tmp_path):
    assert output_path(tmp_path / asked, key=key) == tmp_path / written


def write_lambda(path):
    image = keras.Input((4,))
    keras.Model(image, keras.layers.Lambda(lambda x: x + 1)(image)).save(path)


def write_truncated(path):
    build_network(SECTION).save(path)
    path.write_bytes(path.read_bytes()[:-200])


def write_damaged(path):
    build_network(SECTION).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def write_zip(**members):
    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in members.items():
                archive.writestr(name.replace("_", "."), text)

    return write


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (write_lambda, "Lambda layer"),
        (write_truncated, "not a whole .keras file"),
        (write_damaged, "damaged"),
        (lambda path: path.write_text("not a zip"), "not a whole .keras file"),
        (lambda path: path.mkdir(), "does not exist"),
        (write_zip(readme_txt="hello"), "cannot be read as a Keras 3 model"),
        (write_zip(bpnet_json="[1"), "bpnet.json inside .* is not JSON"),
        (write_zip(bpnet_json=json.dumps({"stride": 8})), "metadata is damaged"),
    ],
)
@pytest.mark.filterwarnings("ignore:The `lambda`")
def test_unreadable_files_are_one_sentence(write, sentence, tmp_path):
    path = tmp_path / "model.keras"
    write(path)

    with pytest.raises(ModelError, match=sentence) as error:
        load_model(path)

    assert "model.keras" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["model.onnx", "model.etlt", "model.epoch-80"])
def test_other_suffixes_are_refused(name, tmp_path, network):
    (tmp_path / name).touch()

    with pytest.raises(ModelError, match=re.escape(name)):
        load_model(tmp_path / name)
    with pytest.raises(ModelError, match=re.escape(name)):
        save_model(network, tmp_path / name, None)


def write_keras2(path, network, *, nested="", scope_number=""):
    """The file that TAO (Keras 2.2.4 on TensorFlow 1) would write of a network."""

    def tao_name(layer):
        parts = re.fullmatch(r"(stage\d)\.(?:(\w+)\.)?(\w+)", layer.name)
        return "/".join(x for x in parts.groups() if x) if parts else layer.name

    groups = {}
    for layer in network.layers:
        weights = {f"{tao_name(layer)}{scope_number}/{x.name}:0": x.numpy() for x in layer.weights}
        groups.setdefault(nested or tao_name(layer), {}).update(weights)
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [name.encode() for name in groups]
        for name, weights in groups.items():
            group = root.require_group(name)
            group.attrs["weight_names"] = np.array([x.encode() for x in weights], "S")
            for weight, value in weights.items():
                group.create_dataset(weight, data=value)


@pytest.mark.parametrize(
    "form", [{}, {"nested": "model_1"}, {"nested": "model_1", "scope_number": "_1"}]
)
def test_weights_of_a_tao_file_load_by_name(form, network, tmp_path):
    write_keras2(tmp_path / "tao.hdf5", network, **form)
    other = build_network(SECTION, seed=7)

    report = load_weights_by_name(other, tmp_path / "tao.hdf5")

    assert_equal_weights(other, network)
    assert "stage1.heat_branch.out" in report.loaded
    assert not report.skipped
    assert not report.missing


@pytest.mark.parametrize(
    "section",
    [
        SECTION,
        BpNetModel(stages=2, width_multiplier=0.125, use_self_attention=True, heat_channels=4),
        BpNetLiteModel(
            stages=3,
            width_multiplier=0.125,
            stage1_kernel_sizes=[3],
            stageT_kernel_sizes=[5, 3],
            backbone_attributes=BackboneAttributes(use_bias=True),
        ),
    ],
)
def test_the_network_of_a_tao_file_is_recognised(section, tmp_path):
    pruned = prune(build_network(section), threshold=0.9, granularity=1, min_filters=5).model
    write_keras2(tmp_path / "tao.hdf5", pruned)

    loaded, contract = load_model(tmp_path / "tao.hdf5")

    assert contract is None
    assert_equal_weights(loaded, pruned)
    for one, other in zip(loaded(IMAGES), pruned(IMAGES), strict=True):
        np.testing.assert_array_equal(one, other)


def test_layers_that_do_not_fit_are_skipped_with_the_reason(network):
    wider = build_network(BpNetLiteModel(stages=3, width_multiplier=0.125, heat_channels=5))

    report = copy_weights_by_name(network, wider)

    reasons = dict(report.skipped)
    assert "stage1.conv1" in report.loaded
    assert reasons["heatmap_out"].startswith("its kernel is")
    assert reasons["stage2.conv1"] == "its kernel is (7, 7, 73, 16) there, (7, 7, 59, 16) here"
    assert "stage3.conv1" in report.missing
    np.testing.assert_array_equal(
        wider.get_layer("block_4b_bn_1").gamma, network.get_layer("block_4b_bn_1").gamma
    )


def test_a_layer_with_other_variables_is_skipped(network):
    biased = build_network(
        BpNetLiteModel(
            stages=2, width_multiplier=0.125, backbone_attributes=BackboneAttributes(use_bias=True)
        )
    )

    report = copy_weights_by_name(network, biased)

    assert dict(report.skipped)["block_1a_conv_1"] == "it has kernel there, bias, kernel here"


def test_a_network_with_nothing_in_common_is_an_error(network, tmp_path):
    image = keras.Input((None, None, 3))
    other = keras.Model(image, keras.layers.Conv2D(2, 1, name="conv")(image))
    write_keras2(tmp_path / "other.hdf5", other)

    with pytest.raises(ModelError, match=r"no layer of .*other\.hdf5 fits"):
        load_weights_by_name(network, tmp_path / "other.hdf5")
    with pytest.raises(ModelError, match=r"other\.hdf5 is not a BodyPoseNet"):
        load_model(tmp_path / "other.hdf5")


def test_broken_hdf5_is_one_sentence(network, tmp_path):
    path = tmp_path / "cut.hdf5"
    write_keras2(path, network)
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(ModelError, match=r"cut\.hdf5 cannot be read as HDF5"):
        load_weights_by_name(network, path)
