"""Which outputs of a network are the maps of which stage.

A network's outputs are the heatmaps of its stages, then the PAFs. Where every stage draws both,
there are as many of one as of the other; a PAF-first network draws heatmaps in its last stages.
"""

import re
from dataclasses import dataclass

import keras

from bpnet.errors import ModelError
from bpnet.model.graph import without_wrapper


@dataclass(frozen=True)
class MapStages:
    """The stage, from 1, of each heatmap output and of each PAF output, in their order."""

    heatmaps: tuple[int, ...]
    pafs: tuple[int, ...]

    @classmethod
    def in_parallel(cls, stages: int) -> "MapStages":
        """Stages that each draw both."""
        numbers = tuple(range(1, stages + 1))
        return cls(numbers, numbers)

    def outputs_at(self, stage: int | None) -> tuple[int, int]:
        """Numbers, among all outputs, of a stage's heatmaps and of the newest PAFs by then.

        Args:
            stage: From 1; None: the last.

        Raises:
            ModelError: That stage draws no heatmaps.
        """
        stage = self.heatmaps[-1] if stage is None else stage
        if stage not in self.heatmaps:
            first, last = self.heatmaps[0], self.heatmaps[-1]
            stages = f"stages {first} to {last}" if first < last else f"stage {last}"
            raise ModelError(
                f"the model draws heatmaps in {stages}, not in a stage {stage}; "
                "change output_stage_to_use in the inference spec"
            )
        paf = max(place for place, number in enumerate(self.pafs) if number <= stage)
        return self.heatmaps.index(stage), len(self.heatmaps) + paf


def stages_of(model: keras.Model) -> MapStages:
    """The stages of a network's outputs, by the names of the layers that give them.

    Names that say nothing are taken for a network whose stages each draw both.

    Raises:
        ModelError: There is not one heatmap output and one PAF output at least.
    """
    names = list(without_wrapper(model).output_names)
    heatmaps = [name for name in names if "heat" in name]
    pafs = [name for name in names if "paf" in name and "heat" not in name]
    if [*heatmaps, *pafs] != names:
        if len(names) % 2:
            raise ModelError(
                f"the network's outputs ({', '.join(names)}) are not the heatmaps of every stage "
                "and then the PAFs of every stage"
            )
        return MapStages.in_parallel(len(names) // 2)
    if not heatmaps or not pafs:
        raise ModelError(f"the network draws {', '.join(names)}; it takes heatmaps and PAFs")
    if len(heatmaps) == len(pafs) and _stage_in(heatmaps[0], default=1) == 1:
        return MapStages.in_parallel(len(pafs))
    first = _stage_in(heatmaps[0], default=len(pafs) + 1)
    return MapStages(tuple(range(first, first + len(heatmaps))), tuple(range(1, len(pafs) + 1)))


def _stage_in(name: str, *, default: int) -> int:
    match = re.match(r"stage(\d+)\.", name)
    return int(match[1]) if match else default
