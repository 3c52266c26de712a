"""The network: features, then stages that each see the features and the maps of the stage before.

Layers, names and parameter counts are those of TAO's BodyPoseNet; Keras forbids "/" in names, so
``stage1/conv1`` is ``stage1.conv1`` here. The PAF-first network and the backbones other than VGG
are not TAO's.
"""

import dataclasses

import keras

from bpnet.model.backbone import extract_features
from bpnet.model.layers import ConvolutionStyle, convolve_activated, scaled_channels
from bpnet.model.stages import draw_in_parallel, draw_pafs_first
from bpnet.spec.network import BpNetLiteModel, BpNetModel, BpNetPafFirstModel

INPUT_NAME = "input_1"


def build_network(
    model: BpNetLiteModel | BpNetModel | BpNetPafFirstModel, *, seed: int = 42
) -> keras.Model:
    """The network of a spec's ``model`` section, with weights that depend on the seed alone.

    Its input ``input_1`` is a normalised image (N, H, W, 3), float32. Its outputs are the list of
    every stage's maps, heatmaps and then PAFs (``bpnet.model.outputs`` tells whose they are), each
    (N, H/8, W/8, C) and float32 whatever the precision policy. The paths of weights in the section
    are for the caller: see ``bpnet.model.weights`` and ``bpnet.model.pretrained``.

    Raises:
        SpecError: Settings that do not go together.
    """
    style = ConvolutionStyle(
        kernel_initializer=model.kernel_initializer,
        regularization_type=model.regularization_type,
        kernel_factor=model.kernel_regularization_factor,
        bias_factor=model.bias_regularization_factor,
        use_bias=model.use_bias,
        seed=seed,
    )
    image = keras.Input((None, None, 3), name=INPUT_NAME)
    features = extract_features(
        image,
        model.backbone_attributes,
        style=dataclasses.replace(
            style, kernel_initializer="xavier", use_bias=model.backbone_attributes.use_bias
        ),
        width_multiplier=model.width_multiplier,
    )
    width = scaled_channels(128, model.width_multiplier)
    features = convolve_activated(features, width, 3, name="channel_reduction_conv", style=style)
    if isinstance(model, BpNetPafFirstModel):
        heatmaps, pafs = draw_pafs_first(features, model, style)
    else:
        heatmaps, pafs = draw_in_parallel(features, model, style)
    return keras.Model(image, heatmaps + pafs, name="bpnet")
