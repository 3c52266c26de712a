"""A TensorRT that builds, of our own, in the generations 8.2, 8.6, 10 and 11.

It has what each generation has, and refuses what each refuses: flags of types on a strongly typed
network, Q/DQ pairs without INT8, caches of another release. That the real ones have the same names
is tested where they are installed (``test_tensorrt_api.py``). An engine of it is JSON of its build.
"""

import enum
import json
from types import SimpleNamespace

import onnx
from engines import DataType, ILogger

TYPE_FLAGS = {"FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS", "STRICT_TYPES"}
FLAGS = {
    "8.2.1": ["FP16", "INT8", "TF32", "GPU_FALLBACK", "STRICT_TYPES"],
    "8.6.1": ["FP16", "INT8", "TF32", "GPU_FALLBACK", "OBEY_PRECISION_CONSTRAINTS"],
    "10.3.0": ["FP16", "INT8", "TF32", "GPU_FALLBACK", "OBEY_PRECISION_CONSTRAINTS"],
    "11.4.0": ["TF32", "GPU_FALLBACK"],
}
HEADERS = {"8.2.1": "TRT-8201", "8.6.1": "TRT-8601", "10.3.0": "TRT-100300"}
OBJECTS = {"flags", "int8_calibrator", "progress_monitor", "timing_cache"}  # no JSON
LayerType = enum.Enum("LayerType", ["CONVOLUTION", "DECONVOLUTION", "POOLING"])
KINDS = {"Conv": LayerType.CONVOLUTION, "MaxPool": LayerType.POOLING}


class IInt8EntropyCalibrator2:
    def __init__(self) -> None:
        self.ready = True


class IProgressMonitor:
    def __init__(self) -> None:
        self.ready = True


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, list] = {}

    def set_shape(self, name, least, best, most):
        assert {type(side) for shape in (least, best, most) for side in shape} == {int}
        self.shapes[name] = [list(least), list(best), list(most)]


class ITimingCache:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self):
        return memoryview(self.data or b"timings")


class IBuilderConfig:
    """Attributes that a generation lacks cannot be set either."""

    __slots__ = (
        "DLA_core",
        "builder_optimization_level",
        "calibration_profile",
        "default_device_type",
        "flags",
        "hardware_compatibility_level",
        "int8_calibrator",
        "max_workspace_size",
        "pools",
        "profiles",
        "progress_monitor",
        "timing_cache",
    )

    def __init__(self) -> None:
        self.flags, self.pools, self.profiles = {"TF32"}, {}, []
        self.builder_optimization_level, self.hardware_compatibility_level = 3, "NONE"

    def set_flag(self, flag):
        self.flags.add(flag.name)

    def clear_flag(self, flag):
        self.flags.remove(flag.name)

    def set_memory_pool_limit(self, pool, size):
        self.pools[pool] = size

    def add_optimization_profile(self, profile):
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1

    def set_calibration_profile(self, profile):
        self.calibration_profile = profile.shapes
        return True

    def create_timing_cache(self, data):
        return ITimingCache(bytes(data))

    def set_timing_cache(self, cache, ignore_mismatch):
        self.timing_cache = cache
        return ignore_mismatch or cache.data in (b"", b"timings")

    def get_timing_cache(self):
        return self.timing_cache


class IBuilderConfig82(IBuilderConfig):
    """Before pools of memory and the builder's levels."""

    def __init__(self) -> None:
        super().__init__()
        del self.builder_optimization_level, self.hardware_compatibility_level

    @property
    def set_memory_pool_limit(self):
        raise AttributeError("set_memory_pool_limit")


class INetworkDefinition:
    def __init__(self, flags: int) -> None:
        self.flags, self.graph, self.layers = flags, None, []

    @property
    def num_layers(self):
        return len(self.layers)

    def get_layer(self, index):
        return self.layers[index]

    def get_input(self, index):
        return self.graph.input[index]


class OnnxParser:
    def __init__(self, network, logger) -> None:
        self._network, self._errors = network, []

    @property
    def num_errors(self):
        return len(self._errors)

    def get_error(self, index):
        return SimpleNamespace(desc=lambda: self._errors[index])

    def parse(self, model):
        graph = onnx.load_model_from_string(model).graph
        self._errors += [f"no importer for {n.op_type}" for n in graph.node if n.domain]
        self._network.graph = graph
        self._network.layers = [
            SimpleNamespace(type=KINDS.get(node.op_type, LayerType.POOLING), precision=None)
            for node in graph.node
        ]
        return not self._errors


class Builder:
    def __init__(self, logger, trt, *, dla_cores: int = 0) -> None:
        assert logger.ready
        self._logger, self._trt = logger, trt
        self.num_DLA_cores = dla_cores
        self.platform_has_fast_int8 = False

    def create_network(self, flags):
        return INetworkDefinition(flags)

    def create_builder_config(self):
        return (IBuilderConfig82 if self._trt.__version__ == "8.2.1" else IBuilderConfig)()

    def create_optimization_profile(self):
        return IOptimizationProfile()

    def build_serialized_network(self, network, config):
        fault = self._fault(network, config)
        monitor = getattr(config, "progress_monitor", None)
        if monitor is not None:
            assert monitor.ready
            monitor.phase_start("Building engine", None, 2)
            steps = [monitor.step_complete("Building engine", step) for step in range(2)]
            monitor.phase_finish("Building engine")
            fault = fault if all(steps) else "Build canceled by user"
        if fault:
            self._logger.log(ILogger.ERROR, fault)
            return None
        names = sorted(set(IBuilderConfig.__slots__) - OBJECTS)
        said = {name: getattr(config, name, None) for name in names}
        said["flags"] = sorted(config.flags)
        said["strong"] = self._strong(network)
        said["held"] = [str(layer.precision and layer.precision.name) for layer in network.layers]
        if hasattr(config, "int8_calibrator"):
            said["cache"] = config.int8_calibrator.read_calibration_cache().decode()
        said["half"] = any(one.data_type == 10 for one in network.graph.initializer)
        return memoryview(json.dumps(said).encode())

    def _strong(self, network):
        flags = self._trt.NetworkDefinitionCreationFlag
        bit = getattr(flags, "STRONGLY_TYPED", None)
        return bit is not None and bool(network.flags >> bit.value & 1)

    def _fault(self, network, config):
        paired = any(node.op_type == "DequantizeLinear" for node in network.graph.node)
        strong = self._strong(network) or not hasattr(self._trt.BuilderFlag, "FP16")
        if strong:
            return "a strongly typed network" if config.flags & TYPE_FLAGS else None
        if paired and "INT8" not in config.flags:
            return "Q/DQ pairs without the flag INT8"
        if "INT8" in config.flags and not paired:
            header = HEADERS[self._trt.__version__]
            cache = config.int8_calibrator.read_calibration_cache().decode()
            if not cache.startswith(f"{header}-EntropyCalibration2\n"):
                return "Calibration table does not match calibrator algorithm type"
        if not network.graph.input[0].type.tensor_type.shape.dim[0].dim_value:
            return None if config.profiles else "a free dimension without a profile"
        return None


def make_builder(version: str, *, dla_cores: int = 0) -> SimpleNamespace:
    """A module ``tensorrt`` of ``version`` that builds."""
    names = FLAGS[version] + (["VERSION_COMPATIBLE"] if version != "8.2.1" else [])
    network_flags = {
        "8.2.1": {"EXPLICIT_BATCH": 0},
        "8.6.1": {"EXPLICIT_BATCH": 0},
        "10.3.0": {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1},
        "11.4.0": {"STRONGLY_TYPED": 1},
    }[version]
    trt = SimpleNamespace(
        __version__=version,
        BuilderFlag=enum.Enum("BuilderFlag", names),
        DataType=DataType,
        DeviceType=SimpleNamespace(DLA="DLA"),
        HardwareCompatibilityLevel=SimpleNamespace(AMPERE_PLUS="AMPERE_PLUS"),
        ILogger=ILogger,
        LayerType=LayerType,
        MemoryPoolType=SimpleNamespace(WORKSPACE="WORKSPACE"),
        NetworkDefinitionCreationFlag=enum.IntEnum("NetworkDefinitionCreationFlag", network_flags),
        OnnxParser=OnnxParser,
        init_libnvinfer_plugins=lambda logger, namespace: True,
    )
    trt.Builder = lambda logger: Builder(logger, trt, dla_cores=dla_cores)
    if version in ("10.3.0", "11.4.0"):
        trt.IProgressMonitor = IProgressMonitor
    if version != "11.4.0":
        trt.IInt8EntropyCalibrator2 = IInt8EntropyCalibrator2
    return trt
