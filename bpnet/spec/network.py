"""What the `model` section of a training spec says."""

from dataclasses import dataclass

from bpnet.spec.settings import setting


@dataclass(frozen=True)
class BackboneAttributes:
    """The feature extractor."""

    architecture: str = setting("vgg.", default="vgg", choices=("vgg",))
    nlayers: int = setting("Layers of the VGG; 19.", default=19, choices=(19,))
    use_bias: bool = setting("Biases in the backbone's convolutions.", default=False)
    mtype: str = setting(
        "HelNet's type.", default="default", no_effect="it belongs to HelNet; the backbone is vgg"
    )


@dataclass(frozen=True)
class BpNetLiteModel:
    """The default network: branches of a stage share their first convolutions."""

    backbone_attributes: BackboneAttributes = setting(
        "The feature extractor.", factory=BackboneAttributes
    )
    stages: int = setting("Prediction stages.", default=3, minimum=2, maximum=6)
    heat_channels: int = setting(
        "Keypoints + 1; checked against the skeleton.", default=19, minimum=2
    )
    paf_channels: int = setting(
        "Twice the limbs; checked against the skeleton.", default=38, minimum=2
    )
    stage1_kernel_sizes: list[int] = setting(
        "Kernels of stage 1's shared convolutions.", factory=lambda: [3, 3, 3], minimum=1
    )
    stageT_kernel_sizes: list[int] = setting(  # noqa: N815 (the file's own key)
        "Kernels of later stages' shared convolutions.", factory=lambda: [7, 7, 7, 7, 7], minimum=1
    )
    width_multiplier: float = setting(
        "Scales every layer's channels but the outputs'.", default=1.0, minimum=0.03, maximum=4.0
    )
    use_self_attention: bool = setting("Self-attention in stages 2 and up.", default=False)
    data_format: str = setting(
        "channels_last.", default="channels_last", choices=("channels_last",)
    )
    use_bias: bool = setting("Biases in the stages' convolutions.", default=True)
    regularization_type: str = setting(
        "l1, l2 or l1_l2.", default="l1", choices=("l1", "l2", "l1_l2")
    )
    kernel_regularization_factor: float = setting("Factor on kernels.", default=5e-4, minimum=0.0)
    bias_regularization_factor: float = setting("Factor on biases.", default=0.0, minimum=0.0)
    kernel_initializer: str = setting(
        "Of the stages: random_normal (0.01), xavier, or he_normal, which keeps the signal's "
        "strength through every layer (its outputs start at 0.01).",
        default="random_normal",
    )
    weights_path: str | None = setting("Weights loaded by layer name.", default=None)


@dataclass(frozen=True)
class BpNetModel:
    """The wider network: the two branches of a stage are separate from their first convolution."""

    backbone_attributes: BackboneAttributes = setting(
        "The feature extractor.", factory=BackboneAttributes
    )
    stages: int = setting("Prediction stages.", default=3, minimum=2, maximum=6)
    heat_channels: int = setting(
        "Keypoints + 1; checked against the skeleton.", default=19, minimum=2
    )
    paf_channels: int = setting(
        "Twice the limbs; checked against the skeleton.", default=38, minimum=2
    )
    width_multiplier: float = setting(
        "Scales every layer's channels but the outputs'.", default=1.0, minimum=0.03, maximum=4.0
    )
    use_self_attention: bool = setting("Self-attention in stages 2 and up.", default=False)
    data_format: str = setting(
        "channels_last.", default="channels_last", choices=("channels_last",)
    )
    use_bias: bool = setting("Biases in the stages' convolutions.", default=True)
    regularization_type: str = setting(
        "l1, l2 or l1_l2.", default="l1", choices=("l1", "l2", "l1_l2")
    )
    kernel_regularization_factor: float = setting("Factor on kernels.", default=5e-4, minimum=0.0)
    bias_regularization_factor: float = setting("Factor on biases.", default=0.0, minimum=0.0)
    kernel_initializer: str = setting(
        "Of the stages: random_normal (0.01), xavier, or he_normal, which keeps the signal's "
        "strength through every layer (its outputs start at 0.01).",
        default="random_normal",
    )
    weights_path: str | None = setting("Weights loaded by layer name.", default=None)
