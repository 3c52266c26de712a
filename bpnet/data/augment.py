"""The random geometry of training images: which part of a source image the network sees, and how.

Every transform runs from source pixels to network-input pixels, pixel centres at whole numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet.pose.transform import ImageTransform
from bpnet.spec.dataloader import AugmentationConfig, SpatialAugParams

DRAWS = 7  # random numbers an image: flips (2), shift (2), whether to zoom, zoom, rotation


@dataclass(frozen=True)
class View:
    """What the network sees of one source image.

    Attributes:
        transform: From source pixels to network-input pixels.
        mirrored: The image is flipped left-right, so that left keypoints are right ones.
    """

    transform: ImageTransform
    mirrored: bool


@dataclass(frozen=True)
class MainPerson:
    """The person that person_centric puts in the middle: box centre and height, source pixels."""

    x: float
    y: float
    height: float


def random_numbers(seed: int, position: int) -> NDArray[np.float64]:
    """The (DRAWS,) numbers in [0, 1) of the training image at ``position`` since the first epoch.

    A pure function of its arguments, so that a resumed training sees what it would have seen.
    """
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, position, 1])).random(
        DRAWS
    )


def epoch_order(seed: int, epoch: int, records: int) -> NDArray[np.int64]:
    """The (records,) order in which an epoch visits its records; a pure function of its arguments.

    It draws from another stretch of the seed's stream than ``random_numbers``.
    """
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, epoch, 2]))
    return generator.permutation(records)


def sample_view(
    config: AugmentationConfig,
    *,
    image_size: tuple[int, int],
    person: MainPerson | None,
    network_size: tuple[int, int],
    draws: NDArray[np.float64] | None,
) -> View:
    """One random view of an image.

    A point is shifted (right and down where positive), scaled, rotated (clockwise where positive),
    flipped, all about the middle of the view, which is then put in the middle of the network's
    input. The modes differ in the middle and the scale: person_centric takes the main person, at
    ``target_person_scale`` of the network's height; standard the image, fitted with its aspect
    kept; standard_with_fixed_aspect_ratio the image stretched to the network's shape before it is
    rotated. A zoom above 1 shrinks in all of them. An image without a main person is fitted whole.

    Args:
        config: The mode and its parameters.
        image_size: Height and width of the source image.
        person: The main person of the image, if there is one.
        network_size: Height and width of the network's input.
        draws: (DRAWS,) numbers in [0, 1); None for no randomness.
    """
    params = SpatialAugParams() if draws is None else config.spatial_aug_params
    u = np.full(DRAWS, 0.5) if draws is None else draws
    flip_lr, flip_tb = u[0] < params.flip_lr_prob, u[1] < params.flip_tb_prob
    shift = _shift(params, image_size=image_size, u=u[2:4])
    zoom = 1.0
    if u[4] < params.zoom_prob:
        zoom = _between(params.zoom_ratio_min, params.zoom_ratio_max, u[5])
    turn = np.deg2rad(_between(params.rotate_deg_min, params.rotate_deg_max, u[6]))
    middle, scale = _framing(
        config, image_size=image_size, person=person, network_size=network_size
    )
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    flip = np.diag([-1.0 if flip_lr else 1.0, -1.0 if flip_tb else 1.0])
    linear = flip @ rotation @ np.diag(scale / zoom)
    offset = _middle(network_size) - linear @ (middle - shift)
    return View(ImageTransform(np.column_stack([linear, offset])), bool(flip_lr))


def move_keypoints(
    keypoints: NDArray[np.float32], view: View, mirror: Sequence[int]
) -> NDArray[np.float32]:
    """Keypoints (P, K, 3) of a source image in network-input pixels; (0, 0, 0) where unlabelled.

    Args:
        keypoints: x and y in source pixels, the third 1 where labelled, else 0.
        view: What the network sees.
        mirror: The keypoint on the other side of each, itself where there is none.
    """
    flags = keypoints[..., 2:]
    xy = view.transform.apply(keypoints[..., :2])
    moved = np.concatenate([xy * (flags > 0), flags], axis=-1)
    return moved[:, list(mirror)] if view.mirrored else moved


def _framing(
    config: AugmentationConfig,
    *,
    image_size: tuple[int, int],
    person: MainPerson | None,
    network_size: tuple[int, int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middle (2,) of the unrandomised view, source pixels, and its scale (2,) along x and y."""
    height, width = image_size
    network_height, network_width = network_size
    mode = config.spatial_augmentation_mode
    if mode == "person_centric" and person is not None and person.height >= 1:
        target = config.spatial_aug_params.target_person_scale * network_height
        return np.array([person.x, person.y]), np.full(2, target / person.height)
    stretch = np.array([network_width / width, network_height / height])
    if mode != "standard_with_fixed_aspect_ratio":
        stretch = np.full(2, stretch.min())
    return _middle(image_size), stretch


def _shift(
    params: SpatialAugParams, *, image_size: tuple[int, int], u: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The shift (2,) right and down, source pixels."""
    if params.use_translate_ratio:
        least, most = params.translate_ratio_min, params.translate_ratio_max
        height, width = image_size
        return np.array([_between(least, most, u[0]) * width, _between(least, most, u[1]) * height])
    return np.array(
        [
            _between(params.translate_min_x, params.translate_max_x, u[0]),
            _between(params.translate_min_y, params.translate_max_y, u[1]),
        ]
    )


def _between(least: float | None, most: float, u: float) -> float:
    """The number at part ``u`` of a range whose least is ``-most`` where it is not given."""
    least = -most if least is None else least
    return least + (most - least) * u


def _middle(size: tuple[int, int]) -> NDArray[np.float64]:
    """The middle (x, y) of an image of this height and width."""
    height, width = size
    return np.array([(width - 1) / 2, (height - 1) / 2])
