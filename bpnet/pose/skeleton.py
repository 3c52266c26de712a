"""The keypoints and limbs of a network or a dataset. Nothing else knows a keypoint's name."""

import colorsys
import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bpnet.errors import ModelError, SpecError
from bpnet.spec.dataset import Category, SkeletonFile
from bpnet.spec.reader import read_spec

logger = logging.getLogger(__name__)

COCO_SIGMAS = {  # of each side; https://cocodataset.org/#keypoints-eval
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
    "neck": 0.079,  # not in COCO: as the shoulders that it is the mean of
}
OTHER_SIGMA = 0.05
SIDE = re.compile(
    r"((?<![A-Za-z])(?:left|right|l|r)|(?<![A-Z])(?:LEFT|RIGHT|Left|Right|L|R))(?![a-z])"
)
OTHER_SIDE = {"left": "right", "Left": "Right", "LEFT": "RIGHT", "l": "r", "L": "R"}
OTHER_SIDE |= {right: left for left, right in OTHER_SIDE.items()}


@dataclass(frozen=True)
class Skeleton:
    """K keypoints and the L limbs between them.

    Attributes:
        name: Name of the skeleton.
        keypoints: The K names; heatmap channel k is keypoint k.
        limbs: L pairs of keypoint indices, from 0; PAF channels 2l and 2l+1 point from the first to
            the second.
        mirror: For each keypoint, the one that it becomes in a mirrored image; itself if it has no
            other side.
        sigmas: OKS sigma of each keypoint.
        derived: Keypoints that are the mean of others, where a dataset does not label them.
        colors: RGB (0..255) of each limb.
    """

    name: str
    keypoints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    mirror: tuple[int, ...]
    sigmas: tuple[float, ...]
    derived: dict[str, tuple[str, ...]]
    colors: tuple[tuple[int, int, int], ...]

    @property
    def heatmap_channels(self) -> int:
        """A channel a keypoint, and the background."""
        return len(self.keypoints) + 1

    @property
    def paf_channels(self) -> int:
        """Two channels a limb: its x and its y."""
        return 2 * len(self.limbs)

    @classmethod
    def load(cls, path: Path) -> "Skeleton":
        """The skeleton of a file such as ``bpnet_18joints.json``.

        Raises:
            SpecError: The file cannot be read, its keypoints and limbs disagree, or it has no limb.
        """
        skeleton = cls.read(path)
        if not skeleton.limbs:
            raise SpecError(f"{path}: categories[0].skeleton: expected at least one limb")
        linked = {index for limb in skeleton.limbs for index in limb}
        for index, name in enumerate(skeleton.keypoints):
            if index not in linked:
                logger.warning("%s: no limb reaches %s, so no person will have it", path, name)
        return skeleton

    @classmethod
    def read(cls, path: Path) -> "Skeleton":
        """The skeleton of a file, also where limbs are missing.

        Raises:
            SpecError: The file cannot be read, or its keypoints and limbs disagree.
        """
        said = read_spec(path, SkeletonFile)
        if len(said.categories) != 1:
            raise SpecError(f"{path}: categories: expected one, found {len(said.categories)}")
        try:
            return cls.from_category(said.categories[0], said.name or said.pose_config_type)
        except SpecError as error:
            raise SpecError(f"{path}: categories[0].{error}") from None

    @classmethod
    def from_category(cls, category: Category, name: str) -> "Skeleton":
        """The skeleton that one COCO category describes; its limbs may be none.

        Raises:
            SpecError: Its keypoints and limbs disagree.
        """
        keypoints = tuple(category.keypoints)
        if not keypoints:
            raise SpecError("keypoints: expected at least one name")
        if len(set(keypoints)) != len(keypoints):
            twice = next(name for name in keypoints if keypoints.count(name) > 1)
            raise SpecError(f"keypoints: {twice} stands twice")
        if category.num_joints not in (None, len(keypoints)):
            said = f"num_joints: expected {len(keypoints)}, the number of keypoints"
            raise SpecError(f"{said}, found {category.num_joints}")
        limbs = _limbs(category, keypoints)
        return cls(
            name=name,
            keypoints=keypoints,
            limbs=limbs,
            mirror=_mirror(category.mirror, keypoints),
            sigmas=_sigmas(category.sigmas, keypoints),
            derived=_derived(category.derived, keypoints),
            colors=_colors(category.colors, keypoints, limbs),
        )

    def to_dict(self) -> dict[str, Any]:
        """The skeleton as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, said: dict[str, Any]) -> "Skeleton":
        """The skeleton that ``to_dict`` wrote.

        Raises:
            ModelError: It is something else.
        """
        try:
            return cls(
                name=str(said["name"]),
                keypoints=tuple(map(str, said["keypoints"])),
                limbs=tuple((int(start), int(end)) for start, end in said["limbs"]),
                mirror=tuple(map(int, said["mirror"])),
                sigmas=tuple(map(float, said["sigmas"])),
                derived={name: tuple(means) for name, means in said["derived"].items()},
                colors=tuple((int(r), int(g), int(b)) for r, g, b in said["colors"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"the model file's skeleton is damaged: {error!r}") from error


def side_of(name: str) -> str:
    """``l`` or ``r`` by the keypoint's name; nothing where it tells none."""
    found = SIDE.search(name)
    return found.group()[0].lower() if found else ""


def _limbs(category: Category, keypoints: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Limbs from 0; where only names are given, by name."""
    named = []
    for i, pair in enumerate(category.skeleton_edge_names):
        if len(pair) != 2:
            raise SpecError(f"skeleton_edge_names[{i}]: expected two names, found {len(pair)}")
        start, end = (_index(name, keypoints, f"skeleton_edge_names[{i}]") for name in pair)
        named.append((start, end))
    numbered = []
    for i, numbers in enumerate(category.skeleton):
        if len(numbers) != 2 or not all(1 <= number <= len(keypoints) for number in numbers):
            said = f"skeleton[{i}]: expected two keypoint numbers from 1 to {len(keypoints)}"
            raise SpecError(f"{said}, found {numbers}")
        numbered.append((numbers[0] - 1, numbers[1] - 1))
    if named and numbered and len(named) != len(numbered):
        said = f"skeleton_edge_names: expected {len(numbered)} pairs, as many as in skeleton"
        raise SpecError(f"{said}, found {len(named)}")
    for i, (limb, named_limb) in enumerate(zip(numbered, named, strict=False)):
        if limb != named_limb:
            expected = [keypoints[index] for index in limb]
            said = f"skeleton_edge_names[{i}]: expected {expected}, as in skeleton"
            raise SpecError(f"{said}, found {category.skeleton_edge_names[i]}")
    limbs = numbered or named
    for i, (start, end) in enumerate(limbs):
        if start == end:
            raise SpecError(f"skeleton[{i}]: {keypoints[start]} is linked to itself")
        if {start, end} in [set(limb) for limb in limbs[:i]]:
            raise SpecError(f"skeleton[{i}]: {keypoints[start]}, {keypoints[end]} stands twice")
    return tuple(limbs)


def _index(name: str, keypoints: Sequence[str], where: str) -> int:
    if name not in keypoints:
        raise SpecError(f"{where}: there is no keypoint {name}")
    return keypoints.index(name)


def _mirror(pairs: list[list[str]] | None, keypoints: Sequence[str]) -> tuple[int, ...]:
    mirror = list(range(len(keypoints)))
    if pairs is None:
        for index, name in enumerate(keypoints):
            other = SIDE.sub(lambda side: OTHER_SIDE[side.group()], name)
            if other in keypoints:
                mirror[index] = keypoints.index(other)
        return tuple(mirror)
    for i, pair in enumerate(pairs):
        if len(pair) != 2 or pair[0] == pair[1]:
            raise SpecError(f"mirror[{i}]: expected two different names, found {pair}")
        left, right = (_index(name, keypoints, f"mirror[{i}]") for name in pair)
        for index in (left, right):
            if mirror[index] != index:
                raise SpecError(f"mirror[{i}]: {keypoints[index]} is in another pair already")
        mirror[left], mirror[right] = right, left
    return tuple(mirror)


def _sigmas(sigmas: list[float] | None, keypoints: Sequence[str]) -> tuple[float, ...]:
    if sigmas is None:
        bare = (SIDE.sub("", name).strip("_ -.").lower() for name in keypoints)
        return tuple(COCO_SIGMAS.get(name, OTHER_SIGMA) for name in bare)
    if len(sigmas) != len(keypoints):
        said = f"sigmas: expected {len(keypoints)}, one a keypoint"
        raise SpecError(f"{said}, found {len(sigmas)}")
    if min(sigmas) <= 0:
        raise SpecError(f"sigmas: expected numbers above 0, found {min(sigmas)}")
    return tuple(sigmas)


def _derived(
    derived: dict[str, list[str]] | None, keypoints: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    if derived is None:
        shoulders = ("left_shoulder", "right_shoulder")
        return {"neck": shoulders} if {"neck", *shoulders} <= set(keypoints) else {}
    for name, means in derived.items():
        _index(name, keypoints, "derived")
        if not means:
            raise SpecError(f"derived.{name}: expected the names that it is the mean of")
        for mean in means:
            _index(mean, keypoints, f"derived.{name}")
            if mean in derived:
                raise SpecError(f"derived.{name}: {mean} is derived itself")
    return {name: tuple(means) for name, means in derived.items()}


def _colors(
    colors: list[str] | None, keypoints: Sequence[str], limbs: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int, int], ...]:
    if colors is None:
        return _default_colors(keypoints, limbs)
    if len(colors) != len(limbs):
        raise SpecError(f"colors: expected {len(limbs)}, one a limb, found {len(colors)}")
    for i, color in enumerate(colors):
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
            raise SpecError(f"colors[{i}]: expected such as #ff8800, found {color}")
    return tuple(_rgb(color) for color in colors)


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(color[1:])
    return red, green, blue


def _default_colors(
    keypoints: Sequence[str], limbs: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int, int], ...]:
    """Warm on the right, cool on the left, green between; hues spread along the body."""
    sides = [side_of(keypoints[start]) or side_of(keypoints[end]) for start, end in limbs]
    ranges = {"r": (0.93, 1.15), "l": (0.46, 0.72), "": (0.22, 0.38)}  # turns of the hue circle
    if not any(sides):
        ranges[""] = (0.0, 0.85)
    colors = []
    for i, side in enumerate(sides):
        low, high = ranges[side]
        place = sides[:i].count(side) / max(sides.count(side) - 1, 1)
        hue = (low + (high - low) * place) % 1.0
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.82, 1.0)
        colors.append((round(255 * red), round(255 * green), round(255 * blue)))
    return tuple(colors)
