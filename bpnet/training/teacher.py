"""The trained network that another one learns from, beside the labels."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import ops

from bpnet.errors import ModelError
from bpnet.files import HDF5_SUFFIXES, digest
from bpnet.model.description import describe_network
from bpnet.model.files import find_model, load_model
from bpnet.model.graph import without_wrapper
from bpnet.model.outputs import MapStages, stages_of
from bpnet.pose.contract import ModelContract
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.optimizer import Distillation
from bpnet.training.devices import Devices
from bpnet.training.precision import in_precision, precision_of
from bpnet.training.start import check_channels
from bpnet.training.targets import Targets

STEP_PASSES = 3  # forward passes that a training step takes as long as: one, and two back


@dataclass(frozen=True)
class Teacher:
    """A trained network, which no step changes, and how its maps become targets.

    Attributes:
        model: The network.
        places: For each output of the network that learns, the teacher's output it learns from;
            None where the teacher has none.
        pixels: How the teacher's pixels are normalised.
        description: Its file, parameters and cost, in a line.
        digest: SHA-256 of its file.
        channel_order: rgb or bgr, of the teacher's pixels.
        paf_cell_corners: Its PAFs were trained on cell corners (TAO's networks).
    """

    model: keras.Model
    places: tuple[int | None, ...]
    pixels: Targets
    description: str
    digest: str
    channel_order: str = "rgb"
    paf_cell_corners: bool = False

    def maps(self, images: Any) -> list[Any]:
        """What the teacher draws for each output of the network that learns.

        Args:
            images: (N, H, W, 3) RGB, 0..255.

        Returns:
            Heatmaps (N, h, w, K+1) and PAFs (N, h, w, 2L), as the outputs that learn from them;
            None where the teacher has no such stage.
        """
        if self.channel_order == "bgr":
            images = ops.flip(images, axis=-1)
        drawn = list(self.model(self.pixels.normalise(images), training=False))
        if self.paf_cell_corners:
            first = len(stages_of(self.model).heatmaps)
            drawn[first:] = [from_cell_corners(x, self.pixels.stride) for x in drawn[first:]]
        return [None if place is None else drawn[place] for place in self.places]


def load_teacher(
    settings: Distillation,
    learner: keras.Model,
    *,
    targets: Targets,
    skeleton: Skeleton,
    devices: Devices,
    key: str | None,
) -> Teacher:
    """The teacher that a training spec names, in the precision of ``learner``.

    Args:
        settings: Its file, and its key if it has its own.
        learner: The network that learns.
        targets: What that learns besides.
        skeleton: What its maps mean.
        devices: Each gets a copy of the teacher.
        key: The training's.

    Raises:
        ModelError: The file cannot be read, or its maps are not those that are to be learned.
    """
    path = find_model(Path(settings.teacher))
    with devices.strategy.scope():
        model, contract = load_model(path, key=settings.key or key)
        model = without_wrapper(model)
        check_teacher(model, contract, path, targets=targets, skeleton=skeleton)
        model = in_precision(model, precision_of(learner))
    model.trainable = False
    places = places_of(stages_of(learner), stages_of(model))
    size = (targets.map_height * targets.stride, targets.map_width * targets.stride)
    said = describe_teacher(path, model, learner, size=size)
    own = digest(path)
    if contract is None:
        corners = path.suffix in HDF5_SUFFIXES
        return Teacher(model, places, targets, said, own, paf_cell_corners=corners)
    return Teacher(
        model,
        places,
        dataclasses.replace(
            targets, image_scale=contract.image_scale, image_offset=contract.image_offset
        ),
        said,
        own,
        channel_order=contract.channel_order,
        paf_cell_corners=contract.paf_cell_corners,
    )


def check_teacher(
    model: keras.Model,
    contract: ModelContract | None,
    path: Path,
    *,
    targets: Targets,
    skeleton: Skeleton,
) -> None:
    """See that the network from the file ``path`` can teach what is to be learned.

    Raises:
        ModelError: It cannot; the sentence says what differs.
    """
    check_channels(model, path, skeleton)
    if contract is not None:
        own = contract.skeleton
        if (own.keypoints, own.limbs) != (skeleton.keypoints, skeleton.limbs):
            raise ModelError(
                f"the teacher {path} draws the keypoints and limbs of the skeleton {own.name}, "
                f"which are not those of {skeleton.name} in their order; name a teacher that was "
                "trained on the same skeleton file"
            )
    cells = (targets.map_height, targets.map_width)
    height, width = (count * targets.stride for count in cells)
    fixed = model.inputs[0].shape[1:3]
    if any(own not in (None, side) for own, side in zip(fixed, (height, width), strict=True)):
        raise ModelError(
            f"the teacher {path} takes images of {fixed[0]} x {fixed[1]} alone, but image_dims "
            f"are {height} x {width}; name a teacher that takes images of any size"
        )
    shapes = {tuple(x[1:3]) for x in model.compute_output_shape((1, height, width, 3))}
    if shapes != {cells}:
        found = ", ".join(f"{rows} x {columns}" for rows, columns in sorted(shapes))
        raise ModelError(
            f"the teacher {path} draws maps of {found} cells for images of {height} x {width}, "
            f"but pose_config.target_shape is {cells[0]} x {cells[1]}; name a teacher of the same "
            "stride"
        )


def places_of(learner: MapStages, teacher: MapStages) -> tuple[int | None, ...]:
    """For each output of the network that learns, the teacher's output to learn from.

    The first heatmaps learn from the teacher's first and so on, and the last from its last, also
    where one has more stages than the other; so do the PAFs. None: the teacher has no such output.
    """
    first = len(teacher.heatmaps)
    pafs = _matched(len(learner.pafs), len(teacher.pafs))
    return (
        *_matched(len(learner.heatmaps), first),
        *(None if place is None else first + place for place in pafs),
    )


def _matched(own: int, others: int) -> list[int | None]:
    """For each of ``own`` numbers the same one below ``others``, if any; the last for the last."""
    same = [number if number < others else None for number in range(own - 1)]
    return [*same, others - 1]


def describe_teacher(
    path: Path, model: keras.Model, learner: keras.Model, *, size: tuple[int, int]
) -> str:
    """Parameters and cost of a teacher for images of ``size`` (height, width), in a line."""
    teacher, student = (describe_network(x, *size) for x in (model, learner))
    cost = 1.0 + teacher.gflops / (STEP_PASSES * student.gflops)
    return (
        f"teacher: {path}, {teacher.parameters:,} parameters, {teacher.gflops:.1f} GFLOPs an image "
        f"of {size[0]} x {size[1]}: a step computes about {cost:.2f} times as much as without it"
    )


def from_cell_corners(pafs: Any, stride: int) -> Any:
    """PAFs (N, h, w, 2L) on cell corners (cell j at pixel stride * j), put on cell centres.

    Linear between cells; borders repeat.
    """
    share = (stride - 1) / 2 / stride  # of a cell, from its corner to its centre
    below = ops.concatenate([pafs[:, 1:], pafs[:, -1:]], axis=1)
    pafs = (1.0 - share) * pafs + share * below
    right = ops.concatenate([pafs[:, :, 1:], pafs[:, :, -1:]], axis=2)
    return (1.0 - share) * pafs + share * right
