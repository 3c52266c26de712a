"""A part of pictures.py: people followed through a drawn clip."""

from pathlib import Path

import numpy as np
from moving import moving_scene
from numpy.typing import NDArray

from bpnet.drawing import contact_sheet, draw_persons
from bpnet.inference.loading import load
from bpnet.inference.tracking import Tracker

SEED = 7
SIZE = (288, 512)  # height, width of a frame, pixels
FRAMES, EVERY, SHOWN = 90, 15, 6
CELL = 400  # pixels, width of a frame on the sheet


def draw_tracks(model: Path) -> NDArray[np.uint8]:
    """Some frames of people who walk past each other, with the ids that they keep.

    Args:
        model: A network of COCO's 17 keypoints.
    """
    predictor = load(model, {"input_shape": [192, 256]})
    skeleton = predictor.backend.contract.skeleton
    tracker, drawn = Tracker(skeleton), []
    scene = moving_scene(SEED, size=SIZE, frames=FRAMES, people=3)
    for number, (time, (image, _)) in enumerate(zip(scene.times, scene.frames(), strict=True)):
        people = tracker.update(predictor(image), float(time))
        if number % EVERY == EVERY - 1 and len(drawn) < SHOWN:
            drawn.append(draw_persons(image, people, skeleton))
    return contact_sheet(drawn, columns=2, cell=CELL)
