"""Images in, people out: the steps of inference, one method each, and all of them at once."""

import dataclasses
import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bpnet.decode import Decoder
from bpnet.errors import SpecError
from bpnet.inference.averaging import average_mirrored, average_scales, from_cell_corners
from bpnet.inference.backend import Backend, open_backend
from bpnet.inference.decoding import decoder_settings, with_model_thresholds
from bpnet.inference.description import Describe
from bpnet.inference.preprocess import InputFit, NetworkInput, fit_image
from bpnet.inference.sources import read_image
from bpnet.pose.contract import ModelContract
from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints
from bpnet.spec.dataloader import STRIDE
from bpnet.spec.inference import InferenceSpec

logger = logging.getLogger(__name__)

WINDOW = 4  # batches of images in memory at once, among which equal sizes are sought


@dataclass(frozen=True)
class PreparedImage:
    """One image, ready for the network.

    Attributes:
        inputs: one a scale, the largest last; persons are decoded in the pixels of the last.
    """

    inputs: tuple[NetworkInput, ...]


@dataclass
class Predictor:
    """A network with its preparation before and its decoder after.

    Attributes:
        backend: the network.
        fit: how images become network inputs.
        decoder: reads persons off maps.
        scales: of ``fit``, ascending; maps are averaged over them.
        flip: average with the maps of the mirrored image.
        batch_size: most images of equal size that the network gets at once.
        threads: of the decoder; None: one a core.
        dropped_peaks: candidates for keypoints that the decoder left out so far.
    """

    backend: Backend
    fit: InputFit
    decoder: Decoder
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    batch_size: int = 8
    threads: int | None = None
    dropped_peaks: int = 0

    def __call__(self, image: NDArray[np.uint8] | str | Path) -> PersonKeypoints:
        """The people of one image, (H, W, 3) uint8 RGB or a file, in its pixels.

        Raises:
            DataError: The file cannot be read, or the image is too small or too elongated.
        """
        return self.predict([image])[0]

    def predict(self, images: Iterable[NDArray[np.uint8] | str | Path]) -> list[PersonKeypoints]:
        """The people of each image, (H, W, 3) uint8 RGB or a file, in its pixels.

        Images whose network inputs are of equal size run together, ``batch_size`` at once.

        Raises:
            DataError: A file cannot be read, or an image is too small or too elongated.
        """
        remaining = iter(images)
        people: list[PersonKeypoints] = []
        while some := list(islice(remaining, WINDOW * self.batch_size)):
            pixels = (read_image(Path(x)) if isinstance(x, str | Path) else x for x in some)
            prepared = [self.prepare(image) for image in pixels]
            people += self.decode(self.infer(prepared), prepared)
        return people

    def maps(self, image: NDArray[np.uint8]) -> tuple[PoseMaps, NetworkInput]:
        """The maps of one image, and the network input whose pixels they cover."""
        prepared = self.prepare(image)
        return self.infer([prepared])[0], prepared.inputs[-1]

    def prepare(self, image: NDArray[np.uint8]) -> PreparedImage:
        """The (H, W, 3) uint8 RGB image, fitted to the network at every scale.

        Raises:
            DataError: It is too small or too elongated.
        """
        return PreparedImage(
            tuple(fit_image(image, self.fit, scale=scale) for scale in self.scales)
        )

    def infer(self, prepared: Sequence[PreparedImage]) -> list[PoseMaps]:
        """The maps of each image, averaged over scales and mirroring where asked."""
        inputs = [each for image in prepared for each in image.inputs]
        maps = self._run([each.image for each in inputs])
        if self.flip:
            mirrored = self._run([each.image[:, ::-1] for each in inputs])
            skeleton = self.backend.contract.skeleton
            maps = [
                average_mirrored(plain, turned, skeleton)
                for plain, turned in zip(maps, mirrored, strict=True)
            ]
        count = len(self.scales)
        if count > 1:
            maps = [
                average_scales(
                    maps[index * count : (index + 1) * count],
                    [each.transform for each in image.inputs],
                )
                for index, image in enumerate(prepared)
            ]
        return maps

    def decode(
        self, maps: Sequence[PoseMaps], prepared: Sequence[PreparedImage]
    ) -> list[PersonKeypoints]:
        """The people of each image, in the pixels of the image that was prepared."""
        people = self.decoder.decode_batch(list(maps), self.threads)
        moved = [
            found.moved(image.inputs[-1].transform.inverse())
            for found, image in zip(people, prepared, strict=True)
        ]
        self._count_dropped(sum(found.dropped_peaks for found in people))
        return moved

    def _count_dropped(self, dropped: int) -> None:
        """Says once that people may be missing."""
        if dropped > 0 and self.dropped_peaks == 0:
            logger.warning(
                "%s candidates for keypoints were left out, so people may be missing: an image has "
                "more than the decoder considers (the strongest %s of a kind); said once",
                dropped,
                self.decoder.settings.max_peaks,
            )
        self.dropped_peaks += dropped

    def _run(self, images: Sequence[NDArray[np.uint8]]) -> list[PoseMaps]:
        """The network's maps of (H, W, 3) images, those of equal size together."""
        by_size: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, image in enumerate(images):
            by_size[image.shape].append(index)
        maps: dict[int, PoseMaps] = {}
        for indices in by_size.values():
            for start in range(0, len(indices), self.batch_size):
                chunk = indices[start : start + self.batch_size]
                batch = np.stack([images[index] for index in chunk])
                maps.update(zip(chunk, self.backend.predict(batch), strict=True))
        ordered = [maps[index] for index in range(len(images))]
        corners = self.backend.contract.paf_cell_corners
        if corners and not self.decoder.settings.paf_cell_corners:
            return [from_cell_corners(each) for each in ordered]
        return ordered


def build_predictor(
    model_path: Path,
    spec: InferenceSpec | None = None,
    *,
    describe: Describe | None = None,
    key: str | None = None,
    threads: int | None = None,
    batch_size: int = 8,
    provider: str = "auto",
) -> Predictor:
    """A predictor of the model file.

    Args:
        model_path: whatever ``open_backend`` opens: Keras, ONNX or TensorRT.
        spec: how to run it; None: as the model's own metadata says.
        describe: asked where the file carries no metadata of ours.
        key: of an encrypted file.
        threads: of ONNX Runtime (or TensorFlow) and the decoder; None: all cores.
        batch_size: most images of equal size that the network gets at once.
        provider: of ONNX Runtime: auto, cpu, cuda, tensorrt or openvino.

    Raises:
        ModelError: The file is missing, broken, not a model, or nobody says what it is.
        MissingLibraryError: Its library is not installed.
        SpecError: The spec says something impossible for this model.
    """
    stage = None if spec is None else spec.output_stage_to_use
    backend = open_backend(
        model_path, describe=describe, stage=stage, key=key, threads=threads, provider=provider
    )
    return predictor_of(backend, spec, batch_size=batch_size, threads=threads)


def predictor_of(
    backend: Backend,
    spec: InferenceSpec | None = None,
    *,
    batch_size: int = 8,
    threads: int | None = None,
) -> Predictor:
    """A predictor of an open backend; without ``spec``, as the model's contract says.

    Raises:
        SpecError: The spec says something impossible for this model.
    """
    contract = backend.contract
    if spec is None:
        spec = with_model_thresholds(InferenceSpec(), contract)
    fit, scales = _input_fit(spec, contract)
    # Averages need PAFs on cell centres; single maps are best left to the decoder's own sampling.
    averaged = spec.flip_test or len(scales) > 1
    settings = dataclasses.replace(
        decoder_settings(spec), paf_cell_corners=contract.paf_cell_corners and not averaged
    )
    decoder = Decoder(contract.skeleton, settings)
    return Predictor(
        backend,
        fit,
        decoder,
        scales=scales,
        flip=spec.flip_test,
        batch_size=batch_size,
        threads=threads,
    )


def _input_fit(spec: InferenceSpec, contract: ModelContract) -> tuple[InputFit, tuple[float, ...]]:
    """How images are fitted, and the scales to average over."""
    height, width = spec.input_shape or contract.usual_size
    mode = spec.keep_aspect_ratio_mode
    stride = math.ceil(max(STRIDE, contract.heatmap_stride, contract.paf_stride))
    multiple = math.lcm(stride, spec.size_multiple or 1)
    scales: tuple[float, ...] = (1.0,)
    if spec.multi_scale_inference and spec.scales:
        scales = tuple(sorted(spec.scales))
    if contract.height is not None and contract.width is not None:
        size = f"{contract.height}x{contract.width} (height x width)"
        if mode not in ("auto", "pad_image_input", None):
            raise SpecError(
                f"keep_aspect_ratio_mode is {mode}, but the model's input is fixed to {size}; set "
                "it to pad_image_input, or leave it out"
            )
        if (height, width) != (contract.height, contract.width):
            logger.info("the model's input is fixed: images are padded to %s", size)
        mode = mode if mode is None else "pad_image_input"
        if scales != (1.0,):
            raise SpecError(
                f"the model's input is fixed to {contract.height}x{contract.width}, so it cannot "
                "run at several scales; set multi_scale_inference to false"
            )
        if spec.flip_test and contract.width % stride:
            raise SpecError(
                f"the model's width is fixed to {contract.width}, so the mirrored image's maps lie "
                f"between cells of {stride} pixels; set flip_test to false"
            )
        height, width, multiple = contract.height, contract.width, 1
    if mode == "auto":
        mode = "adjust_network_input"
    return InputFit(height, width, mode, spec.pad_value, multiple), scales
