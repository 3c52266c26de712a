"""ONNX and Keras networks behind one face: pixels in, maps out."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bpnet.errors import ModelError
from bpnet.export.foreign import read_graph
from bpnet.inference.backend import open_backend
from bpnet.inference.onnx_backend import OnnxBackend
from bpnet.inference.predictor import predictor_of
from bpnet.pose.contract import ModelContract
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.inference import InferenceSpec

THREE = Skeleton(
    name="three",
    keypoints=("a", "b", "c"),
    limbs=((0, 1), (1, 2), (2, 0)),
    mirror=(0, 1, 2),
    sigmas=(0.1, 0.1, 0.1),
    derived={},
    colors=((255, 0, 0), (0, 255, 0), (0, 0, 255)),
)
IMAGES = np.random.default_rng(0).integers(0, 255, (3, 16, 24, 3), np.uint8)


def write_onnx(
    path: Path,
    *,
    layout: str = "nhwc",
    contract: ModelContract | None = None,
    names: tuple[str, str] = ("heatmap_out", "paf_out"),
    batch: int | None = None,
    size: tuple[int, int] | None = None,
    half: bool = False,
    stages: int = 1,
    paf_pool: int = 8,
) -> Path:
    """A network whose heatmap channel c is the 8x8 mean of input channel c % 3, PAFs negated.

    Each earlier stage's maps are those of the next, doubled.
    """
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    number = np.float16 if half else np.float32
    rows, columns = size or ("h", "w")
    axes = (
        (batch or "n", rows, columns, 3) if layout == "nhwc" else (batch or "n", 3, rows, columns)
    )
    nodes, values = [], []
    source = "input_1"
    if layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [source], ["x"], perm=[0, 3, 1, 2]))
        source = "x"
    outputs = []
    for name, channels, sign, pool in (
        (names[0], 4, 1.0, 8),
        (names[1], 6, -1.0, paf_pool),
    ):
        weights = np.zeros((channels, 3, 1, 1), number)
        weights[np.arange(channels), np.arange(channels) % 3] = sign
        for stage in range(stages):
            last = stage == stages - 1
            out = name if last else f"{name}_stage{stage + 1}"
            factor = number(2 ** (stages - 1 - stage))
            values.append(helper.make_tensor(f"w_{out}", kind, weights.shape, weights * factor))
            nodes.append(helper.make_node("Conv", [source, f"w_{out}"], [f"{out}_c"]))
            pooled = f"{out}_p" if layout == "nhwc" else out
            nodes.append(
                helper.make_node(
                    "AveragePool",
                    [f"{out}_c"],
                    [pooled],
                    kernel_shape=[pool, pool],
                    strides=[pool, pool],
                )
            )
            if layout == "nhwc":
                nodes.append(helper.make_node("Transpose", [pooled], [out], perm=[0, 2, 3, 1]))
            shape = ("n", "a", "b", channels) if layout == "nhwc" else ("n", channels, "a", "b")
            shape = (batch, *shape[1:]) if batch else shape
            outputs.append(helper.make_tensor_value_info(out, kind, shape))
    graph = helper.make_graph(
        nodes, "toy", [helper.make_tensor_value_info("input_1", kind, axes)], outputs, values
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if contract is not None:
        helper.set_model_props(model, {"bpnet": json.dumps(contract.to_dict())})
    onnx.save(model, str(path))
    return path


def expected(images: np.ndarray, contract: ModelContract) -> np.ndarray:
    """The network's heatmaps (N, h, w, 4), computed here."""
    values = images.astype(np.float64)
    if contract.channel_order == "bgr":
        values = values[..., ::-1]
    values = values / np.array(contract.image_scale) - np.array(contract.image_offset)
    count, height, width = values.shape[:3]
    pooled = values.reshape(count, height // 8, 8, width // 8, 8, 3).mean(axis=(2, 4))
    return pooled[..., [0, 1, 2, 0]]


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("batch", [None, 1, 2])
def test_a_model_that_describes_itself_gets_the_pixels_it_wants(
    tmp_path: Path, layout: str, order: str, batch: int | None
) -> None:
    contract = ModelContract(
        THREE,
        channel_order=order,
        layout=layout,
        image_scale=(100.0, 50.0, 25.0),
        image_offset=(0.1, 0.2, 0.3),
    )
    path = write_onnx(tmp_path / "m.onnx", layout=layout, contract=contract, batch=batch)
    maps = open_backend(path).predict(IMAGES)
    assert len(maps) == 3
    found = np.stack([each.heatmaps for each in maps])
    np.testing.assert_allclose(found, expected(IMAGES, contract), rtol=1e-4, atol=1e-5)
    assert maps[0].pafs.shape == (2, 3, 6)
    np.testing.assert_allclose(maps[1].pafs[..., :3], -found[1][..., :3], rtol=1e-5)
    assert (maps[0].heatmap_stride, maps[0].paf_stride) == (8, 8)


def test_a_half_precision_model_is_fed_and_read(tmp_path: Path) -> None:
    contract = ModelContract(THREE)
    path = write_onnx(tmp_path / "m.onnx", contract=contract, half=True)
    maps = open_backend(path).predict(IMAGES)
    assert maps[0].heatmaps.dtype == np.float32
    np.testing.assert_allclose(
        maps[0].heatmaps, expected(IMAGES, contract)[0], rtol=1e-2, atol=2e-3
    )


def test_pafs_of_another_resolution_tell_their_stride(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "m.onnx", contract=ModelContract(THREE), paf_pool=2)
    maps = open_backend(path).predict(IMAGES)[0]
    assert (maps.heatmap_stride, maps.paf_stride) == (8, 2)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("hm", "pf"), ("hm", "pf")),
        (("conv7", "conv8"), ("heatmap_out", "paf_out")),  # by channel count
        (("heatmap_out/BiasAdd:0", "conv2d_transpose_1/BiasAdd:0"), ("heatmap_out", "paf_out")),
    ],
)
def test_a_foreign_models_outputs_are_found(
    tmp_path: Path, names: tuple[str, str], said: tuple[str, str]
) -> None:
    path = write_onnx(tmp_path / "m.onnx", names=names, layout="nchw")
    described = ModelContract(THREE, heatmap_output=said[0], paf_output=said[1])
    backend = open_backend(path, describe=lambda found: described)
    assert backend.contract.heatmap_output == names[0]
    assert backend.contract.paf_output == names[1]
    assert backend.contract.layout == "nchw"
    found = backend.predict(IMAGES)[2].heatmaps
    np.testing.assert_allclose(found, expected(IMAGES, described)[2], rtol=1e-4, atol=1e-5)


def test_a_stage_can_be_chosen(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "m.onnx", contract=ModelContract(THREE), stages=2)
    first = open_backend(path, stage=1).predict(IMAGES)[0]
    last = open_backend(path).predict(IMAGES)[0]
    np.testing.assert_allclose(first.heatmaps, 2 * last.heatmaps, rtol=1e-5)
    with pytest.raises(ModelError, match="not of stage 3"):
        open_backend(path, stage=3)


def test_a_fixed_input_size_is_kept(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "m.onnx", contract=ModelContract(THREE), size=(32, 48))
    backend = open_backend(path)
    assert (backend.contract.height, backend.contract.width) == (32, 48)
    predictor = predictor_of(backend, InferenceSpec(input_shape=[256, 256]))
    maps, network_input = predictor.maps(np.zeros((300, 200, 3), np.uint8))
    assert network_input.image.shape == (32, 48, 3)
    assert maps.heatmaps.shape == (4, 6, 4)


def test_batches_and_single_images_agree(tmp_path: Path) -> None:
    backend = open_backend(write_onnx(tmp_path / "m.onnx", contract=ModelContract(THREE)))
    predictor = predictor_of(backend, InferenceSpec(input_shape=[16, 16]), batch_size=2)
    rng = np.random.default_rng(1)
    sizes = [(20, 30), (40, 20), (20, 30), (20, 30)]
    images = [rng.integers(0, 255, (*size, 3), np.uint8) for size in sizes]
    together = predictor.infer([predictor.prepare(image) for image in images])
    for image, maps in zip(images, together, strict=True):
        np.testing.assert_allclose(maps.heatmaps, predictor.maps(image)[0].heatmaps, rtol=1e-5)


def test_scales_and_mirroring_keep_the_maps_of_a_smooth_image(tmp_path: Path) -> None:
    """The toy network is linear in the pixels, so averages must stay what one scale gives."""
    backend = open_backend(write_onnx(tmp_path / "m.onnx", contract=ModelContract(THREE)))
    image = np.tile(np.linspace(0, 255, 96).astype(np.uint8)[None, :, None], (96, 1, 3))
    plain = predictor_of(backend, InferenceSpec(input_shape=[192, 192]))
    averaged = predictor_of(
        backend,
        InferenceSpec(
            input_shape=[192, 192], multi_scale_inference=True, scales=[1.0, 0.5], flip_test=True
        ),
    )
    one, many = plain.maps(image)[0].heatmaps, averaged.maps(image)[0].heatmaps
    assert one.shape == many.shape
    np.testing.assert_allclose(many[:, 2:-2], one[:, 2:-2], atol=0.01)


def test_a_model_that_nobody_describes_says_which_keys_to_set(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"m\.onnx.*pose_config_path.*model_input"):
        open_backend(path)


def test_a_model_of_another_skeleton_is_refused(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "m.onnx", names=("p", "q"))
    two = Skeleton("two", ("a", "b"), ((0, 1),), (0, 1), (0.1, 0.1), {}, ((1, 2, 3),))
    with pytest.raises(ModelError, match=r"m\.onnx has no output heatmap_out.*3 channels"):
        open_backend(path, describe=lambda found: ModelContract(two))


@pytest.mark.parametrize("name", ["m.pb", "m", "m.engine", "m.onnx", "m.keras"])
def test_files_that_are_no_models_end_in_a_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=path.name):
        open_backend(path)


def test_a_missing_onnx_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.onnx"):
        open_backend(tmp_path / "gone.onnx")


def test_a_keras_model_runs_at_any_size_and_stage() -> None:
    keras = pytest.importorskip("keras")
    from bpnet.inference.keras_backend import KerasBackend

    pixels = keras.Input((None, None, 3), name="input_1")
    pooled = keras.layers.AveragePooling2D(8)(pixels)
    maps = [
        keras.layers.Conv2D(channels, 1, use_bias=False, name=name)(pooled)
        for name, channels in (("h1", 4), ("heatmap_out", 4), ("p1", 6), ("paf_out", 6))
    ]
    model = keras.Model(pixels, maps)
    for layer in model.layers[2:]:
        weights = np.zeros(layer.kernel.shape, np.float32)
        channels = np.arange(weights.shape[-1])
        weights[..., channels % 3, channels] = 2.0 if layer.name.endswith("1") else 1.0
        layer.set_weights([weights])
    contract = ModelContract(THREE, image_scale=(100.0, 50.0, 25.0), channel_order="bgr")
    last = KerasBackend(model, contract).predict(IMAGES)
    np.testing.assert_allclose(
        np.stack([each.heatmaps for each in last]), expected(IMAGES, contract), rtol=1e-4
    )
    assert last[0].pafs.shape == (2, 3, 6)
    first = KerasBackend(model, contract, stage=1).predict(IMAGES)
    np.testing.assert_allclose(first[0].heatmaps, 2 * last[0].heatmaps, rtol=1e-5)
    wide = KerasBackend(model, contract).predict(np.zeros((1, 8, 40, 3), np.uint8))
    assert wide[0].heatmaps.shape == (1, 5, 4)
    with pytest.raises(ModelError, match="not in a stage 3"):
        KerasBackend(model, contract, stage=3)


def test_onnx_files_need_no_tensorflow(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = write_onnx(tmp_path / "m.onnx", contract=ModelContract(THREE))
    code = (
        "import sys, numpy, bpnet;"
        f"people = bpnet.load({str(path)!r})(numpy.zeros((64, 64, 3), numpy.uint8));"
        "assert people.xy.shape[1:] == (3, 2), people.xy.shape;"
        "assert not {'tensorflow', 'keras', 'onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("broken", ["{", "[]", "{}", '{"skeleton": 3}'])
def test_broken_metadata_is_named_with_its_file(tmp_path: Path, broken: str) -> None:
    path = write_onnx(tmp_path / "m.onnx")
    model = onnx.load(str(path))
    helper.set_model_props(model, {"bpnet": broken})
    onnx.save(model, str(path))
    for read in (OnnxBackend, read_graph):
        with pytest.raises(ModelError, match=r"m\.onnx: .*(metadata|skeleton)"):
            read(path)
