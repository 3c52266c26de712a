"""The trained network and everything exported from it, side by side on the same images.

All get exactly the same pixels, padded to the size of the export, and one decoder reads all maps.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from bpnet.data.coco import CocoDataset, CocoImage
from bpnet.diagnosis.bootstrap import compare_ap
from bpnet.diagnosis.comparison import compare, dataset_sigmas
from bpnet.diagnosis.precision import Matches, accumulate, match_image
from bpnet.errors import DataError
from bpnet.export.agreement import AgreementCount
from bpnet.export.verify import Comparison, DifferenceSum
from bpnet.inference.backend import Backend
from bpnet.inference.decoding import with_model_thresholds
from bpnet.inference.labelled import read_labelled
from bpnet.inference.onnx_backend import OnnxBackend
from bpnet.inference.predictor import Predictor, PreparedImage, predictor_of
from bpnet.inference.preprocess import InputFit, fit_image
from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.inference import InferenceSpec

logger = logging.getLogger(__name__)

Photo = tuple[int, NDArray[np.uint8]]
"""A number of its own, and pixels (H, W, 3) uint8 RGB."""


@dataclass(frozen=True)
class Candidate:
    """An exported model that is ready to run.

    Attributes:
        label: Its name in tables.
        precision: fp32, fp16, int8 or int8+fp16.
        predictor: The model and its decoder.
    """

    label: str
    precision: str
    predictor: Predictor


def predictor_at(
    backend: Backend, spec: InferenceSpec | None, *, height: int, width: int
) -> Predictor:
    """A predictor that pads every image to height x width, one scale, as ``spec`` decodes.

    Args:
        backend: The network.
        spec: How maps are decoded and what colour padding has; None: as the contract says.
        height: Of the network's input, pixels.
        width: Of the network's input, pixels.
    """
    said = spec or with_model_thresholds(InferenceSpec(), backend.contract)
    plain = dataclasses.replace(
        said,
        input_shape=[height, width],
        keep_aspect_ratio_mode="pad_image_input",
        multi_scale_inference=False,
        flip_test=False,
    )
    fit = InputFit(height, width, "pad_image_input", said.pad_value, multiple=1)
    return dataclasses.replace(predictor_of(backend, plain, batch_size=1), fit=fit)


def compare_networks(
    trained: Predictor,
    candidates: Sequence[Candidate],
    photos: Iterable[Photo],
    *,
    dataset: CocoDataset | None = None,
) -> list[Comparison]:
    """Run all on ``photos``, one at a time, and compare each candidate with ``trained``.

    Args:
        trained: The network, which says how images are padded.
        candidates: What was exported from it, for inputs of the same size.
        photos: Read once; their numbers are image ids where there is a dataset.
        dataset: Labels, for AP; None: only maps and people are compared.

    Raises:
        DataError: There are no photos.
    """
    skeleton = trained.backend.contract.skeleton
    trials = [_Trial(candidate, AgreementCount(skeleton)) for candidate in candidates]
    people: dict[int, PersonKeypoints] = {}
    for number, image in photos:
        prepared = PreparedImage((fit_image(image, trained.fit),))
        maps = trained.infer([prepared])
        (people[number],) = trained.decode(maps, [prepared])
        for trial in trials:
            trial.add(number, prepared, maps[0], people[number])
    if not people:
        raise DataError("there are no images to compare the exported model on")
    matches = None if dataset is None else _matches(people, dataset, skeleton)
    return [trial.result(matches, dataset) for trial in trials]


def ap_loss(
    trained: Predictor,
    open_photos: Callable[[], Iterable[Photo]],
    dataset: CocoDataset,
    spec: InferenceSpec | None,
) -> Callable[[onnx.ModelProto], float]:
    """A function that says how many AP points a graph loses against the trained network.

    Args:
        trained: The network, which says how images are padded.
        open_photos: Makes the photos anew; their numbers are image ids.
        dataset: Their labels.
        spec: How maps are decoded; None: as the graph's contract says.
    """
    fit = trained.fit

    def measure(predictor: Predictor) -> float:
        people = {}
        for number, image in open_photos():
            prepared = [PreparedImage((fit_image(image, fit),))]
            (people[number],) = predictor.decode(predictor.infer(prepared), prepared)
        skeleton = predictor.backend.contract.skeleton
        return accumulate(_matches(people, dataset, skeleton)).ap

    before = measure(trained)

    def loss(graph: onnx.ModelProto) -> float:
        backend = OnnxBackend(Path("graph.onnx"), data=graph.SerializeToString(), provider="cpu")
        predictor = predictor_at(backend, spec, height=fit.height, width=fit.width)
        return 100 * (before - measure(predictor))

    return loss


def labelled_photos(images: Sequence[CocoImage], folder: Path) -> Iterator[Photo]:
    """The images of a dataset, in the pixels of their labels; who cannot be read is named.

    Raises:
        DataError: None can be used.
    """
    usable = False
    failures: list[str] = []
    for image in images:
        try:
            pixels = read_labelled(image, folder)
        except DataError as error:
            failures.append(str(error))
            logger.error("%s", error)
            continue
        usable = True
        yield image.id, pixels
    if failures and not usable:
        raise DataError(f"none of the {len(images)} images could be used: {failures[0]}")
    if failures:
        logger.error("%s images could not be used and are left out", len(failures))


@dataclass
class _Trial:
    """One candidate on its way over the images."""

    candidate: Candidate
    agreement: AgreementCount
    heatmaps: DifferenceSum = field(default_factory=DifferenceSum)
    pafs: DifferenceSum = field(default_factory=DifferenceSum)
    people: dict[int, PersonKeypoints] = field(default_factory=dict)

    def add(
        self, number: int, prepared: PreparedImage, maps: PoseMaps, people: PersonKeypoints
    ) -> None:
        """Run the candidate on one image, beside what the trained network drew and found."""
        predictor = self.candidate.predictor
        drawn = predictor.infer([prepared])
        self.heatmaps.add(maps.heatmaps, drawn[0].heatmaps)
        self.pafs.add(maps.pafs, drawn[0].pafs)
        (self.people[number],) = predictor.decode(drawn, [prepared])
        self.agreement.add(people, self.people[number])

    def result(self, trained: Sequence[Matches] | None, dataset: CocoDataset | None) -> Comparison:
        ap = None
        if trained is not None and dataset is not None:
            skeleton = self.candidate.predictor.backend.contract.skeleton
            ap = compare_ap(trained, _matches(self.people, dataset, skeleton))
        return Comparison(
            precision=self.candidate.precision,
            images=len(self.people),
            heatmaps=self.heatmaps.result(),
            pafs=self.pafs.result(),
            label=self.candidate.label,
            people=self.agreement.result(),
            ap=ap,
        )


def _matches(
    people: Mapping[int, PersonKeypoints], dataset: CocoDataset, skeleton: Skeleton
) -> list[Matches]:
    """Which people are right, an element an image in the order of their ids."""
    sigmas = dataset_sigmas(dataset, skeleton)
    images = compare(people, dataset, skeleton, image_ids=people)
    return [match_image(image, sigmas) for image in images]
