"""One run of ``bpnet inference``: pipeline and outputs in threads, signals in the main one."""

import argparse
import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bpnet.commands.inference_options import FORMATS, MOVING
from bpnet.commands.inference_window import Window
from bpnet.commands.prediction import pose_block, spec_block
from bpnet.inference.frame_result import Draw, FrameChoice, FrameResult
from bpnet.inference.frames import FrameSource
from bpnet.inference.outputs import (
    CocoFile,
    Counts,
    DetectionsFile,
    LinesFile,
    Output,
    TableFile,
    write_all,
)
from bpnet.inference.pictures import Films, PictureFolder, make_draw
from bpnet.inference.pipeline import run
from bpnet.inference.predictor import Predictor
from bpnet.inference.stages import Flow, StageTimes
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.tracker import TrackerSettings

logger = logging.getLogger(__name__)

DRAWINGS = "images_annotated"
PATIENCE = 0.1  # seconds between looks at the window


@dataclass
class Done:
    """What a run has done.

    Attributes:
        counts: of images and people.
        times: of each step.
        dropped: frames that cameras and streams left out.
        seconds: from the first frame's reading to the last file's end.
        files: where the results are.
        unit: what the counts are of: image, or frame of a video, a camera or a stream.
    """

    counts: Counts = field(default_factory=Counts)
    times: StageTimes = field(default_factory=StageTimes)
    dropped: int = 0
    seconds: float = 0.0
    files: Sequence[Path] = ()
    unit: str = "image"

    @property
    def total(self) -> int:
        """Images and frames, used or not."""
        return self.counts.images + self.counts.failed

    def kpi(self) -> dict[str, float]:
        """The figures for status.json."""
        return {
            "images": self.total,
            "people": self.counts.people,
            "failed": self.counts.failed,
            "dropped": self.dropped,
            "images_per_second": round(self.counts.images / max(self.seconds, 1e-9), 2),
        }


class Run:
    """Everything that a run needs, opened; call it to run."""

    def __init__(
        self,
        args: argparse.Namespace,
        spec: InferenceSpec | None,
        predictor: Predictor,
        sources: Sequence[FrameSource],
        results_dir: Path,
        window: Window | None,
    ) -> None:
        """Begin the files.

        Raises:
            DataError: One cannot be written.
        """
        self._predictor = predictor
        self._sources = sources
        self._window = window
        self._choice = FrameChoice(skip=args.skip, every=args.every, most=args.max_frames)
        self._tracker = _tracker(args, spec)
        self._draw: Draw | None = None
        skeleton = predictor.backend.contract.skeleton
        pictures = args.dump_visualizations or args.draw is not None
        if pictures or window is not None:
            self._draw = make_draw(args.draw or "people", skeleton, scores=args.draw_scores)
        self._outputs: list[Output] = []
        try:
            self._open_outputs(args, spec, results_dir, pictures=pictures)
        except BaseException:
            for output in self._outputs:
                output.close()
            raise

    def __call__(self) -> Done:
        """Run to the end of the sources, or to a signal, after which the files are valid too."""
        flow, done, began = Flow(), Done(), time.perf_counter()
        totals = [self._choice.count(source.count) for source in self._sources]
        total = None if None in totals else sum(each or 0 for each in totals)
        done.unit = "frame" if any(source.moving for source in self._sources) else "image"
        with (
            tqdm(total=total, unit=done.unit, disable=None) as bar,
            ThreadPoolExecutor(1, "bpnet output") as pool,
        ):
            try:
                working = pool.submit(self._work, flow, done.times, bar)
                self._wait(working, flow)
            finally:
                flow.stop()
                if self._window is not None:
                    self._window.close()
            done.counts = working.result()
        done.seconds = time.perf_counter() - began
        done.dropped = sum(source.dropped for source in self._sources)
        done.files = [output.path for output in self._outputs]
        return done

    def _work(self, flow: Flow, times: StageTimes, bar: Any) -> Counts:
        results = run(
            self._predictor,
            self._sources,
            tracker=self._tracker,
            draw=self._draw,
            choice=self._choice,
            flow=flow,
            times=times,
        )

        def report(result: FrameResult) -> None:
            if result.failure is not None:
                logger.error("%s", result.failure)
            if self._window is not None and result.drawing is not None:
                self._window.offer(result.source.name, result.drawing)
            bar.update()

        return write_all(results, self._outputs, times=times, on_result=report)

    def _wait(self, working: "Future[Counts]", flow: Flow) -> None:
        """Until the work is done; meanwhile signals arrive, and a window lives, in this thread."""
        while not working.done():
            if self._window is None:
                wait([working], timeout=PATIENCE)
            elif not self._window.update():
                flow.stop()
                wait([working])

    def _open_outputs(
        self,
        args: argparse.Namespace,
        spec: InferenceSpec | None,
        folder: Path,
        *,
        pictures: bool,
    ) -> None:
        skeleton = self._predictor.backend.contract.skeleton
        formats = args.formats or (("json", "jsonl") if args.input_type in MOVING else ("json",))
        paths = {name: folder / FORMATS[name] for name in formats}
        if "jsonl" in paths:
            self._outputs.append(LinesFile(paths["jsonl"]))
        if "csv" in paths:
            self._outputs.append(TableFile(paths["csv"], skeleton))
        if "coco" in paths:
            self._outputs.append(CocoFile(paths["coco"], skeleton))
        if pictures:
            kind = args.input_type in MOVING
            drawn = Films(folder, self._sources) if kind else PictureFolder(folder / DRAWINGS)
            self._outputs.append(drawn)
        if "json" in paths:
            head: dict[str, Any] = {}
            for source in reversed(self._sources):
                head |= source.header
            head |= {**pose_block(skeleton), "inference_spec": spec_block(spec)}
            self._outputs.append(DetectionsFile(paths["json"], head, pictures=pictures))


def _tracker(args: argparse.Namespace, spec: InferenceSpec | None) -> TrackerSettings | None:
    if not args.track:
        return None
    if args.input_type not in MOVING:
        logger.warning("--track: no effect on photos, which do not follow each other in time")
    return TrackerSettings() if spec is None else spec.tracker


def print_summary(done: Done) -> None:
    """People, images or frames a second of all and of each step, and where the results are."""
    counts, unit = done.counts, f"{done.unit}s"
    print(f"{counts.people} people in {counts.images} {unit}, {done.seconds:.1f} s")
    steps = []
    for name, spent in vars(done.times).items():
        if spent.frames and spent.seconds > 0:
            steps.append(f"{name} {spent.frames / spent.seconds:.4g}")
    rate = counts.images / max(done.seconds, 1e-9)
    print(f"{unit}/s: {rate:.4g} with all steps at once; {', '.join(steps)} by itself")
    if done.dropped:
        print(f"{done.dropped} frames dropped, for they came faster than the network takes them")
    print(f"results: {', '.join(str(path) for path in done.files if path.exists())}")
    if counts.failed and done.total > 1:  # of a single image all is said
        logger.error("%s of %s %s could not be used", counts.failed, done.total, unit)
