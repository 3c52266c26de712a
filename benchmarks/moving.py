"""Drawn people who walk: what tracking is measured on.

Every scene is a pure function of its seed. People walk to and fro past each other, pass behind one
another and behind a pillar, stop and turn round, leave the picture and come back. Where they are,
who they are and what is seen of them is known in every frame.

    python benchmarks/moving.py scene.mp4 --seed 3
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.data.drawn_person import PARTS, Outfit, Painter, paint_person, random_outfit
from bpnet.data.posed_body import Array, Body, walking_body
from bpnet.data.rendered import THING, draw_background, keypoint_flags, photograph

LEAST_SEEN = 0.5  # of its keypoints; of whom less is seen is not expected to be found


@dataclass(frozen=True)
class Walker:
    """One person of a scene.

    Attributes:
        outfit: Its clothes.
        height: Pixels, upright.
        ground: y of its feet, pixels; who stands lower is nearer.
        times: (W,) seconds of the turning points of its way, ascending.
        places: (W,) x at these times, pixels; outside the picture is allowed.
        phase: Of its step, turns.
    """

    outfit: Outfit
    height: float
    ground: float
    times: NDArray[np.float64]
    places: NDArray[np.float64]
    phase: float

    def body(self, time: float) -> Body:
        """The person at ``time``, seconds."""
        x = float(np.interp(time, self.times, self.places))
        ago = np.interp([time - 0.2, time + 0.2], self.times, self.places)
        speed = float(ago[1] - ago[0]) / 0.4 / self.height  # heights a second, turns smoothed
        way = np.interp(np.linspace(0, time, 64), self.times, self.places)
        walked = np.abs(np.diff(way)).sum() / self.height
        return walking_body(
            walked / 0.75 + self.phase,
            swing=30 * min(1.0, 2.5 * abs(speed)),
            yaw=90 * float(np.tanh(4 * speed)),
            height=self.height,
            feet=(x, self.ground),
        )


@dataclass(frozen=True)
class MovingScene:
    """Walkers, nearest last, a backdrop and maybe a pillar before them.

    Attributes:
        size: (height, width) of a frame, pixels.
        times: (F,) seconds of each frame.
        walkers: The people.
        pillar: (left, right) of something that hides who is behind it, pixels; None: nothing.
        seed: Of the backdrop and the noise.
    """

    size: tuple[int, int]
    times: NDArray[np.float64]
    walkers: tuple[Walker, ...]
    pillar: tuple[float, float] | None
    seed: int

    @cached_property
    def backdrop(self) -> NDArray[np.float32]:
        """(H, W, 3) RGB, the same in every frame."""
        return draw_background(np.random.default_rng([self.seed, 1]), self.size)

    def frames(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
        """Each frame: the picture (H, W, 3) RGB, and ``joints``."""
        for time in self.times:
            painter = Painter(self.backdrop.copy())
            joints = self._paint(painter, float(time))
            light = np.random.default_rng([self.seed, 2])  # the same in every frame
            yield photograph(light, painter.image), joints

    def joints(self) -> NDArray[np.float64]:
        """(F, P, 17, 3) joints of all the walkers: x, y in pixels and COCO's flag.

        The flag is 2 for seen, 1 for hidden but clear where, 0 for neither.
        """
        nothing = np.zeros((*self.size, 0), np.float32)
        return np.stack([self._paint(Outlines(nothing), float(time)) for time in self.times])

    def _paint(self, painter: Painter, time: float) -> NDArray[np.float64]:
        """Everybody and the pillar at ``time``; the joints (P, 17, 3)."""
        bodies = [walker.body(time) for walker in self.walkers]
        for index, (walker, body) in enumerate(zip(self.walkers, bodies, strict=True)):
            if -0.6 * body.height < body.xy[0, 0] < self.size[1] + 0.6 * body.height:
                paint_person(painter, body, walker.outfit, person=index)
        if self.pillar is not None:
            (left, right), low = self.pillar, self.size[0] + 4
            corners = np.array([[left, -4], [right, -4], [right, low], [left, low]], float)
            painter.fill(corners, np.array([120.0, 112, 104]), owner=THING)
        flags = [
            keypoint_flags(body, painter.owner - index * PARTS, self.size)
            for index, body in enumerate(bodies)
        ]
        return np.stack(
            [np.column_stack([body.xy, flag]) for body, flag in zip(bodies, flags, strict=True)]
        )


class Outlines(Painter):
    """Knows who owns each pixel, without colours: several times as fast."""

    def fill(
        self,
        polygon: Array,
        colour: Array,
        *,
        owner: int,
        axis: Array | None = None,
        pattern: int = 0,
        trim: Array | None = None,
    ) -> None:
        """Give the pixels of a convex polygon (n, 2) to ``owner``."""
        points = np.round(np.clip(polygon, -4e3, 4e3) * 16).astype(np.int32)
        cv2.fillConvexPoly(self.owner, points, owner, cv2.LINE_8, 4)


def moving_scene(
    seed: int,
    *,
    size: tuple[int, int] = (368, 656),
    frames: int = 300,
    frame_rate: float = 30.0,
    people: int = 4,
    restless: bool = False,
    pillar: bool = False,
) -> MovingScene:
    """Scene number ``seed``.

    Args:
        seed: Of everything in it.
        size: (height, width), pixels.
        frames: How many.
        frame_rate: Frames a second, a tenth more or less from one frame to the next.
        people: How many.
        restless: Whether people turn round anywhere, also behind each other: then nobody can
            always tell who comes out where.
        pillar: Whether something stands before them that hides who passes behind it.
    """
    rng = np.random.default_rng([seed, people])
    steps = rng.uniform(0.9, 1.1, frames - 1) / frame_rate
    times = np.concatenate([[0.0], np.cumsum(steps)])
    height, width = size
    walkers = []
    for lane in range(people):
        depth = (lane + rng.uniform(0.2, 0.8)) / people
        tall = (0.3 + 0.22 * depth) * height
        way = _way(rng, tall, width, float(times[-1]), restless=restless)
        ground = (0.5 + 0.48 * depth) * height
        walkers.append(Walker(random_outfit(rng), tall, ground, *way, rng.uniform()))
    walkers.sort(key=lambda walker: walker.ground)
    left = rng.uniform(0.2, 0.7) * width
    sides = (left, left + rng.uniform(0.05, 0.1) * width) if pillar else None
    return MovingScene(size, times, tuple(walkers), sides, seed)


def _way(
    rng: np.random.Generator, tall: float, width: int, end: float, *, restless: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turning points (times, x) of a way: it crosses, stops, leaves and comes back."""
    outside = 0.25 * tall  # pixels beyond the border, where nothing is seen of a person
    ends = (-outside, width + outside)
    x = rng.uniform(0, width) if rng.random() < 0.5 else rng.choice(ends)
    ahead = ends[int(x < width / 2)]  # where it walks to
    times, places = [0.0], [float(x)]
    while times[-1] < end:
        x = places[-1]
        if x in ends:
            ahead = ends[int(x < 0)]
            if len(places) > 1:  # comes back after a while
                times.append(times[-1] + rng.uniform(0.1, 1.2 if restless else 0.6))
                places.append(x)
        elif rng.random() < 0.35 and places[-2:-1] != [x]:  # stands
            times.append(times[-1] + rng.uniform(0.3, 2))
            places.append(x)
            continue
        elif restless and rng.random() < 0.5:  # turns round
            ahead = ends[int(ahead < 0)]
        target = ahead
        if rng.random() < 0.4:  # goes on later
            target = x + rng.uniform(0.2, 0.8) * (ahead - x)
        speed = rng.uniform(0.5, 1.1) * tall  # pixels a second: 0.9 to 2 m/s
        times.append(times[-1] + max(abs(target - x), 1.0) / speed)
        places.append(float(target))
    return np.array(times), np.array(places)


def expected(joints: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which people (...,) of joints (..., K, 3) can be expected to be found."""
    return np.asarray((joints[..., 2] > 0).mean(axis=-1) >= LEAST_SEEN)


def main() -> None:
    """Write a scene as a video."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="an MP4 file")
    parser.add_argument("--seed", type=int, default=0, help="number of the scene")
    args = parser.parse_args()
    with av.open(str(args.output), "w") as video:
        stream = video.add_stream("libx264", rate=30)
        scene = moving_scene(args.seed)
        stream.height, stream.width = scene.size
        stream.pix_fmt = "yuv420p"
        for image, _ in scene.frames():
            video.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        video.mux(stream.encode())


if __name__ == "__main__":
    main()
