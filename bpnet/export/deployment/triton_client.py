#!/usr/bin/env python3
"""People in photos with Triton: a line of JSON a photo.

Needs ``pip install numpy opencv-python-headless "tritonclient[http]"`` and the library that
``make`` builds.

    python3 triton/client.py --url localhost:8000 photo.jpg another.jpg
"""

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "decoder"))
bpnet_people = importlib.import_module("bpnet_people")  # type: Any

PADDING = 128  # grey level around a photo, as in bpnet inference


class Placement:
    """How a photo lies in the network's input: scaled, its aspect kept, in the middle."""

    def __init__(self, image: Any, network: Any) -> None:
        height, width = image.shape[:2]
        self.scale = min(network.width / width, network.height / height)
        self._left = (network.width - width * self.scale) / 2
        self._top = (network.height - height * self.scale) / 2

    def to_input(self, x: float, y: float) -> "tuple[float, float]":
        """A point of the photo, in pixels of the input; centres at whole numbers."""
        return (
            (x + 0.5) * self.scale + self._left - 0.5,
            (y + 0.5) * self.scale + self._top - 0.5,
        )

    def to_frame(self, x: float, y: float) -> "tuple[float, float]":
        """A point of the input, in pixels of the photo."""
        return (
            (x + 0.5 - self._left) / self.scale - 0.5,
            (y + 0.5 - self._top) / self.scale - 0.5,
        )


def fit(image: Any, network: Any) -> "tuple[Any, Placement]":
    """A photo (H, W, 3) uint8 as the network's input, the pixels those of ``bpnet inference``."""
    placement = Placement(image, network)
    step = max(step for step in (1, 2, 4, 8) if step == 1 or step * placement.scale <= 1 + 1e-6)
    if step > 1:  # the mean of squares of pixels first, or every second one would not be seen
        height, width = image.shape[:2]
        below, right = -height % step, -width % step
        image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
        size = image.shape[1] // step, image.shape[0] // step
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    x, y = placement.to_input((step - 1) / 2, (step - 1) / 2)
    scale = placement.scale * step
    matrix = np.array([[scale, 0, x], [0, scale, y]])
    warped = cv2.warpAffine(
        cv2.cvtColor(image, cv2.COLOR_BGR2BGRA),
        matrix,
        (network.width, network.height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(PADDING, PADDING, PADDING),
    )
    return warped[..., :3], placement


def to_tensor(image: Any, network: Any) -> "tuple[Any, Placement]":
    """A photo as the network's input of one image, and how it lies there.

    Args:
        image: (H, W, 3) uint8 BGR, as OpenCV reads it.
        network: A bpnet_people.Network.
    """
    contract = network.contract
    fitted, placement = fit(image, network)
    ordered = fitted[..., ::-1] if contract["channel_order"] == "rgb" else fitted
    values = ordered * np.float32(1 / np.array(contract["image_scale"]))
    values = values - np.float32(contract["image_offset"])
    if contract["layout"] == "nchw":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None], np.float32), placement


def find_people(image: Any, network: Any, infer: "Callable[[Any], tuple[Any, Any]]") -> "list[Any]":
    """The people of a photo, in its pixels.

    Args:
        image: (H, W, 3) uint8 BGR.
        network: A bpnet_people.Network.
        infer: From the input to the heatmaps and the PAFs, of one image each.
    """
    tensor, placement = to_tensor(image, network)
    arguments = []
    for output in infer(tensor):
        maps = np.ascontiguousarray(output[0], np.float32)
        arguments += [maps.ctypes.data, maps.shape]
    return [person.moved(placement) for person in network.people(*arguments)]


def connect(url: str, model: str, network: Any) -> "Callable[[Any], tuple[Any, Any]]":
    """The network on a server, for ``find_people``. It raises OSError where the server fails."""
    http = importlib.import_module("tritonclient.http")  # type: Any
    refusal = importlib.import_module("tritonclient.utils").InferenceServerException
    client = http.InferenceServerClient(url)
    contract = network.contract
    names = contract["heatmap_output"], contract["paf_output"]

    def infer(tensor: Any) -> "tuple[Any, Any]":
        given = http.InferInput(contract["input_name"], list(tensor.shape), "FP32")
        given.set_data_from_numpy(tensor)
        wanted = [http.InferRequestedOutput(name) for name in names]
        try:
            result = client.infer(model, [given], outputs=wanted)
        except refusal as error:
            raise OSError(f"{url} refused: {error}") from error
        return result.as_numpy(names[0]), result.as_numpy(names[1])

    return infer


def read_people(names: "list[str]", network: Any, infer: "Callable[[Any], Any]") -> int:
    """Write the people of photos to the standard output; how many photos cannot be read."""
    failed = 0
    for name in names:
        image = cv2.imread(name)
        if image is None:
            sys.stderr.write(f"error: {name} cannot be read\n")
            failed += 1
            continue
        people = network.to_json(find_people(image, network, infer))
        sys.stdout.write(json.dumps({"image": name, "people": people}) + "\n")
    return failed


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="People in photos with Triton.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("images", nargs="+", metavar="PHOTO", help="image files")
    parser.add_argument("--url", default="localhost:8000", help="of the server's HTTP port")
    parser.add_argument("--model", default="bpnet", help="name in the model repository")
    arguments = parser.parse_args()
    try:
        network = bpnet_people.Network()
        infer = connect(arguments.url, arguments.model, network)
        return min(read_people(arguments.images, network, infer), 1)
    except ImportError as error:
        sys.stderr.write(f"error: {error}: pip install 'tritonclient[http]'\n")
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
