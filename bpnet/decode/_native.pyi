"""The C++ decoder, as Python sees it."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

MapsTuple: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32], float, float]
"""Heatmaps (H, W, K+1), pafs (H', W', 2L), their strides in input pixels."""

PersonsTuple: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], int]
"""xy (P, K, 2) in input pixels, score (P, K), person_score (P,), dropped peaks."""

class Settings:
    """The defaults; ``bpnet.decode.DecoderSettings`` says what each number means."""

    heatmap_threshold: float
    cell_share: float
    max_peaks: int
    refine: int
    paf_threshold: float
    min_sample_share: float
    samples_per_cell: float
    min_samples: int
    max_samples: int
    short_limb: float
    short_limb_score: float
    length_limit: float
    paf_cell_corners: bool
    min_keypoints: int
    min_mean_score: float
    small_person: float
    def __init__(self) -> None: ...
    def fault(self) -> str | None: ...

class Decoder:
    def __init__(
        self, keypoints: int, limbs: Sequence[tuple[int, int]], settings: Settings
    ) -> None: ...
    def decode(self, batch: Sequence[MapsTuple], threads: int) -> list[PersonsTuple]: ...
