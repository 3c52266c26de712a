"""What the `model` section of a training spec says. Class names are the file's tags."""

from dataclasses import dataclass

from bpnet.spec.settings import setting

BLOCKS = ("convolution", "dense")
_BLOCK_DOC = (
    "convolution, or dense: every kernel k of {of} becomes (k - 1) / 2 convolutions 3x3 in turn "
    "whose outputs are joined, which see as far (OpenPose 2018)."
)


@dataclass(frozen=True)
class BackboneAttributes:
    """The feature extractor."""

    architecture: str = setting(
        "vgg (TAO's), mobilenet_v3_large (a 40th of its operations) or efficientnet_v2_b0 (a "
        "14th); the last blocks of these two are dilated, so that the stride stays 8.",
        default="vgg",
        choices=("vgg", "mobilenet_v3_large", "efficientnet_v2_b0"),
    )
    weights: str | None = setting(
        "Weights that a fresh network's backbone starts from: imagenet (downloaded once), or the "
        "path of Keras's file of them (..._notop.h5, ..._no_top.h5); null: random ones.",
        default=None,
    )
    nlayers: int = setting("Layers of the VGG; 19.", default=19, choices=(19,))
    stem_stride: int = setting(
        "Stride of the VGG's first convolution: 1 (TAO's), or 2 for less than half its "
        "operations: blocks 1 to 3 then work at half the height and width, and block 4 does not "
        "stride.",
        default=1,
        choices=(1, 2),
    )
    use_bias: bool = setting("Biases in the convolutions of the VGG.", default=False)
    mtype: str = setting("HelNet's type.", default="default", no_effect="there is no HelNet here")


@dataclass(frozen=True)
class NetworkSettings:
    """What every network has."""

    backbone_attributes: BackboneAttributes = setting(
        "The feature extractor.", factory=BackboneAttributes
    )
    heat_channels: int = setting(
        "Keypoints + 1; checked against the skeleton.", default=19, minimum=2
    )
    paf_channels: int = setting(
        "Twice the limbs; checked against the skeleton.", default=38, minimum=2
    )
    width_multiplier: float = setting(
        "Scales every layer's channels but the outputs'; the layer before the maps keeps 128.",
        default=1.0,
        minimum=0.03,
        maximum=4.0,
    )
    use_self_attention: bool = setting("Self-attention in stages 2 and up.", default=False)
    data_format: str = setting(
        "channels_last.", default="channels_last", choices=("channels_last",)
    )
    use_bias: bool = setting("Biases in the stages' convolutions.", default=True)
    regularization_type: str = setting(
        "l1, l2 or l1_l2.", default="l1", choices=("l1", "l2", "l1_l2")
    )
    kernel_regularization_factor: float = setting(
        "Factor on kernels of the stages and of the VGG.", default=5e-4, minimum=0.0
    )
    bias_regularization_factor: float = setting("Factor on biases.", default=0.0, minimum=0.0)
    kernel_initializer: str = setting(
        "Of the stages: random_normal (0.01), xavier, or he_normal, which keeps the signal's "
        "strength through every layer (its outputs start at 0.01).",
        default="random_normal",
    )
    weights_path: str | None = setting("Weights loaded by layer name.", default=None)


@dataclass(frozen=True)
class BpNetLiteModel(NetworkSettings):
    """The default network: branches of a stage share their first convolutions."""

    stages: int = setting("Prediction stages.", default=3, minimum=2, maximum=6)
    stage1_kernel_sizes: list[int] = setting(
        "Kernels of stage 1's shared convolutions.", factory=lambda: [3, 3, 3], minimum=1
    )
    stageT_kernel_sizes: list[int] = setting(  # noqa: N815 (the file's own key)
        "Kernels of later stages' shared convolutions.", factory=lambda: [7, 7, 7, 7, 7], minimum=1
    )
    refinement_block: str = setting(
        _BLOCK_DOC.format(of="stages 2 and up"), default="convolution", choices=BLOCKS
    )


@dataclass(frozen=True)
class BpNetModel(NetworkSettings):
    """The wider network: the two branches of a stage are separate from their first convolution."""

    stages: int = setting("Prediction stages.", default=3, minimum=2, maximum=6)
    refinement_block: str = setting(
        _BLOCK_DOC.format(of="stages 2 and up"), default="convolution", choices=BLOCKS
    )


@dataclass(frozen=True)
class BpNetPafFirstModel(NetworkSettings):
    """OpenPose of 2018: stages refine PAFs alone, later ones draw heatmaps from the last PAFs."""

    paf_stages: int = setting("Stages that draw PAFs, the first ones.", default=3, minimum=1)
    heatmap_stages: int = setting("Stages that draw heatmaps, after them.", default=1, minimum=1)
    stage_kernel_sizes: list[int] = setting(
        "Kernels of every stage.", factory=lambda: [7, 7, 7, 7, 7], minimum=1
    )
    refinement_block: str = setting(
        _BLOCK_DOC.format(of="a stage"), default="dense", choices=BLOCKS
    )
    first_stage_channels: int = setting(
        "Channels of each convolution in the first stage of PAFs and in that of heatmaps.",
        default=96,
        minimum=8,
    )
    later_stage_channels: int = setting(
        "Channels of each convolution in the other stages.", default=128, minimum=8
    )
