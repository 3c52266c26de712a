"""Which way up a picture is to be shown: the eight ways to turn and mirror it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Orientation:
    """How stored pixels become the picture: first rows and columns swap, then it is mirrored.

    Attributes:
        swapped: rows become columns.
        left_right: mirrored left to right.
        up_down: mirrored upside down.
    """

    swapped: bool = False
    left_right: bool = False
    up_down: bool = False

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The (H, W, C) stored pixels as the (H', W', C) picture, contiguous."""
        if self == UPRIGHT:
            return image
        turned = image.transpose(1, 0, 2) if self.swapped else image
        turned = turned[:, ::-1] if self.left_right else turned
        turned = turned[::-1] if self.up_down else turned
        return np.ascontiguousarray(turned)


UPRIGHT = Orientation()

# EXIF 2.32, tag 0x0112: where row 0 and column 0 of what is stored are in the picture.
EXIF = {
    1: UPRIGHT,
    2: Orientation(left_right=True),
    3: Orientation(left_right=True, up_down=True),
    4: Orientation(up_down=True),
    5: Orientation(swapped=True),
    6: Orientation(swapped=True, left_right=True),
    7: Orientation(swapped=True, left_right=True, up_down=True),
    8: Orientation(swapped=True, up_down=True),
}


def from_display_matrix(matrix: bytes) -> Orientation:
    """That of a video's display matrix, at the nearest quarter turn.

    Args:
        matrix: nine native 32-bit integers a b u c d v x y w: the stored point (p, q) is shown at
            (a p + c q, b p + d q), with x to the right and y down (ISO/IEC 14496-12, 6.2.2; FFmpeg
            ``AV_FRAME_DATA_DISPLAYMATRIX``).
    """
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32, count=9).astype(np.int64).tolist()
    if abs(a) + abs(d) < abs(b) + abs(c):
        return Orientation(swapped=True, left_right=c < 0, up_down=b < 0)
    return Orientation(left_right=a < 0, up_down=d < 0)
