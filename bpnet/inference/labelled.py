"""The images of a labelled dataset."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bpnet.data.coco import CocoImage
from bpnet.errors import DataError
from bpnet.inference.sources import read_image


def read_labelled(image: CocoImage, folder: Path) -> NDArray[np.uint8]:
    """The file of ``image`` below ``folder``, (H, W, 3) uint8 RGB, in the pixels of its labels.

    So it is not turned by EXIF.

    Raises:
        DataError: It cannot be read, or its labels are for another size.
    """
    path = folder / image.file_name
    pixels = read_image(path, upright=False)
    height, width = pixels.shape[:2]
    if (height, width) != (image.height, image.width):
        raise DataError(
            f"{path} is {width}x{height} pixels, but its labels are for "
            f"{image.width}x{image.height}; replace the image or its entry"
        )
    return pixels
