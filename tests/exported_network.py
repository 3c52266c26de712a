"""A small network with live batch norms, as the tests of export share it."""

import json

import keras
import numpy as np
import onnx

from bpnet.inference.onnx_backend import METADATA_KEY
from bpnet.model.network import build_network
from bpnet.pose.contract import ModelContract
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category
from bpnet.spec.network import BpNetLiteModel

HEIGHT, WIDTH = 64, 96
SKELETON = Skeleton.from_category(
    Category(
        keypoints=["neck", "left_wrist", "right_wrist", "nose"],
        skeleton=[[1, 2], [1, 3], [1, 4]],
    ),
    "four",
)
CONTRACT = ModelContract(skeleton=SKELETON, extra={"trained_at": "64x96"})


def small_network(**settings) -> keras.Model:
    network = build_network(
        BpNetLiteModel(
            stages=2,
            width_multiplier=0.125,
            kernel_initializer="xavier",
            heat_channels=SKELETON.heatmap_channels,
            paf_channels=SKELETON.paf_channels,
            **settings,
        )
    )
    draw = np.random.default_rng(0)
    for layer in network.layers:
        for variable in layer.weights:
            if variable.name in ("gamma", "moving_variance"):
                variable.assign(draw.uniform(0.5, 1.5, variable.shape))
            elif variable.name in ("beta", "bias", "moving_mean"):
                variable.assign(draw.normal(0.0, 0.2, variable.shape))
    return network


def photos(count: int, *, height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> list:
    draw = np.random.default_rng(seed)
    return [draw.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def get_contract(model: onnx.ModelProto) -> ModelContract:
    """The contract in the metadata of ``model``."""
    (text,) = [entry.value for entry in model.metadata_props if entry.key == METADATA_KEY]
    return ModelContract.from_dict(json.loads(text))
