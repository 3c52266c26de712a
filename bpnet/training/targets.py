"""What a training step makes of a batch: normalised pixels, and the maps to be learned."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from bpnet.encode import draw_maps, person_scales
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataloader import BpNetDataloader


@dataclass(frozen=True)
class Targets:
    """How pixels are normalised and maps drawn.

    Attributes:
        limbs: (L, 2) keypoint numbers from 0.
        map_height: Cells.
        map_width: Cells.
        stride: Input pixels a cell.
        sigma: Standard deviation of a keypoint's Gaussian, input pixels.
        limb_width: Half the width of a limb's field, input pixels.
        image_scale: Pixels are divided by this, a number a channel.
        image_offset: Then this is subtracted, a number a channel.
        person_sizes: Where large people are drawn larger: the size of one drawn as above (input
            pixels), the least and the greatest factor.
    """

    limbs: tuple[tuple[int, int], ...]
    map_height: int
    map_width: int
    stride: int
    sigma: float
    limb_width: float
    image_scale: tuple[float, ...]
    image_offset: tuple[float, ...]
    person_sizes: tuple[float, float, float] | None = None

    @classmethod
    def of(cls, loader: BpNetDataloader, skeleton: Skeleton) -> "Targets":
        """What a training spec's dataloader section says."""
        height, width = loader.pose_config.target_shape
        stride = loader.image_config.image_dims.height // height
        labels = loader.label_processor_config
        return cls(
            limbs=skeleton.limbs,
            map_height=height,
            map_width=width,
            stride=stride,
            sigma=labels.heatmap_gaussian_sigma,
            limb_width=labels.paf_ortho_dist_thresh * stride,
            image_scale=tuple(loader.normalization_params.image_scale),
            image_offset=tuple(loader.normalization_params.image_offset),
            person_sizes=(
                labels.size_scaled_reference,
                labels.size_scaled_min,
                labels.size_scaled_max,
            )
            if labels.size_scaled_targets
            else None,
        )

    def draw(self, keypoints: Any) -> tuple[Any, Any]:
        """Heatmaps (N, h, w, K+1) and PAFs (N, h, w, 2L) of keypoints (N, P, K, 3)."""
        scales = None
        if self.person_sizes is not None:
            reference, least, most = self.person_sizes
            scales = person_scales(keypoints, reference=reference, least=least, most=most)
        heatmaps, pafs = draw_maps(
            keypoints,
            limbs=self.limbs,
            map_height=self.map_height,
            map_width=self.map_width,
            stride=self.stride,
            sigma=self.sigma,
            limb_width=self.limb_width,
            scales=scales,
        )
        return heatmaps, pafs

    def normalise(self, images: Any) -> Any:
        """Network input (N, H, W, 3) float32 of pixels (N, H, W, 3) 0..255."""
        pixels = keras.ops.cast(images, "float32")
        scale = np.array(self.image_scale, np.float32)
        return pixels / scale - np.array(self.image_offset, np.float32)
