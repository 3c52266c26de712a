"""TensorRT engines from ONNX graphs, by the Python API of TensorRT 8 to 11.

What this TensorRT can do is asked of it, never guessed from its version. Up to 10, flags tell the
builder which types it may choose, and a calibration cache can stand in for Q/DQ pairs. From 10 a
network can be strongly typed: its types are the graph's (float16 weights, Q/DQ pairs); 11 knows no
other kind.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import onnx
from tqdm import tqdm

from bpnet.errors import DataError, MissingLibraryError, ModelError
from bpnet.export.engine_progress import make_monitor
from bpnet.export.engine_settings import EngineSettings as EngineSettings
from bpnet.export.engine_types import cache_for, make_calibrator, settle_types
from bpnet.export.sidecar import write_sidecar
from bpnet.files import replacing, sidecar_path
from bpnet.inference.cuda_memory import gpu_name, missing_gpu
from bpnet.inference.tensorrt_library import Messages, import_tensorrt, make_logger
from bpnet.pose.contract import ModelContract

logger = logging.getLogger(__name__)


def build_engine(
    graph: onnx.ModelProto, contract: ModelContract, settings: EngineSettings, path: Path
) -> None:
    """Build the engine ``path`` of ``graph`` for this machine, and ``<path>.json`` beside it.

    Args:
        graph: Any of our graphs: float32, float16, Q/DQ in TensorRT's form.
        contract: What it is.
        settings: How to build.
        path: Of the engine, a plain plan file that trtexec and DeepStream read too.

    Raises:
        MissingLibraryError: There is no NVIDIA GPU or no TensorRT.
        ModelError: This TensorRT cannot build it so.
        DataError: A file cannot be read or written.
    """
    fault = missing_gpu()
    if fault is not None:
        raise MissingLibraryError(
            f"{path} cannot be built here: an engine is built on the machine that runs it, with "
            f"an NVIDIA GPU, but {fault}"
        )
    trt = import_tensorrt(f"building {path}", ("tensorrt",))
    build_with(trt, graph, contract, settings, path, gpu=gpu_name())


def build_with(
    trt: Any,
    graph: onnx.ModelProto,
    contract: ModelContract,
    settings: EngineSettings,
    path: Path,
    *,
    gpu: str,
) -> None:
    """The same with the module ``trt``, which finds the GPU called ``gpu``."""
    logger.info("building %s with TensorRT %s on %s: minutes", path, trt.__version__, gpu)
    build = EngineBuild(trt, graph, settings, path)
    plan = build.run()
    if settings.timing_cache is not None:
        with replacing(settings.timing_cache) as temporary:
            temporary.write_bytes(build.timings())
    with replacing(path) as temporary:
        sidecar_path(path).unlink(missing_ok=True)  # of an older engine
        temporary.write_bytes(plan)
    facts = {"tensorrt": trt.__version__, "gpu": gpu, "batches": list(build.batches)}
    said = dataclasses.replace(contract, precision=settings.data_type)
    write_sidecar(path, said, facts | describe(settings))


def describe(settings: EngineSettings) -> dict[str, Any]:
    """What the sidecar says of the settings."""
    names = ("workspace", "dla_core", "builder_level", "strict_types")
    compatible = ("hardware_compatible", "version_compatible")
    cache = settings.calibration_cache
    return {
        **{name: getattr(settings, name) for name in (*names, *compatible)},
        "calibration_cache": None if cache is None else cache.name,
    }


class EngineBuild:
    """One network on its way to a plan. Needs a TensorRT that finds its GPU.

    Attributes:
        batches: Fewest, best and most images a run.
    """

    def __init__(
        self, trt: Any, graph: onnx.ModelProto, settings: EngineSettings, path: Path
    ) -> None:
        """Read ``graph`` into a network of the module ``trt``; ``path`` is for errors.

        Raises:
            ModelError: TensorRT cannot start, cannot read it, or not build it so.
        """
        self._trt, self._settings, self._path = trt, settings, path
        self._said = Messages()
        self._version = f"TensorRT {trt.__version__}"
        graph, self._types = settle_types(
            trt,
            graph,
            settings.data_type,
            strict=settings.strict_types,
            calibration_cache=settings.calibration_cache,
            path=path,
        )
        self._logger = make_logger(trt, self._said)
        trt.init_libnvinfer_plugins(self._logger, "")
        try:
            self._builder = trt.Builder(self._logger)
        except TypeError as error:  # pybind11: the factory function returned nullptr
            raise self._fault(
                "cannot start with this machine's GPU and driver", warnings=True
            ) from error
        self._network = self._parse(graph)
        self._config = self._builder.create_builder_config()
        profile = self._make_profile(graph.graph.input[0])
        self._set_types(profile)
        self._set_options()

    def run(self) -> bytes:
        """The plan: all of the engine file.

        Raises:
            ModelError: The builder failed.
        """
        with tqdm(desc="building the engine", unit="step", disable=None) as bar:
            monitor = None
            if hasattr(self._trt, "IProgressMonitor"):  # from 10
                monitor = make_monitor(self._trt, bar)
                self._config.progress_monitor = monitor
            plan = self._builder.build_serialized_network(self._network, self._config)
        if monitor is not None and monitor.stopped is not None:
            raise monitor.stopped
        if plan is None:
            raise self._fault("cannot build the network")
        return bytes(memoryview(plan))

    def timings(self) -> bytes:
        """The timing cache after the build, an image of what was measured."""
        return bytes(memoryview(self._config.get_timing_cache().serialize()))

    def _fault(self, what: str, *, warnings: bool = False) -> ModelError:
        said = self._said.last(warnings=warnings)
        return ModelError(f"{self._path}: {self._version} {what}{said}")

    def _parse(self, graph: onnx.ModelProto) -> Any:
        flags = 0
        for name in ("EXPLICIT_BATCH", *["STRONGLY_TYPED"] * self._types.strong):
            value = getattr(self._trt.NetworkDefinitionCreationFlag, name, None)
            flags |= 0 if value is None else 1 << int(value)
        network = self._builder.create_network(flags)
        parser = self._trt.OnnxParser(network, self._logger)
        if not parser.parse(graph.SerializeToString()):
            errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
            raise self._fault(f"cannot read the graph: {'; '.join(errors) or 'no reason given'}")
        self._parser = parser  # the network's weights live in it
        return network

    def _make_profile(self, image: onnx.ValueInfoProto) -> Any:
        """The profile of the batches asked for; None where the graph fixes its batch."""
        asked = self._settings.min_batch, self._settings.opt_batch, self._settings.max_batch
        self.batches: tuple[int, int, int] = asked
        dims = image.type.tensor_type.shape.dim
        sides = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
        if None in sides[1:]:
            raise ModelError(
                f"{self._path}: input {image.name} has no definite size; export it with a fixed "
                "height and width (-d)"
            )
        fixed = sides[0]
        if fixed is not None:
            if set(asked) - {1, fixed}:
                raise ModelError(
                    f"{self._path}: the graph takes {fixed} images a run, so an engine for "
                    f"{asked[0]} to {asked[2]} cannot be built; export it without a fixed batch"
                )
            self.batches = fixed, fixed, fixed
            return None
        if self._settings.dla_core is not None and len(set(asked)) > 1:
            raise ModelError(
                f"{self._path}: a DLA runs one batch size; give the same least, best and most "
                f"images a run, found {asked}"
            )
        profile = self._builder.create_optimization_profile()
        profile.set_shape(image.name, *[(count, *sides[1:]) for count in asked])
        if self._config.add_optimization_profile(profile) < 0:
            raise self._fault(f"takes no batches of {asked} images")
        return profile

    def _set_types(self, profile: Any) -> None:
        """Tell the builder which types it may choose."""
        trt, config, builder = self._trt, self._config, self._builder
        for kind in self._types.flags:
            config.set_flag(getattr(trt.BuilderFlag, kind))
            if not getattr(builder, f"platform_has_fast_{kind.lower()}", True):
                logger.warning("%s: this GPU computes no faster in %s", self._path, kind)
        if self._settings.strict_types and self._settings.data_type == "fp32":
            config.clear_flag(trt.BuilderFlag.TF32)
        elif self._settings.strict_types and not self._types.strong:
            self._hold_types()
        cache = self._types.calibration_cache
        if cache is not None:
            image = self._network.get_input(0).name
            self._calibrator = make_calibrator(trt, cache_for(trt, cache, [image]))
            config.int8_calibrator = self._calibrator
            if profile is not None:
                config.set_calibration_profile(profile)

    def _hold_types(self) -> None:
        """Bind every convolution to the data type, where TensorRT would be free to choose."""
        trt = self._trt
        if self._types.paired:
            logger.warning("strict types have no effect: %s has Q/DQ pairs", self._path)
            return
        for name in ("OBEY_PRECISION_CONSTRAINTS", "STRICT_TYPES"):  # the latter before 8.2
            if hasattr(trt.BuilderFlag, name):
                self._config.set_flag(getattr(trt.BuilderFlag, name))
                break
        kind = trt.DataType.INT8 if "INT8" in self._types.flags else trt.DataType.HALF
        for index in range(self._network.num_layers):
            layer = self._network.get_layer(index)
            if layer.type in (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION):
                layer.precision = kind

    def _set_options(self) -> None:
        trt, config, settings = self._trt, self._config, self._settings
        if hasattr(config, "set_memory_pool_limit"):
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace)
        else:  # before 8.4
            config.max_workspace_size = settings.workspace
        if settings.builder_level is not None:
            self._need(hasattr(config, "builder_optimization_level"), "builder level")
            config.builder_optimization_level = settings.builder_level
        if settings.hardware_compatible:
            self._need(hasattr(config, "hardware_compatibility_level"), "hardware compatibility")
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        if settings.version_compatible:
            self._need(hasattr(trt.BuilderFlag, "VERSION_COMPATIBLE"), "version compatibility")
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if settings.dla_core is not None:
            cores = self._builder.num_DLA_cores
            if settings.dla_core >= cores:
                raise ModelError(
                    f"{self._path}: there is no DLA core {settings.dla_core}, this machine has "
                    f"{cores}; build it for the GPU"
                )
            config.default_device_type = trt.DeviceType.DLA
            config.DLA_core = settings.dla_core
            config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
        if settings.timing_cache is not None:
            self._start_timings(settings.timing_cache)

    def _need(self, there: bool, what: str) -> None:
        if not there:
            raise ModelError(f"{self._path}: {what} needs TensorRT 8.6, this is {self._version}")

    def _start_timings(self, path: Path) -> None:
        config = self._config
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
        cache = config.create_timing_cache(data)
        if cache is None or not config.set_timing_cache(cache, False):
            logger.warning(
                "%s is of another TensorRT or GPU%s; starting anew", path, self._said.last()
            )
            config.set_timing_cache(config.create_timing_cache(b""), False)
