"""What the `dataloader` section of a training spec says."""

from dataclasses import dataclass

from bpnet.spec.settings import setting

STRIDE = 8  # input pixels a map cell of every network of ours: its backbone halves three times


@dataclass(frozen=True)
class ImageDims:
    """Size of the network's input."""

    height: int = setting("Pixels; a multiple of 8.", default=256, minimum=STRIDE)
    width: int = setting("Pixels; a multiple of 8.", default=256, minimum=STRIDE)
    channels: int = setting("Channels; 3.", default=3, choices=(3,))


@dataclass(frozen=True)
class ImageConfig:
    """The network's input."""

    image_dims: ImageDims = setting("Size of the input.", factory=ImageDims)
    image_encoding: str = setting(
        "Encoding of the image files; found from each file's first bytes instead.",
        default="jpg",
        no_effect="the encoding is read from each file",
    )


@dataclass(frozen=True)
class BpNetPoseConfig:
    """The skeleton and the size of its maps."""

    target_shape: list[int] = setting(
        "Height and width of the maps, cells.", factory=lambda: [32, 32], minimum=1, length=2
    )
    pose_config_path: str = setting("Skeleton file.")


@dataclass(frozen=True)
class DatasetConfig:
    """Where the records and images stand."""

    root_data_path: str = setting("Folder that the paths inside the records are below.")
    train_records_folder_path: str = setting("Folder of the training records.")
    train_records_path: list[str] = setting("Record files of that folder; wildcards are welcome.")
    val_records_folder_path: str | None = setting(
        "Folder of the validation records; null: that of the training records.", default=None
    )
    val_records_path: list[str] = setting(
        "Record files whose loss is measured at each validation; wildcards are welcome.",
        factory=list,
    )
    dataset_specs: dict[str, str] = setting(
        "Dataset spec file of each dataset in the records, by its name."
    )


@dataclass(frozen=True)
class NormalizationParams:
    """network input = pixel / scale - offset, a number a channel."""

    image_scale: list[float] = setting(
        "Divides pixels (0..255).", factory=lambda: [256.0] * 3, minimum=1e-6, length=3
    )
    image_offset: list[float] = setting(
        "Subtracted after that.", factory=lambda: [0.5] * 3, length=3
    )
    mask_scale: list[float] = setting(
        "Divides mask pixels (0..255).", factory=lambda: [255.0], minimum=1e-6, length=1
    )
    mask_offset: list[float] = setting("Subtracted after that.", factory=lambda: [0.0], length=1)


@dataclass(frozen=True)
class SpatialAugParams:
    """Random geometry of a training image."""

    flip_lr_prob: float = setting(
        "Probability of a left-right flip; left and right keypoints swap.",
        default=0.0,
        minimum=0,
        maximum=1,
    )
    flip_tb_prob: float = setting(
        "Probability of a top-bottom flip; left and right keypoints swap, except together with a "
        "left-right flip, which makes it a half turn.",
        default=0.0,
        minimum=0,
        maximum=1,
    )
    rotate_deg_max: float = setting("Greatest rotation, degrees.", default=0.0)
    rotate_deg_min: float | None = setting("Least rotation, degrees; default: -max.", default=None)
    zoom_prob: float = setting("Probability of a zoom.", default=0.0, minimum=0, maximum=1)
    zoom_ratio_min: float = setting(
        "Least zoom; above 1 shrinks people.", default=1.0, minimum=0.01
    )
    zoom_ratio_max: float = setting("Greatest zoom.", default=1.0, minimum=0.01)
    translate_max_x: float = setting("Greatest shift, source pixels.", default=0.0)
    translate_min_x: float | None = setting("Least shift; default: -max.", default=None)
    translate_max_y: float = setting("Greatest shift, source pixels.", default=0.0)
    translate_min_y: float | None = setting("Least shift; default: -max.", default=None)
    use_translate_ratio: bool = setting(
        "Shift by a part of the image size instead of by pixels.", default=False
    )
    translate_ratio_max: float = setting("Greatest shift as a part of the image size.", default=0.0)
    translate_ratio_min: float | None = setting("Least; default: -max.", default=None)
    target_person_scale: float = setting(
        "Height of the centred person as a part of the network's input height (person_centric).",
        default=0.6,
        minimum=0.01,
    )


@dataclass(frozen=True)
class ColorAugParams:
    """Random colours of a training image; pixels outside the image keep their grey."""

    brightness_max: float = setting(
        "Greatest change of brightness, a part of white: 0.2 adds -51 to 51 to pixels of 0..255.",
        default=0.0,
        minimum=0,
        maximum=1,
    )
    contrast_max: float = setting(
        "Greatest change of contrast about middle grey: 0.3 is a factor of 0.7 to 1.3.",
        default=0.0,
        minimum=0,
        maximum=1,
    )
    saturation_max: float = setting(
        "Greatest change of saturation: 0.5 is a factor of 0.5 to 1.5, 0 being grey.",
        default=0.0,
        minimum=0,
        maximum=1,
    )
    hue_rotation_max: float = setting(
        "Greatest turn of the hue either way, degrees of the colour circle.",
        default=0.0,
        minimum=0,
        maximum=180,
    )
    blur_prob: float = setting("Probability of a Gaussian blur.", default=0.0, minimum=0, maximum=1)
    blur_sigma_max: float = setting(
        "Greatest standard deviation of the blur, network-input pixels; the least is 0.",
        default=1.5,
        minimum=0,
        maximum=16,
    )


@dataclass(frozen=True)
class AugmentationConfig:
    """Augmentation of training images."""

    spatial_augmentation_mode: str = setting(
        "person_centric: the main person in the middle at target_person_scale; "
        "standard: the whole image fitted; "
        "standard_with_fixed_aspect_ratio: the whole image stretched.",
        default="person_centric",
        choices=("person_centric", "standard", "standard_with_fixed_aspect_ratio"),
    )
    spatial_aug_params: SpatialAugParams = setting("Random geometry.", factory=SpatialAugParams)
    identity_spatial_aug_params: dict[str, float] | None = setting(
        "TAO's second geometry.", default=None, no_effect="TAO never used it either"
    )
    color_aug_params: ColorAugParams | None = setting(
        "Random colours; none without it, as in TAO.", default=None
    )


@dataclass(frozen=True)
class LabelProcessorConfig:
    """How targets are drawn."""

    heatmap_gaussian_sigma: float = setting(
        "Standard deviation of a keypoint's Gaussian, input pixels.", default=7.0, minimum=0.1
    )
    paf_gaussian_sigma: float = setting(
        "TAO's unused PAF sigma.", default=0.03, no_effect="PAFs have no Gaussian profile"
    )
    paf_ortho_dist_thresh: float = setting(
        "Half the width of a limb's field, cells (1.0 is 8 input pixels).", default=1.0, minimum=0.0
    )
    size_scaled_targets: bool = setting(
        "Draw sigma and limb width larger for large people and smaller for small ones.",
        default=False,
    )
    size_scaled_reference: float = setting(
        "Size of the person who is drawn with exactly that sigma and width, input pixels: the "
        "longer side of the box around the labelled keypoints. Needs size_scaled_targets.",
        default=128.0,
        minimum=1,
    )
    size_scaled_min: float = setting(
        "Least factor on sigma and limb width. Needs size_scaled_targets.",
        default=0.5,
        minimum=0.05,
        maximum=1,
    )
    size_scaled_max: float = setting(
        "Greatest factor on sigma and limb width. Needs size_scaled_targets.",
        default=1.5,
        minimum=1,
        maximum=20,
    )


@dataclass(frozen=True)
class BpNetDataloader:
    """Batches of images and keypoints."""

    batch_size: int = setting("Images a device and step.", default=10, minimum=1)
    shuffle_buffer_size: int | None = setting(
        "TAO's shuffle buffer.",
        default=None,
        no_effect="every epoch is shuffled whole, by the seed",
    )
    image_config: ImageConfig = setting("The network's input.", factory=ImageConfig)
    pose_config: BpNetPoseConfig = setting("The skeleton and its maps.")
    dataset_config: DatasetConfig = setting("Records and images.")
    normalization_params: NormalizationParams = setting(
        "Pixel normalisation.", factory=NormalizationParams
    )
    augmentation_config: AugmentationConfig = setting("Augmentation.", factory=AugmentationConfig)
    label_processor_config: LabelProcessorConfig = setting("Targets.", factory=LabelProcessorConfig)
