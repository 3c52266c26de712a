"""The command lines of trtexec, NVIDIA's own engine builder, for TensorRT 8, 10 and 11.

Options as the sources of each release list them (samples/common/sampleOptions.cpp of
github.com/NVIDIA/TensorRT). An input name may hold colons: trtexec splits ``name:shape`` at the
last one.
"""

import shlex
from pathlib import Path

from bpnet.export.engine_settings import EngineSettings, flags_of
from bpnet.pose.contract import ModelContract

RELEASES = ("8", "10", "11")
MIB = 1 << 20  # bytes
OPSET_OF_8 = 17  # the newest operators that TensorRT 8.6 reads


def lines(
    onnx_path: Path,
    settings: EngineSettings,
    contract: ModelContract,
    *,
    batch: int | None = None,
    engine: Path | None = None,
) -> dict[str, str]:
    """The line that builds the engine, by TensorRT's major version.

    Where a release cannot build it from this file, the line is a comment that says what to do.

    Args:
        onnx_path: The exported file.
        settings: Of the engine.
        contract: Of the exported file; its precision is what the file itself computes in.
        batch: Images a run that the file fixes; None: any number.
        engine: Name of the engine; None: the file's, with ``.engine``.

    Raises:
        ValueError: The contract fixes no input size.
    """
    target = onnx_path.with_suffix(".engine") if engine is None else engine
    found = {}
    for release in RELEASES:
        obstacle = _obstacle(release, settings, contract)
        if obstacle is not None:
            found[release] = f"# TensorRT {release}: {obstacle}"
            continue
        words = [
            "trtexec",
            f"--onnx={onnx_path}",
            f"--saveEngine={target}",
            *([] if batch is not None else _shapes(settings, contract)),
            *_types(release, settings, contract),
            *_options(release, settings),
        ]
        found[release] = shlex.join(words)
    return found


def _obstacle(release: str, settings: EngineSettings, contract: ModelContract) -> str | None:
    """Why this release cannot build the engine from the file, and what to do."""
    carried, wanted = contract.precision, settings.data_type
    if "int8" in carried and contract.extra.get("int8_form") == "onnxruntime":
        return "the file is INT8 for ONNX Runtime; export it with --int8_form tensorrt"
    if any(kind in carried and kind not in wanted for kind in ("fp16", "int8")):
        return f"the file is {carried}; export it with --data_type {wanted}"
    if "int8" in wanted and settings.dla_core is not None:
        fault = _dla_obstacle(release, settings, carried)
        if fault is not None:
            return fault
    if release == "8" and int(contract.extra.get("opset", 0)) > OPSET_OF_8:
        limit = f"it reads operators up to version {OPSET_OF_8}"
        if carried == "int8+fp16":
            other = "the file of --data_type int8 --int8_form tensorrt"
            return f"{limit}; build {other} with --int8 --fp16"
        return f"{limit}; export it with --opset {OPSET_OF_8}"
    form = " --int8_form tensorrt" if "int8" in wanted else ""
    if release == "11" and carried != wanted:
        return f"it takes the types of the file; export it with --data_type {wanted}{form}"
    if "int8" in wanted and "int8" not in carried and settings.calibration_cache is None:
        return f"INT8 needs ranges; export it with --data_type {wanted}{form}"
    return None


def _dla_obstacle(release: str, settings: EngineSettings, carried: str) -> str | None:
    """The same for INT8 on a DLA, which takes Q/DQ pairs only where every layer has them."""
    if release == "11":
        return "it has no calibration, which a DLA needs for INT8; use --data_type fp16"
    if "int8" not in carried:
        return None
    flags = " ".join(f"--{flag.lower()}" for flag in flags_of(settings.data_type))
    cache = f"--calib={settings.calibration_cache or 'CACHE'} --useDLACore={settings.dla_core}"
    return (
        "a DLA takes its INT8 ranges from a calibration cache, not from Q/DQ pairs; build the file "
        f"of --data_type fp32 with {flags} {cache}"
    )


def _shapes(settings: EngineSettings, contract: ModelContract) -> list[str]:
    if contract.height is None or contract.width is None:
        raise ValueError("an exported model has a fixed input size, this contract has none")
    size = contract.height, contract.width
    image = (*size, 3) if contract.layout == "nhwc" else (3, *size)
    counts = {
        "min": settings.min_batch,
        "opt": settings.opt_batch,
        "max": settings.max_batch,
    }
    return [
        f"--{bound}Shapes={contract.input_name}:{'x'.join(map(str, (count, *image)))}"
        for bound, count in counts.items()
    ]


def _types(release: str, settings: EngineSettings, contract: ModelContract) -> list[str]:
    """The same choice as ``engine_types.settle_types`` makes, in options."""
    wanted, strict = settings.data_type, settings.strict_types
    words = ["--noTF32"] if strict and wanted == "fp32" else []
    if release == "11" or wanted == "fp32":
        return words
    if release == "10" and wanted == contract.precision:
        return [*words, "--stronglyTyped"]
    words += [f"--{flag.lower()}" for flag in flags_of(wanted)]
    if "int8" in contract.precision:
        return words
    if "int8" in wanted:
        words.append(f"--calib={settings.calibration_cache}")
    if strict:
        kind = "int8" if "int8" in wanted else "fp16"
        words += ["--precisionConstraints=prefer", f"--layerPrecisions=*:{kind}"]
    return words


def _options(release: str, settings: EngineSettings) -> list[str]:
    space = max(1, round(settings.workspace / MIB))
    words = [f"--workspace={space}" if release == "8" else f"--memPoolSize=workspace:{space}"]
    if settings.timing_cache is not None:
        words.append(f"--timingCacheFile={settings.timing_cache}")
    if settings.builder_level is not None:
        words.append(f"--builderOptimizationLevel={settings.builder_level}")
    if settings.hardware_compatible:
        words.append("--hardwareCompatibilityLevel=ampere+")
    if settings.version_compatible:
        words.append("--versionCompatible")
    if settings.dla_core is not None:
        words += [f"--useDLACore={settings.dla_core}", "--allowGPUFallback"]
    return words
