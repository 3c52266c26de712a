"""Maps -> persons: peaks, limbs between them, people put together. The work is done in C++."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from bpnet.decode import _native
from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton


@dataclass(frozen=True)
class DecoderSettings:
    """Every number the decoder goes by; the defaults come from experiment on COCO images.

    Attributes:
        heatmap_threshold: Least score of a keypoint: the heatmap's value at the sub-pixel top.
        cell_share: Cells below this share of ``heatmap_threshold`` are no candidates; a top
            between four cells is up to 1.4 times as high as they are.
        max_peaks: Most candidates of a keypoint; the strongest are kept.
        refine: 2 doubles the heatmaps (cubic) before peaks are sought, 1 takes them as they are.
        paf_threshold: Least agreement of a PAF sample with its limb (dot product).
        min_sample_share: Share of a limb's samples that must reach ``paf_threshold``.
        samples_per_cell: Samples along a limb, per heatmap cell of its length.
        min_samples: Least number of samples of a limb.
        max_samples: Most samples of a limb.
        short_limb: A limb shorter than this, in heatmap cells, has no direction to speak of and
            scores at least ``short_limb_score``.
        short_limb_score: See ``short_limb``.
        length_limit: A limb longer than this share of the input's height scores as much less as it
            is longer; it is still a limb.
        paf_cell_corners: The network was trained with PAFs on cell corners (TAO's networks).
        min_keypoints: People with fewer keypoints are dropped; a person has 2 at least.
        min_mean_score: People are dropped whose keypoint and limb scores, summed and divided by
            the number of keypoints, are lower.
        small_person: A person this large, in heatmap cells (root mean square of the width and
            height of its keypoints' box), has half the score of a large one; 0: size does not
            matter.
    """

    heatmap_threshold: float = 0.1
    cell_share: float = 0.6
    max_peaks: int = 128
    refine: int = 1
    paf_threshold: float = 0.05
    min_sample_share: float = 0.8
    samples_per_cell: float = 0.5
    min_samples: int = 5
    max_samples: int = 10
    short_limb: float = 1.0
    short_limb_score: float = 0.1
    length_limit: float = 0.5
    paf_cell_corners: bool = False
    min_keypoints: int = 2
    min_mean_score: float = 0.1
    small_person: float = 5.0

    def __post_init__(self) -> None:
        fault = _to_native(self).fault()
        if fault is not None:
            raise ValueError(fault)

    @classmethod
    def tao(cls) -> "DecoderSettings":
        """TAO's pruning of people (4 keypoints, mean score 0.4), and no score of their size."""
        return cls(min_keypoints=4, min_mean_score=0.4, small_person=0.0)


class Decoder:
    """Reads people from the maps of a network; threads may share one.

    Time is bounded whatever the maps hold: every cell is looked at a fixed number of times, and a
    limb has at most ``max_peaks`` squared pairs of candidates with ``max_samples`` samples each;
    what is above the cap is counted in ``dropped_peaks``. The worst 46x82 maps that were found
    (noise that reaches every cap, fields that agree everywhere) take 22 ms for 18 keypoints and 19
    limbs and 0.4 s for 133 keypoints and 132 limbs, on one core; 20 people take 0.3 ms.

    Attributes:
        skeleton: whose keypoints and limbs the maps show.
        settings: what the decoder goes by.
    """

    def __init__(self, skeleton: Skeleton, settings: DecoderSettings | None = None) -> None:
        self.skeleton = skeleton
        self.settings = settings or DecoderSettings()
        self._native = _native.Decoder(
            len(skeleton.keypoints), list(skeleton.limbs), _to_native(self.settings)
        )

    def __call__(self, maps: PoseMaps) -> PersonKeypoints:
        """The people of one image, most certain first, in pixels of the network's input.

        Args:
            maps: heatmaps (H, W, K+1) and pafs (H', W', 2L); any strides.

        Raises:
            ValueError: The maps have other channels than the skeleton wants, or no cells, or a
                stride that is not above 0.
        """
        return self.decode_batch([maps], threads=1)[0]

    def decode_batch(
        self, batch: Sequence[PoseMaps], threads: int | None = None
    ) -> list[PersonKeypoints]:
        """The people of each image; the same bytes for any number of threads.

        Args:
            batch: maps of any sizes.
            threads: 1 or more; default: one a CPU core.

        Raises:
            ValueError: As for one image, or ``threads`` is below 1.
        """
        if threads is not None and threads < 1:
            raise ValueError(f"threads: {threads} must be 1 or more, or None for one a CPU core")
        arrays = [self._checked(maps) for maps in batch]
        threads = min(threads or os.cpu_count() or 1, len(arrays))
        return [PersonKeypoints(*result) for result in self._native.decode(arrays, threads)]

    def _checked(
        self, maps: PoseMaps
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], float, float]:
        heatmaps, pafs = _readable(maps.heatmaps), _readable(maps.pafs)
        channels = (self.skeleton.heatmap_channels, self.skeleton.paf_channels)
        if (
            heatmaps.ndim != 3
            or pafs.ndim != 3
            or (heatmaps.shape[2], pafs.shape[2]) != channels
            or 0 in heatmaps.shape
            or 0 in pafs.shape[:2]
        ):
            raise ValueError(
                f"heatmaps {heatmaps.shape} and pafs {pafs.shape} must be "
                f"(H, W, {channels[0]}) and (H', W', {channels[1]}) for the "
                f"{len(self.skeleton.keypoints)} keypoints and {len(self.skeleton.limbs)} limbs of "
                f"{self.skeleton.name}"
            )
        return heatmaps, pafs, maps.heatmap_stride, maps.paf_stride


def _readable(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """The same array as float32 at addresses that C++ may read; a copy only where it must be."""
    with np.errstate(all="ignore"):  # what is too large for float32 counts as 0, as infinity does
        array = np.asarray(values, dtype=np.float32)
    if array.flags.aligned and not any(stride % array.itemsize for stride in array.strides):
        return array
    return array.copy()


def _to_native(settings: DecoderSettings) -> _native.Settings:
    native = _native.Settings()
    for field in fields(settings):
        value = getattr(settings, field.name)
        try:
            setattr(native, field.name, value)
        except (TypeError, OverflowError) as error:
            raise ValueError(f"{field.name}: {value!r} is of another kind or too large") from error
    return native
