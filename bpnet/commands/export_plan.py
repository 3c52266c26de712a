"""What one ``bpnet export`` will write."""

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bpnet.errors import SpecError
from bpnet.export.choices import MODELS, SUFFIXES
from bpnet.files import sidecar_path

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Artefact:
    """An exported model file.

    Attributes:
        data_type: fp32, fp16, int8 or int8+fp16.
        form: Of INT8: onnxruntime or tensorrt; nothing for others.
        opset: Version of the operators.
        path: The file.
    """

    data_type: str
    form: str
    opset: int
    path: Path

    @property
    def label(self) -> str:
        """What tells it from the others, for tables."""
        return f"{self.data_type} {self.form}" if self.data_type == "int8" else self.data_type

    @property
    def is_int8(self) -> bool:
        """Does it need ranges?"""
        return self.data_type.startswith("int8")


@dataclass(frozen=True)
class Plan:
    """All that will be written.

    Attributes:
        artefacts: Model files.
        layout: nhwc or nchw; None: as the model has it.
        reused_cache: A calibration cache that exists and gives the ranges.
        cache: A calibration cache to write.
        reused_tensorfile: A tensorfile that exists and gives the calibration inputs.
        tensorfile: One to write.
    """

    artefacts: tuple[Artefact, ...]
    layout: str | None
    reused_cache: Path | None = None
    cache: Path | None = None
    reused_tensorfile: Path | None = None
    tensorfile: Path | None = None

    @property
    def int8(self) -> bool:
        """Is any artefact INT8?"""
        return any(one.is_int8 for one in self.artefacts)

    @property
    def calibration_cache(self) -> Path | None:
        """The cache that is there when all is written."""
        return self.cache or self.reused_cache

    def files(self, engine: Path | None) -> Iterator[tuple[Path, str]]:
        """Every file, and what it is, the bundle's configuration files left out."""
        if self.tensorfile is not None:
            yield self.tensorfile, "calibration inputs"
        if self.cache is not None:
            yield self.cache, "TensorRT calibration cache"
        for one in self.artefacts:
            yield one.path, f"{one.label}, opset {one.opset}"
            yield sidecar_path(one.path), "what it is"
        if engine is not None:
            yield engine, "TensorRT engine, where there is a GPU"


def make_plan(args: argparse.Namespace, key: str | None) -> Plan:
    """What the options ask for.

    Raises:
        SpecError: They contradict each other.
    """
    layout = _layout(args)
    artefacts = _bundled(args) if args.bundle else ()
    if args.output_file is not None or not args.bundle:
        artefacts = (*artefacts, _single(args, key))
    return _with_calibration(args, artefacts, layout)


def is_onnx(path: Path) -> bool:
    """Does the model file come as ONNX?"""
    return path.suffix.lower() in SUFFIXES


def _layout(args: argparse.Namespace) -> str | None:
    if args.layout is not None:
        return str(args.layout)
    if args.data_format is not None:
        return "nchw" if args.data_format == "channels_first" else "nhwc"
    return None if is_onnx(args.model) else "nhwc"


def _single(args: argparse.Namespace, key: str | None) -> Artefact:
    """The file of -o and --data_type."""
    form = ""
    if args.data_type == "int8+fp16":
        if args.int8_form == "onnxruntime":
            raise SpecError(
                "--data_type int8+fp16 is for TensorRT only; leave out --int8_form onnxruntime, or "
                "use --data_type int8"
            )
        form = "tensorrt"
    elif args.data_type == "int8":
        form = args.int8_form or ("tensorrt" if args.engine_file else "onnxruntime")
        if args.engine_file and form == "onnxruntime":
            raise SpecError("--engine_file needs --int8_form tensorrt; leave out --int8_form")
    opset = _opset(args, args.data_type, form)
    return Artefact(args.data_type, form, opset, _output_path(args, key))


def _opset(args: argparse.Namespace, data_type: str, form: str) -> int:
    """The opset asked for, else one that every runtime of that precision reads."""
    if data_type == "int8+fp16":
        if args.opset is not None and args.opset < 19 and not args.bundle:
            raise SpecError(
                f"--data_type int8+fp16 needs --opset 19 or newer, for float16 scales; found "
                f"{args.opset}"
            )
        return max(19, args.opset or 19)
    if args.opset is not None:
        return int(args.opset)
    return 13 if form == "tensorrt" else 17


def _output_path(args: argparse.Namespace, key: str | None) -> Path:
    output: Path = args.output_file or args.model.with_suffix(".etlt" if key else ".onnx")
    if output.suffix not in SUFFIXES:
        output = output.with_name(f"{output.name}.onnx")
        logger.info("writing %s: exported models end in .onnx or .etlt", output)
    if output.suffix == ".etlt" and not key:
        raise SpecError(f"{output} is to be encrypted: give a key with -k, --key_file or BPNET_KEY")
    if output.resolve() == args.model.resolve():
        raise SpecError(f"{output} is the model itself; give another name with -o")
    return output


def _bundled(args: argparse.Namespace) -> tuple[Artefact, ...]:
    """Every precision that can be made, in the folder of --bundle."""
    kinds = [("fp32", ""), ("fp16", "")]
    if _calibrates(args):
        kinds += [("int8", "onnxruntime"), ("int8", "tensorrt"), ("int8+fp16", "tensorrt")]
    else:
        logger.info("no INT8 in the bundle: give --cal_image_dir, photos to calibrate it with")
    stem = args.model.stem
    return tuple(
        Artefact(
            data_type,
            form,
            _opset(args, data_type, form),
            args.bundle / MODELS / f"{stem}.{_suffix(data_type, form)}.onnx",
        )
        for data_type, form in kinds
    )


def _suffix(data_type: str, form: str) -> str:
    return f"int8_{form}" if data_type == "int8" else data_type.replace("+", "_")


def _calibrates(args: argparse.Namespace) -> bool:
    """Is there anything that gives ranges?"""
    files = (args.cal_data_file, args.cal_cache_file)
    return args.cal_image_dir is not None or any(one and one.exists() for one in files)


def _with_calibration(
    args: argparse.Namespace, artefacts: tuple[Artefact, ...], layout: str | None
) -> Plan:
    """The plan, with the files that calibration reads and writes."""
    int8 = any(one.is_int8 for one in artefacts)
    if not int8 and not args.data_type.startswith("int8"):
        return Plan(artefacts, layout)
    if not _calibrates(args):
        raise SpecError(
            "INT8 needs --cal_image_dir, a folder of photos like those that the network will see, "
            "or a --cal_data_file or --cal_cache_file that exists"
        )
    cache, tensorfile = args.cal_cache_file, args.cal_data_file
    reused_cache = cache if cache is not None and cache.exists() else None
    reused = tensorfile if tensorfile is not None and tensorfile.exists() else None
    if args.sensitivity and args.cal_image_dir is None and reused is None:
        raise SpecError(
            "--sensitivity needs inputs to measure with, which a calibration cache has not: give "
            "--cal_image_dir or a --cal_data_file that exists"
        )
    if args.bundle is not None and cache is None:
        cache = args.bundle / MODELS / "calibration.cache"
    return Plan(
        artefacts,
        layout,
        reused_cache=reused_cache,
        cache=None if reused_cache else cache,
        reused_tensorfile=reused,
        tensorfile=None if reused else tensorfile,
    )
