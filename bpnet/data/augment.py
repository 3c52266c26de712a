"""The random geometry of training images: which part of a source image the network sees, and how.

Every transform runs from source pixels to network-input pixels, pixel centres at whole numbers. All
of a batch is worked out at once: a Python call an image would cost as much as a tenth of decoding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet.spec.dataloader import AugmentationConfig, SpatialAugParams

# Columns of the random numbers of an image. 0..6 are the geometry's, the others the colours'.
FLIP_LR, FLIP_TB, SHIFT_X, SHIFT_Y, WHETHER_ZOOM, ZOOM, ROTATION = range(7)
BRIGHTNESS, CONTRAST, SATURATION, HUE, WHETHER_BLUR, BLUR = range(7, 13)
DRAWS = 16  # a multiple of 4, the numbers that a step of Philox's counter makes


@dataclass(frozen=True)
class Views:
    """What the network sees of N source images.

    Attributes:
        matrices: (N, 2, 3) from source pixels to network-input pixels, as ``ImageTransform``'s.
        mirrored: (N,) whether the image is a mirror image, so that left keypoints are right ones:
            flipped left-right or top-bottom, not both, which is a half turn.
    """

    matrices: NDArray[np.float64]
    mirrored: NDArray[np.bool_]


def random_numbers(seed: int, first: int, count: int) -> NDArray[np.float64]:
    """The (count, DRAWS) numbers in [0, 1) of the training images from position ``first`` on.

    Positions count from the first image of the first epoch. An image's numbers are a pure function
    of the seed and its position, so that a resumed training sees what it would have seen.
    """
    stream = np.random.Philox(key=seed, counter=[first * DRAWS // 4, 0, 0, 1])
    return np.random.Generator(stream).random((count, DRAWS))


def epoch_order(seed: int, epoch: int, records: int) -> NDArray[np.int64]:
    """The (records,) order in which an epoch visits its records; a pure function of its arguments.

    It draws from another stretch of the seed's stream than ``random_numbers``.
    """
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, epoch, 2]))
    return generator.permutation(records)


def sample_views(
    config: AugmentationConfig,
    *,
    image_sizes: NDArray[np.float64],
    people: NDArray[np.float64],
    network_size: tuple[int, int],
    draws: NDArray[np.float64] | None,
) -> Views:
    """One random view of each of N images.

    A point is shifted (right and down where positive), scaled, rotated (clockwise where positive),
    flipped, all about the middle of the view, which is then put in the middle of the network's
    input. The modes differ in the middle and the scale: person_centric takes the main person, at
    ``target_person_scale`` of the network's height; standard the image, fitted with its aspect
    kept; standard_with_fixed_aspect_ratio the image stretched to the network's shape before it is
    rotated. A zoom above 1 shrinks in all of them. An image without a main person is fitted whole.

    Args:
        config: The mode and its parameters.
        image_sizes: (N, 2) height and width of the source images.
        people: (N, 3) the main people: x and y of the box's centre and its height, source pixels;
            NaN where an image has none.
        network_size: Height and width of the network's input.
        draws: (N, DRAWS) numbers in [0, 1); None for no randomness.
    """
    params = SpatialAugParams() if draws is None else config.spatial_aug_params
    u = np.full((len(image_sizes), DRAWS), 0.5) if draws is None else draws
    sizes = image_sizes[:, ::-1]  # width and height, as x and y
    flips = np.where(u[:, [FLIP_LR, FLIP_TB]] < (params.flip_lr_prob, params.flip_tb_prob), -1, 1)
    zoom = _between(params.zoom_ratio_min, params.zoom_ratio_max, u[:, ZOOM])
    zoom = np.where(u[:, WHETHER_ZOOM] < params.zoom_prob, zoom, 1.0)
    turn = np.deg2rad(_between(params.rotate_deg_min, params.rotate_deg_max, u[:, ROTATION]))
    middles, scales = _framing(config, sizes=sizes, people=people, network_size=network_size)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = flips[:, :, None] * rotation.transpose(2, 0, 1) * (scales / zoom[:, None])[:, None, :]
    from_middle = middles - _shifts(params, sizes=sizes, u=u)
    height, width = network_size
    offset = np.array([(width - 1) / 2, (height - 1) / 2]) - _apply(linear, from_middle)
    return Views(np.concatenate([linear, offset[:, :, None]], axis=2), flips.prod(axis=1) < 0)


def move_keypoints(
    keypoints: NDArray[np.float32], views: Views, mirror: Sequence[int]
) -> NDArray[np.float32]:
    """Keypoints (N, P, K, 3) of N source images in network-input pixels.

    They are (0, 0, 0) where unlabelled; outside of the input they are kept as they are.

    Args:
        keypoints: x and y in source pixels, the third 1 where labelled, else 0.
        views: What the network sees.
        mirror: The keypoint on the other side of each, itself where there is none.
    """
    flat = keypoints.reshape(len(keypoints), -1, 3)
    xy = flat[..., :2] @ views.matrices[:, :, :2].transpose(0, 2, 1) + views.matrices[:, None, :, 2]
    flags = flat[..., 2:]
    moved = np.concatenate([xy * (flags > 0), flags], axis=-1, dtype=np.float32)
    moved = moved.reshape(keypoints.shape)
    moved[views.mirrored] = moved[views.mirrored][:, :, list(mirror)]
    return moved


def _framing(
    config: AugmentationConfig,
    *,
    sizes: NDArray[np.float64],
    people: NDArray[np.float64],
    network_size: tuple[int, int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middles (N, 2) of the unrandomised views, source pixels, and their scales along x and y."""
    network_height, network_width = network_size
    scales = np.array([network_width, network_height]) / sizes
    if config.spatial_augmentation_mode != "standard_with_fixed_aspect_ratio":
        scales = np.repeat(scales.min(axis=1, keepdims=True), 2, axis=1)
    middles = (sizes - 1) / 2
    if config.spatial_augmentation_mode == "person_centric":
        heights = people[:, 2:]
        centred = np.isfinite(people).all(axis=1, keepdims=True) & (heights >= 1)
        target = config.spatial_aug_params.target_person_scale * network_height
        scales = np.where(centred, target / np.where(centred, heights, 1), scales)
        middles = np.where(centred, people[:, :2], middles)
    return middles, scales


def _shifts(
    params: SpatialAugParams, *, sizes: NDArray[np.float64], u: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The shifts (N, 2) right and down, source pixels."""
    if params.use_translate_ratio:
        least, most = params.translate_ratio_min, params.translate_ratio_max
        return _between(least, most, u[:, [SHIFT_X, SHIFT_Y]]) * sizes
    x = _between(params.translate_min_x, params.translate_max_x, u[:, SHIFT_X])
    y = _between(params.translate_min_y, params.translate_max_y, u[:, SHIFT_Y])
    return np.stack([x, y], axis=1)


def _between(least: float | None, most: float, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """The numbers at parts ``u`` of a range whose least is ``-most`` where it is not given."""
    least = -most if least is None else least
    return least + (most - least) * u


def _apply(linear: NDArray[np.float64], xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (N, 2), each by its own matrix (N, 2, 2)."""
    return np.asarray((linear @ xy[:, :, None])[:, :, 0])
