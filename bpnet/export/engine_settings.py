"""How a TensorRT engine is built, by the builder or by trtexec."""

from dataclasses import dataclass
from pathlib import Path

from bpnet.errors import SpecError
from bpnet.export.choices import DATA_TYPES

WORKSPACE = 2 << 30  # bytes, as TAO's --max_workspace_size
LEVELS = range(6)  # of the builder; TensorRT's own choice is 3
FLAGS = {"fp16": "FP16", "int8": "INT8"}


@dataclass(frozen=True)
class EngineSettings:
    """How an engine is built.

    Attributes:
        data_type: fp32, fp16, int8 (the rest in float32) or int8+fp16 (the rest in float16).
        min_batch: Fewest images a run.
        opt_batch: Images a run that it is tuned for.
        max_batch: Most images a run.
        workspace: Bytes of scratch memory.
        timing_cache: File of measured kernels; read if it is there, and written.
        dla_core: Jetson's DLA that runs what it can, from 0; None: the GPU runs all.
        hardware_compatible: It runs on every GPU from Ampere on (TensorRT 8.6 and newer).
        version_compatible: It runs with newer TensorRT too (8.6 and newer).
        builder_level: Effort of the builder, 0 to 5; None: TensorRT's default.
        strict_types: No other types than those of ``data_type``.
        calibration_cache: Ranges for INT8 of a graph without Q/DQ pairs (up to TensorRT 10).
    """

    data_type: str = "fp32"
    min_batch: int = 1
    opt_batch: int = 1
    max_batch: int = 1
    workspace: int = WORKSPACE
    timing_cache: Path | None = None
    dla_core: int | None = None
    hardware_compatible: bool = False
    version_compatible: bool = False
    builder_level: int | None = None
    strict_types: bool = False
    calibration_cache: Path | None = None

    def __post_init__(self) -> None:
        """Raises SpecError on values that no TensorRT takes."""
        if self.data_type not in DATA_TYPES:
            known = ", ".join(DATA_TYPES)
            raise SpecError(f"an engine's data type is one of {known}, found {self.data_type!r}")
        if not 1 <= self.min_batch <= self.opt_batch <= self.max_batch:
            raise SpecError(
                "an engine needs 1 <= least <= best <= most images a run, found "
                f"{self.min_batch}, {self.opt_batch} and {self.max_batch}"
            )
        if self.workspace < 1:
            raise SpecError(f"an engine's workspace is 1 byte or more, found {self.workspace}")
        if self.builder_level is not None and self.builder_level not in LEVELS:
            raise SpecError(f"the builder's level is 0 to 5, found {self.builder_level}")
        if self.dla_core is not None and self.dla_core < 0:
            raise SpecError(f"DLA cores count from 0, found {self.dla_core}")
        if self.dla_core is not None and self.data_type == "fp32":
            raise SpecError("a DLA computes in fp16 and int8 only, found data type fp32")


def flags_of(data_type: str) -> tuple[str, ...]:
    """The BuilderFlags of a data type."""
    return tuple(FLAGS[part] for part in data_type.split("+") if part in FLAGS)
