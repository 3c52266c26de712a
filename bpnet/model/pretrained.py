"""ImageNet weights for a backbone, from Keras's own files of them.

What goes where, by layer:

=====================  ===============================================================
VGG19                  this network
=====================  ===============================================================
block1_conv1, conv2    block_1a_conv_1, 1b; the first kernel's BGR input turned to RGB
block2_conv1, conv2    block_2a_conv_1, 2b; 2a strides by 2 where VGG19 pools before it
block3_conv1 to conv4  block_3a_conv_1 to 3d; 3a strides likewise
block4_conv1, conv2    block_4a_conv_1, 4b; 4a strides likewise
block4_conv3 and up    nowhere: TAO's network ends there
=====================  ===============================================================

The VGG19 has no batch normalisation, so ours starts as Keras starts it; that makes the scale and
the biases of the kernels before it immaterial. MobileNetV3 and EfficientNetV2 have the same layers
and names as here, batch normalisation included.
"""

import hashlib
import http.client
import logging
import os
import urllib.request
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from bpnet.errors import ModelError
from bpnet.files import replacing
from bpnet.model.weights import LayerWeights, WeightsReport, assign_by_name
from bpnet.spec.dataloader import NormalizationParams
from bpnet.spec.network import BackboneAttributes

logger = logging.getLogger(__name__)

_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/"
_TIMEOUT = 30  # seconds without an answer

VGG19_LAYERS = {
    "block1_conv1": "block_1a_conv_1",
    "block1_conv2": "block_1b_conv_1",
    "block2_conv1": "block_2a_conv_1",
    "block2_conv2": "block_2b_conv_1",
    "block3_conv1": "block_3a_conv_1",
    "block3_conv2": "block_3b_conv_1",
    "block3_conv3": "block_3c_conv_1",
    "block3_conv4": "block_3d_conv_1",
    "block4_conv1": "block_4a_conv_1",
    "block4_conv2": "block_4b_conv_1",
}


@dataclass(frozen=True)
class ImageNetFile:
    """A file of weights that keras.applications publishes, without the classifier."""

    path: str  # below keras.applications' address
    md5: str
    network: Callable[..., keras.Model]

    @property
    def address(self) -> str:
        """Where it is published."""
        return _KERAS + self.path


IMAGENET = {
    "vgg": ImageNetFile(
        "vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "253f8cb515780f3b799900260a226db6",
        keras.applications.VGG19,
    ),
    "mobilenet_v3_large": ImageNetFile(
        "mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        "07fb09a5933dd0c8eaafa16978110389",
        keras.applications.MobileNetV3Large,
    ),
    "efficientnet_v2_b0": ImageNetFile(
        "efficientnet_v2/efficientnetv2-b0_notop.h5",
        "893217f2bb855e2983157299931e43ff",
        keras.applications.EfficientNetV2B0,
    ),
}


def load_backbone_weights(
    model: keras.Model, backbone: BackboneAttributes, normalization: NormalizationParams
) -> WeightsReport:
    """Start a network's backbone from the weights that the spec names.

    Args:
        model: A network of ``build_network`` with that backbone.
        backbone: Its section of the spec; ``weights`` is "imagenet" or a file of Keras.
        normalization: How images are normalised; only TAO's way fits the small backbones.

    Raises:
        ModelError: The file cannot be fetched or read, or no layer of it fits.
    """
    named = backbone.weights or ""
    file = IMAGENET[backbone.architecture]
    path = fetch(file, backbone.architecture) if named == "imagenet" else Path(named)
    source = _read(path, file, backbone.architecture)
    if backbone.architecture == "vgg":
        layers = _layers_of_vgg19(source, with_bias=backbone.use_bias)
    else:
        layers = {x.name: _weights_of(x) for x in source.layers if x.weights}
        usual = NormalizationParams()
        if (normalization.image_scale, normalization.image_offset) != (
            usual.image_scale,
            usual.image_offset,
        ):
            logger.warning(
                "normalization_params: weights of %s were learned on pixels that image_scale %s "
                "and image_offset %s lead to, not on these",
                backbone.architecture,
                usual.image_scale,
                usual.image_offset,
            )
    report = assign_by_name(model, layers, source=str(path))
    logger.info("%s: taken over: %s", path, ", ".join(report.loaded))
    logger.info("%s: start afresh: %s", path, ", ".join(report.missing))
    return report


def fetch(file: ImageNetFile, architecture: str) -> Path:
    """A file of ImageNet weights in Keras's cache, downloaded where it is not there yet.

    Raises:
        ModelError: It cannot be fetched, or is not the file that Keras published.
        DataError: The cache cannot be written.
    """
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    target = home / "models" / Path(file.path).name
    advice = (
        "; download that file elsewhere and set model.backbone_attributes.weights to its path, or "
        "to null to start from random weights"
    )
    if target.is_file() and _md5(target.read_bytes()) == file.md5:
        return target
    logger.info("fetching ImageNet weights of %s from %s", architecture, file.address)
    try:
        with urllib.request.urlopen(file.address, timeout=_TIMEOUT) as answer:
            content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelError(f"{file.address} could not be fetched ({reason}){advice}") from error
    if _md5(content) != file.md5:
        raise ModelError(
            f"{file.address} is not the file that Keras published: its MD5 is {_md5(content)}, not "
            f"{file.md5}{advice}"
        )
    with replacing(target) as temporary:
        temporary.write_bytes(content)
    return target


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _read(path: Path, file: ImageNetFile, architecture: str) -> keras.Model:
    """keras.applications' network with the weights of ``path``."""
    if not path.is_file():
        raise ModelError(
            f"model.backbone_attributes.weights: {path} does not exist; give the path of "
            f"{Path(file.path).name}, or imagenet"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras's way to say that weights are amiss
            return file.network(include_top=False, weights=str(path), input_shape=(None, None, 3))
    except (ValueError, OSError, KeyError, UserWarning) as error:
        reason = str(error).strip().split("\n")[0].rstrip(". ")
        raise ModelError(
            f"{path} is not keras.applications' file of {architecture} without its classifier "
            f"({Path(file.path).name}): {reason}"
        ) from error


def _weights_of(layer: Any) -> LayerWeights:
    return {variable.name: variable.numpy() for variable in layer.weights}


def _layers_of_vgg19(source: keras.Model, *, with_bias: bool) -> dict[str, LayerWeights]:
    """The weights of a VGG19 by our names, see the table above; others keep theirs."""
    layers: dict[str, LayerWeights] = {}
    for layer in source.layers:
        if not layer.weights:
            continue
        weights = dict(_weights_of(layer))
        if layer.name == "block1_conv1":
            weights["kernel"] = weights["kernel"][:, :, ::-1, :]
        if layer.name in VGG19_LAYERS and not with_bias:
            del weights["bias"]
        layers[VGG19_LAYERS.get(layer.name, layer.name)] = weights
    if not with_bias:
        logger.info(
            "the biases of VGG19 are left out: batch normalisation, which it has not, would take "
            "them away again"
        )
    return layers
