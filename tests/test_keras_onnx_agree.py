"""A Keras network and its ONNX file draw the same maps and find the same people."""

import cv2
import numpy as np
import pytest
from spots import CONTRACT, write_spots

from bpnet.inference.backend import Backend, open_backend
from bpnet.inference.predictor import Predictor, predictor_of
from bpnet.pose.persons import Person, PersonKeypoints
from bpnet.spec.inference import InferenceSpec

keras = pytest.importorskip("keras")

SIZE = 256
PEOPLE = [
    [((80, 50), (84, 140))],
    [((60, 40), (60, 130)), ((190, 60), (180, 200))],
    [((40, 30), (44, 100)), ((120, 90), (116, 190)), ((210, 60), (214, 220))],
    [],
]
NEAR = 1e-4  # of a threshold: there, who is found may depend on rounding


def build_network() -> "keras.Model":
    """The toy network of ``spots``, plus a little of a deep one of random weights.

    Red is ``top``, green is ``bottom``, limbs point down; twelve layers of noise are added to every
    map, so that the numbers come from real work while people stay visible.
    """
    keras.utils.set_random_seed(1)
    layers = keras.layers
    pixels = keras.Input((None, None, 3), name="input_1")
    noise, he = pixels, {"activation": "relu", "kernel_initializer": "he_normal"}
    for index in range(12):
        strides = 2 if index in (0, 2, 4) else 1
        noise = layers.Conv2D(24, 3, strides=strides, padding="same", **he)(noise)
    pooled = layers.AveragePooling2D(8)(pixels)
    maps = []
    for name, kernel, bias in (
        ("heatmap_out", np.diag([1.0, 1.0, 0.0]), np.zeros(3)),
        ("paf_out", np.zeros((3, 2)), np.array([0.0, 1.0])),
    ):
        known = layers.Conv2D(len(bias), 1, name=f"{name}_known")
        random = layers.Conv2D(len(bias), 1, activation="tanh")(noise)
        maps.append(layers.Add(name=name)([known(pooled), layers.Rescaling(0.08)(random)]))
        known.set_weights([kernel[None, None].astype(np.float32), bias.astype(np.float32)])
    return keras.Model(pixels, maps)


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> tuple[Backend, Backend]:
    """The network in Keras and in ONNX."""
    import onnx

    from bpnet.export.onnx import to_onnx
    from bpnet.inference.keras_backend import KerasBackend

    network = build_network()
    graph, _ = to_onnx(network, CONTRACT, height=SIZE, width=SIZE)
    path = tmp_path_factory.mktemp("agree") / "network.onnx"
    onnx.save(graph, str(path))
    return KerasBackend(network, CONTRACT), open_backend(path, provider="cpu")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    folder = tmp_path_factory.mktemp("images")
    noise = np.random.default_rng(0).integers(0, 12, (SIZE, SIZE, 3), np.uint8)
    files = [write_spots(folder / f"{i}.png", people) for i, people in enumerate(PEOPLE)]
    return [cv2.add(cv2.imread(str(file))[..., ::-1], noise) for file in files]


def test_the_largest_difference_is_a_ten_thousandth_of_the_largest_value(
    backends: tuple[Backend, Backend], images: list[np.ndarray]
) -> None:
    ours, exported = (backend.predict(np.stack(images)) for backend in backends)
    for kind in ("heatmaps", "pafs"):
        one, other = (np.stack([getattr(each, kind) for each in maps]) for maps in (ours, exported))
        assert one.std() > 0.01
        assert np.abs(one - other).max() <= 1e-4 * np.abs(one).max()


@pytest.mark.parametrize(
    "changes",
    [{}, {"flip_test": True}, {"heatmap_threshold": 0.5}, {"pad_value": 0, "paf_threshold": 0.3}],
)
def test_everyone_who_is_not_at_a_threshold_is_found_by_both(
    backends: tuple[Backend, Backend], images: list[np.ndarray], changes: dict
) -> None:
    spec = InferenceSpec(
        input_shape=[SIZE, SIZE], keep_aspect_ratio_mode="pad_image_input", **changes
    )
    keras_network, onnx_network = (predictor_of(backend, spec) for backend in backends)
    assert clear_people(keras_network, images) >= 5  # of the six that are drawn
    for one, other in zip(keras_network.predict(images), onnx_network.predict(images), strict=True):
        assert_found(one, among=other, spec=spec)
        assert_found(other, among=one, spec=spec)


def clear_people(predictor: Predictor, images: list[np.ndarray]) -> int:
    return sum(len(found) for found in predictor.predict(images))


def assert_found(people: PersonKeypoints, *, among: PersonKeypoints, spec: InferenceSpec) -> None:
    """Each of ``people`` is one of the others, unless it is at a threshold."""
    for person in people:
        if at_threshold(person, spec):
            continue
        nearest = min(among, key=lambda other: float(np.abs(other.xy - person.xy).max()))
        np.testing.assert_allclose(nearest.xy, person.xy, atol=0.05)  # pixels
        np.testing.assert_allclose(nearest.score, person.score, atol=NEAR)
        assert nearest.person_score == pytest.approx(person.person_score, abs=1e-3)


def at_threshold(person: Person, spec: InferenceSpec) -> bool:
    return bool((np.abs(person.score - spec.heatmap_threshold) < NEAR).any())


def test_the_toy_finds_who_is_drawn(
    backends: tuple[Backend, Backend], images: list[np.ndarray]
) -> None:
    predictor = predictor_of(backends[1], InferenceSpec())
    for people, found in zip(PEOPLE, predictor.predict(images), strict=True):
        drawn = [person for person in found if person.score.min() > 0.3]
        assert len(drawn) == len(people)
        for person in people:
            nearest = min(drawn, key=lambda each: float(np.abs(each.xy - np.array(person)).max()))
            np.testing.assert_allclose(nearest.xy, np.array(person), atol=3)
