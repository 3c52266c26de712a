"""What a dataset spec (``coco_spec.json``) and a skeleton file (``bpnet_18joints.json``) say."""

from dataclasses import dataclass

from bpnet.errors import SpecError
from bpnet.spec.settings import setting


@dataclass(frozen=True)
class Category:
    """One entry of ``categories``: COCO's own block, plus optional keys of ours."""

    name: str = setting("Name of the category.", default="person")
    id: int = setting("COCO category id.", default=1)
    supercategory: str = setting("COCO supercategory.", default="person")
    file_categories: list[str] = setting(
        "Categories of the annotation file that are read as this one, [`*`] for all of them "
        "(AP-10K's species); default: the one of the same name.",
        factory=list,
    )
    keypoint_fields: list[str] = setting(
        "Keys of an annotation whose keypoints are put one after the other; COCO-WholeBody: "
        "[keypoints, foot_kpts, face_kpts, lefthand_kpts, righthand_kpts].",
        factory=lambda: ["keypoints"],
    )
    num_joints: int | None = setting(
        "Number of keypoints; checked against `keypoints`.", default=None
    )
    keypoints: list[str] = setting("Keypoint names, in order.")
    skeleton: list[list[int]] = setting(
        "Limbs: pairs of keypoint numbers, counted from 1.", factory=list
    )
    skeleton_edge_names: list[list[str]] = setting(
        "Limbs as pairs of names; checked against `skeleton`.", factory=list
    )
    sigmas: list[float] | None = setting(
        "OKS sigma of each keypoint; default: COCO's by name, else 0.05.", default=None, minimum=0.0
    )
    mirror: list[list[str]] | None = setting(
        "Pairs of names that swap in a mirrored image; default: names that differ by left/right.",
        default=None,
    )
    derived: dict[str, list[str]] | None = setting(
        "Keypoints that are the mean of others; default: neck of the two shoulders.", default=None
    )
    colors: list[str] | None = setting("Hex colour of each limb, such as #ff8800.", default=None)


@dataclass(frozen=True)
class SkeletonFile:
    """``bpnet_18joints.json``: the keypoints and limbs that a network learns."""

    pose_config_type: str = setting("Name of the skeleton.", default="custom")
    name: str | None = setting("Name of the skeleton, in place of pose_config_type.", default=None)
    categories: list[Category] = setting("One category: the skeleton.")


@dataclass(frozen=True)
class DataSection:
    """Where the images, masks and annotations of one subset stand, below the root directory."""

    images_root_dir_path: str = setting("Folder of the images, below root_directory_path.")
    mask_root_dir_path: str = setting("Folder of the masks, below root_directory_path.", default="")
    annotation_root_dir_path: str = setting("COCO annotation file, below root_directory_path.")


@dataclass(frozen=True)
class VisibilityFlags:
    """The dataset's visibility flags and what each means."""

    value: dict[str, int] = setting(
        "Flag of each visibility name in the annotation file.",
        factory=lambda: {"visible": 2, "occluded": 1, "not_labeled": 0},
    )
    mapping: dict[str, str] = setting(
        "Our meaning of each of those names: visible, annotatable, occluded, truncated, "
        "not_labeled or not_labeled_in_dataset.",
        factory=lambda: {
            "visible": "visible",
            "occluded": "occluded",
            "not_labeled": "not_labeled",
        },
    )


@dataclass(frozen=True)
class DataFilteringParams:
    """Which people become the main person of a record."""

    min_acceptable_height: int = setting(
        "Pixels; times min_acceptable_width the least area of a person, as in TAO.",
        default=32,
        minimum=0,
    )
    min_acceptable_width: int = setting(
        "Pixels; times min_acceptable_height the least area of a person, as in TAO.",
        default=32,
        minimum=0,
    )
    min_acceptable_kpts: int = setting("Least number of labelled keypoints.", default=5, minimum=0)
    min_acceptable_interperson_dist_ratio: float = setting(
        "Least distance to an accepted person, as a part of that person's longer box side.",
        default=0.3,
        minimum=0.0,
    )


@dataclass(frozen=True)
class DatasetSpec:
    """``coco_spec.json``."""

    dataset: str = setting(
        "Name of the dataset; the key under dataset_specs in a training spec.", default="coco"
    )
    root_directory_path: str = setting("Folder that every other path is below.")
    train_data: DataSection | None = setting("The training subset.", default=None)
    test_data: DataSection | None = setting("The subset that evaluation uses.", default=None)
    duplicate_data_with_each_person_as_center: bool = setting(
        "true: one record for each main person; false: one for each image.", default=True
    )
    categories: list[Category] = setting("The keypoints of the annotation files.")
    visibility_flags: VisibilityFlags = setting("Visibility flags.", factory=VisibilityFlags)
    data_filtering_params: DataFilteringParams = setting(
        "Main-person filter.", factory=DataFilteringParams
    )

    def people(self) -> Category:
        """The only category, or the one named person.

        Raises:
            SpecError: There is no such category.
        """
        named = [category for category in self.categories if category.name == "person"]
        if len(self.categories) == 1 or named:
            return (named or self.categories)[0]
        names = ", ".join(category.name for category in self.categories) or "none"
        raise SpecError(
            f"dataset spec {self.dataset}: `categories` needs one entry, or one named person; "
            f"it has {names}"
        )
