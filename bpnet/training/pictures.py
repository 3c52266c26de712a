"""What a network has learned so far: people and every stage's maps, drawn beside the truth."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bpnet.decode import Decoder
from bpnet.drawing import contact_sheet, draw_heatmaps, draw_pafs, draw_persons
from bpnet.model.outputs import MapStages, stages_of
from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton
from bpnet.training.reports import Reports
from bpnet.training.targets import Targets

IMAGES = 4  # of a batch
CELL = 256  # pixels of a picture's longer side


@dataclass
class Painter:
    """Draws the first images of a batch for TensorBoard.

    Attributes:
        reports: Takes the pictures.
        skeleton: What the network learns.
        targets: How the truth is drawn.
        examples: The batch that is always drawn; None: the training's latest.
    """

    reports: Reports
    skeleton: Skeleton
    targets: Targets
    examples: dict[str, Any] | None = None

    def paint(self, model: keras.Model, step: int, batch: dict[str, Any] | None) -> None:
        """Write two sheets, ``people`` and ``maps``, of the examples, else of ``batch``."""
        chosen = self.examples or batch
        if chosen is None:
            return
        images = np.asarray(chosen["images"][:IMAGES])
        keypoints = chosen["keypoints"][:IMAGES]
        truth = [np.asarray(maps) for maps in self.targets.draw(keypoints)]
        drawn = model(self.targets.normalise(chosen["images"][:IMAGES]), training=False)
        outputs = [np.asarray(output, np.float32) for output in drawn]
        self.reports.write_image(
            step, "people", self._people(images, np.asarray(keypoints), outputs, stages_of(model))
        )
        self.reports.write_image(step, "maps", self._maps(images, truth, outputs, stages_of(model)))

    def _people(
        self,
        images: NDArray[np.uint8],
        keypoints: NDArray[np.float32],
        outputs: list[NDArray[np.float32]],
        stages: MapStages,
    ) -> NDArray[np.uint8]:
        """A row an image: its labelled people, then those found in the last stage's maps."""
        heat, paf = stages.outputs_at(None)
        decoder = Decoder(self.skeleton)
        cells = []
        for image, people, heatmaps, pafs in zip(
            images, keypoints, outputs[heat], outputs[paf], strict=True
        ):
            found = decoder(self._as_maps(heatmaps, pafs))
            cells += [draw_persons(image, x, self.skeleton) for x in (labelled(people), found)]
        return contact_sheet(cells, columns=2, cell=CELL)

    def _maps(
        self,
        images: NDArray[np.uint8],
        truth: list[NDArray[np.float32]],
        outputs: list[NDArray[np.float32]],
        stages: MapStages,
    ) -> NDArray[np.uint8]:
        """Two rows an image: heatmaps and PAFs, each the truth and then every stage's."""
        count = len(stages.heatmaps)
        heats, pafs = [truth[0], *outputs[:count]], [truth[1], *outputs[count:]]
        columns = max(len(heats), len(pafs))
        cells = []
        for number, image in enumerate(images):
            dim = np.asarray(image // 2, np.uint8)
            # A network that draws PAFs first has no heatmaps in its first stages.
            shift = columns - len(heats)
            blank = [np.full_like(image, 255)] * shift
            row = [draw_heatmaps(dim, self._as_maps(x[number], truth[1][number])) for x in heats]
            cells += [row[0], *blank, *row[1:]]
            row = [draw_pafs(dim, self._as_maps(truth[0][number], x[number])) for x in pafs]
            cells += [*row, *[np.full_like(image, 255)] * (columns - len(pafs))]
        return contact_sheet(cells, columns=columns, cell=CELL)

    def _as_maps(self, heatmaps: NDArray[np.float32], pafs: NDArray[np.float32]) -> PoseMaps:
        return PoseMaps(heatmaps, pafs, self.targets.stride, self.targets.stride)


def labelled(keypoints: NDArray[np.float32]) -> PersonKeypoints:
    """The people of keypoints (P, K, 3), of whom some rows may be empty."""
    people = keypoints[(keypoints[..., 2] > 0).any(axis=1)]
    score = np.asarray(people[..., 2] > 0, np.float32)
    return PersonKeypoints(people[..., :2], score, score.mean(axis=1))
