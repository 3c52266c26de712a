"""What an inference spec says."""

from dataclasses import dataclass

from bpnet.spec.settings import setting
from bpnet.spec.tracker import TrackerSettings


@dataclass(frozen=True)
class DecoderSection:
    """Thresholds of the decoder that TAO's inference spec has no key for."""

    preset: str = setting(
        "bpnet: chosen by experiment; tao: TAO's (4 keypoints, mean score 0.4, any size).",
        default="bpnet",
        choices=("bpnet", "tao"),
    )
    min_keypoints: int | None = setting(
        "People with fewer keypoints are dropped; default: the preset's, 2 (bpnet) or 4 (tao).",
        default=None,
        minimum=1,
    )
    min_mean_score: float | None = setting(
        "People are dropped whose keypoint and limb scores, summed and divided by the number of "
        "keypoints, are lower; default: the preset's, 0.1 (bpnet) or 0.4 (tao).",
        default=None,
        minimum=0.0,
        maximum=1e6,
    )
    small_person: float | None = setting(
        "A person this large, in heatmap cells, has half the score of a large one; 0: size does "
        "not matter; default: the preset's, 5 (bpnet) or 0 (tao).",
        default=None,
        minimum=0.0,
        maximum=1e6,
    )
    max_peaks: int | None = setting(
        "Most candidates of a keypoint in an image, the strongest first; default: 128.",
        default=None,
        minimum=1,
        maximum=10000,
    )
    cell_share: float | None = setting(
        "Heatmap cells below this share of heatmap_threshold are no candidates; default: 0.6.",
        default=None,
        minimum=0.0,
        maximum=1.0,
    )
    min_sample_share: float | None = setting(
        "Share of a limb's samples that must reach paf_threshold; default: 0.8.",
        default=None,
        minimum=0.0,
        maximum=1.0,
    )
    samples_per_cell: float | None = setting(
        "Samples along a limb, for each heatmap cell of its length; default: 0.5.",
        default=None,
        minimum=0.0,
        maximum=100.0,
    )
    min_samples: int | None = setting(
        "Least number of samples of a limb; default: 5.", default=None, minimum=2, maximum=1000
    )
    max_samples: int | None = setting(
        "Most samples of a limb; default: 10.", default=None, minimum=2, maximum=1000
    )
    short_limb: float | None = setting(
        "A limb shorter than this, in heatmap cells, has no direction to speak of and scores at "
        "least short_limb_score; default: 1.",
        default=None,
        minimum=0.0,
        maximum=1e6,
    )
    short_limb_score: float | None = setting(
        "See short_limb; default: 0.1.", default=None, minimum=0.0, maximum=1e6
    )
    length_limit: float | None = setting(
        "A limb longer than this share of the input's height scores as much less as it is longer; "
        "default: 0.5.",
        default=None,
        minimum=0.01,
        maximum=1e6,
    )


@dataclass(frozen=True)
class ModelInput:
    """How a network wants its pixels, for models that do not say so themselves."""

    layout: str | None = setting(
        "nhwc or nchw; default: from the model's shape.", default=None, choices=("nhwc", "nchw")
    )
    channel_order: str = setting("rgb or bgr.", default="rgb", choices=("rgb", "bgr"))
    image_scale: list[float] = setting(
        "Pixels (0..255) are divided by this, a number a channel.",
        factory=lambda: [256.0] * 3,
        minimum=1e-6,
        length=3,
    )
    image_offset: list[float] = setting(
        "Then this is subtracted, a number a channel.", factory=lambda: [0.5] * 3, length=3
    )


@dataclass(frozen=True)
class ModelOutput:
    """Which outputs of a foreign model are the maps."""

    heatmaps: str | None = setting(
        "Name of the heatmap output; default: found by name and channel count.", default=None
    )
    pafs: str | None = setting(
        "Name of the PAF output; default: found by name and channel count.", default=None
    )
    paf_cell_corners: bool | None = setting(
        "true: PAFs were trained on cell corners (TAO networks), not on cell centres; "
        "default: true for .hdf5 files, which are TAO's.",
        default=None,
    )


@dataclass(frozen=True)
class InferenceSpec:
    """``infer_spec.yaml``."""

    model_path: str | None = setting("Model file, when the command line names none.", default=None)
    train_spec: str | None = setting(
        "Training spec that the model came from: normalisation, stride, skeleton. Not needed for "
        "models that carry their own metadata.",
        default=None,
    )
    input_shape: list[int] | None = setting(
        "Height and width of the network's input, pixels; default: as it was trained, or 256x256 "
        "where the model does not say that.",
        default=None,
        minimum=8,
        length=2,
    )
    keep_aspect_ratio_mode: str | None = setting(
        "adjust_network_input: short side fits, long side grows; "
        "pad_image_input: padded to input_shape; null: stretched; "
        "fit_height, fit_width: that side fits, the other follows; "
        "auto: adjust_network_input, or pad_image_input where the model's input is fixed.",
        default="auto",
        choices=(
            "auto",
            "adjust_network_input",
            "pad_image_input",
            "fit_height",
            "fit_width",
            None,
        ),
    )
    pad_value: int = setting("Grey level of padding, 0..255.", default=128, minimum=0, maximum=255)
    size_multiple: int | None = setting(
        "Sides of the network's input are padded to multiples of this, pixels. A larger one lets "
        "images of unequal widths share a batch; default: the network's stride, 8 or more.",
        default=None,
        minimum=1,
        maximum=4096,
    )
    output_stage_to_use: int | None = setting(
        "Stage whose maps are decoded, from 1; null: the last.", default=None, minimum=1
    )
    output_upsampling_factor: list[int] | None = setting(
        "Heatmap upsampling (y, x) before decoding: 1 or 2; "
        "TAO's 8 means native sub-pixel decoding.",
        default=None,
        minimum=1,
        length=2,
    )
    heatmap_threshold: float = setting(
        "Least score of a keypoint.", default=0.1, minimum=0.0, maximum=1e6
    )
    paf_threshold: float = setting(
        "Least agreement of a PAF sample with its limb.",
        default=0.05,
        minimum=-1e6,
        maximum=1e6,
    )
    multi_scale_inference: bool = setting("Average the maps over `scales`.", default=False)
    scales: list[float] = setting(
        "Scales of input_shape for multi_scale_inference.", factory=lambda: [1.0], minimum=0.05
    )
    flip_test: bool = setting("Average the maps with those of the mirrored image.", default=False)
    pose_config_path: str | None = setting(
        "Skeleton file, for models that carry none and have no train_spec.", default=None
    )
    decoder: DecoderSection = setting("More decoder settings.", factory=DecoderSection)
    tracker: TrackerSettings = setting(
        "How people are followed through a video.", factory=TrackerSettings
    )
    model_input: ModelInput | None = setting("Pixel format, for foreign models.", default=None)
    model_output: ModelOutput | None = setting("Output names, for foreign models.", default=None)
