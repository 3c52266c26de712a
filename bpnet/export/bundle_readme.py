"""The README of a bundle: what each file is for, and the commands that use it."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from bpnet.export import trtexec
from bpnet.export.calibration_cache import header
from bpnet.export.deepstream import Target, missing_support, qdq_source
from bpnet.export.engine_settings import EngineSettings
from bpnet.export.triton import repositories
from bpnet.pose.contract import ModelContract

TEMPLATES = Path(__file__).parent / "deployment"
MARKER = re.compile(r"@([A-Z]+)@")
WHAT_FILES_ARE = {
    "fp32": "float32 ONNX",
    "fp16": "float16 ONNX, float32 input and outputs",
    "int8 tensorrt": "INT8 with Q/DQ pairs as TensorRT fuses them, the rest float32",
    "int8+fp16": "the same, the rest float16; TensorRT 10 and newer",
    "int8 onnxruntime": "INT8 for ONNX Runtime on a CPU",
    "calibration cache": "ranges for INT8 of the float32 file, TensorRT 10 and older",
    "engine": "TensorRT engine of the machine that exported it",
}
# Wanted types of an engine, and the files that it may be built of, the best first.
ENGINE_SOURCES = {
    "fp16": ("fp16", "fp32"),
    "int8+fp16": ("int8+fp16", "int8 tensorrt"),
}
DATA_TYPES = {"int8 tensorrt": "int8"}  # of a file, where its label says more
CONFIGURATIONS = {
    "fp32": "float32, to compare with",
    "fp16": "float16: where to start, on every GPU",
    "int8": "INT8 by the calibration cache, the rest float32: DeepStream 6.0 to 9.2",
    "int8_qdq": "INT8 by Q/DQ pairs: DeepStream 9.1 and newer, or an engine built as above",
}
RELEASES = (  # DeepStream, its TensorRT, where; NVIDIA's release notes
    ("6.0", "8.0.1", "Jetson Nano, TX2, Xavier (JetPack 4.6); T4"),
    ("6.2", "8.5.2", "Xavier, Orin (JetPack 5.1); T4 and newer"),
    ("7.1", "10.3.0", "Orin (JetPack 6.1, 6.2); T4 and newer"),
    ("8.0", "10.9.0", "T4 and newer"),
    ("8.0", "10.13.2", "Thor (JetPack 7.0)"),
    ("9.0", "10.14.1", "Thor; T4 and newer"),
    ("9.2", "10.16.0", "T4 and newer"),
    ("9.2", "10.16.1", "Orin and Thor (JetPack 7.2)"),
)


def readme(
    placed: Mapping[str, PurePosixPath],
    contract: ModelContract,
    engine: EngineSettings,
    *,
    name: str,
    batch: int,
    fixed_batch: int | None,
) -> str:
    """The README of the bundle.

    Args:
        placed: Exported files by label, paths relative to the bundle.
        contract: Of the float32 file.
        engine: How engines are built.
        name: Of the model in Triton's repository.
        batch: Most images a run.
        fixed_batch: Images a run that the files fix; None: any number.
    """
    fault = missing_support(contract)
    target = Target(batch, engine.dla_core)
    said = {
        "TITLE": f"{contract.skeleton.name} at {contract.height} x {contract.width}",
        "FACTS": _facts(contract),
        "FILES": _files(placed, deepstream=fault is None),
        "ENGINES": _engines(placed, contract, engine, target, fixed_batch=fixed_batch),
        "VERSIONS": _versions(),
        "TRITON": _triton(placed, name),
        "NAME": name,
        "ONNX": str(placed["fp32"]),
        "TERMS": _terms(contract),
        "CONFIGS": _configs(placed, target),
        "CACHE": _cache(placed),
    }
    chapter = f"## 3. DeepStream\n\nNot for this network: {fault}.\n"
    if fault is None:
        chapter = _fill((TEMPLATES / "deepstream.md").read_text(encoding="utf-8"), said)
    said["DEEPSTREAM"] = chapter.rstrip()
    return _fill((TEMPLATES / "README.md").read_text(encoding="utf-8"), said)


def _fill(template: str, said: Mapping[str, str]) -> str:
    return MARKER.sub(lambda found: said[found[1]], template)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _facts(contract: ModelContract) -> str:
    skeleton, extra = contract.skeleton, contract.extra
    scale = ", ".join(f"{value:g}" for value in contract.image_scale)
    offset = ", ".join(f"{value:g}" for value in contract.image_offset)
    channels = f"{skeleton.paf_channels} and {skeleton.heatmap_channels}"
    rows = [
        ("input", f"`{contract.input_name}`, {contract.height} x {contract.width} (H x W)"),
        ("axes", f"{contract.layout.upper()}, {contract.channel_order.upper()}, float32"),
        ("pixels", f"(0 to 255) / [{scale}] - [{offset}]"),
        ("outputs", f"`{contract.paf_output}`, `{contract.heatmap_output}`"),
        ("their channels", f"{channels}: two a limb; one a keypoint and the background"),
        ("pixels a cell", f"{contract.paf_stride:g} and {contract.heatmap_stride:g}"),
        ("keypoints", ", ".join(skeleton.keypoints)),
    ]
    rows += [
        (title, extra[key])
        for title, key in (
            ("training spec", "training_spec"),
            ("data set", "dataset"),
            ("AP", "ap"),
        )
        if extra.get(key)
    ]
    return _table(("", ""), rows)


def _files(placed: Mapping[str, PurePosixPath], *, deepstream: bool) -> str:
    rows = [(f"`{path}`", WHAT_FILES_ARE[label]) for label, path in placed.items()]
    rows += [
        (
            "`contract.json`",
            "all that is known of the network, with the digests of the files above",
        ),
        ("`skeleton.json`", "keypoints and limbs, as TAO's pose configuration"),
        ("`decoder/`", "sources of the decoder, and its Python face `bpnet_people.py`"),
    ]
    if deepstream:
        rows.append(("`deepstream/`", "configurations, the parser's source, a program"))
    rows.append(("`triton/`", "model repositories, a client"))
    return _table(("file", "what it is"), rows)


def _engines(
    placed: Mapping[str, PurePosixPath],
    contract: ModelContract,
    engine: EngineSettings,
    target: Target,
    *,
    fixed_batch: int | None,
) -> str:
    """A block of commands for each precision, a line for each major version of TensorRT."""
    blocks = []
    for wanted, sources in ENGINE_SOURCES.items():
        cache = _cache_for(placed, wanted, target)
        chosen = sources if cache is None else ("fp32",)
        files = [(label, placed[label]) for label in chosen if label in placed]
        if not files:
            continue
        built_as = _engine_of(placed, wanted, target)
        # Other files of this machine mean nothing there.
        there = dataclasses.replace(
            engine, data_type=wanted, calibration_cache=cache, timing_cache=None
        )
        commands = [f"# {wanted}"]
        for release in trtexec.RELEASES:
            lines = [
                trtexec.lines(
                    Path(path),
                    there,
                    _contract_of(contract, label),
                    batch=fixed_batch,
                    engine=Path(built_as),
                )[release]
                for label, path in files
                if (label, release) != ("int8+fp16", "8")  # float16 scales are opset 19's
            ]
            built = [line for line in lines if not line.startswith("#")]
            commands += [f"{built[0]}  # TensorRT {release}"] if built else lines[:1]
        blocks.append("```sh\n" + "\n".join(commands) + "\n```")
    return "\n\n".join(blocks)


def _cache_for(placed: Mapping[str, PurePosixPath], wanted: str, target: Target) -> Path | None:
    """The calibration cache that INT8 on a DLA is built with."""
    cache = placed.get("calibration cache")
    on_dla = target.dla_core is not None and "int8" in wanted
    return Path(cache) if on_dla and cache is not None else None


def _engine_of(placed: Mapping[str, PurePosixPath], wanted: str, target: Target) -> PurePosixPath:
    """Where DeepStream's configuration looks for the engine."""
    if wanted == "fp16":
        return target.engine_name(placed["fp32"], "fp16")
    pairs = qdq_source(placed, target)
    if pairs is None:
        return target.engine_name(placed["fp32"], "int8")
    return target.engine_name(pairs, "fp32")


def _contract_of(contract: ModelContract, label: str) -> ModelContract:
    """The contract of another exported file of the same network."""
    extra = {**contract.extra, "int8_form": "tensorrt"} if "int8" in label else contract.extra
    return dataclasses.replace(contract, precision=DATA_TYPES.get(label, label), extra=extra)


def _versions() -> str:
    rows = [(name, tensorrt, where) for name, tensorrt, where in RELEASES]
    text = _table(("DeepStream", "TensorRT", "where"), rows)
    return f"{text}\n\nA Jetson Nano and a TX2 have no INT8 units: use float16 there."


def _configs(placed: Mapping[str, PurePosixPath], target: Target) -> str:
    there = {"fp32", "fp16"}
    there |= {"int8"} if "calibration cache" in placed else set()
    there |= {"int8_qdq"} if qdq_source(placed, target) is not None else set()
    rows = [
        (f"`deepstream/config_{name}`", what)
        for name, what in CONFIGURATIONS.items()
        if name in there
    ]
    return _table(("configuration", "what runs"), rows)


def _cache(placed: Mapping[str, PurePosixPath]) -> str:
    """How a calibration cache is made to fit the TensorRT of each DeepStream."""
    cache = placed.get("calibration cache")
    if cache is None:
        return ""
    rows = [(name, tensorrt, f"`{header(tensorrt)}`") for name, tensorrt, _ in RELEASES]
    table = _table(("DeepStream", "TensorRT", "first line"), rows)
    return f"""
TensorRT takes a calibration cache of its own release only, which the first line of `{cache}` names.
For another release, change that line:

```sh
sed -i '1s/.*/{header("10.3.0")}/' {cache}
```

{table}"""


def _triton(placed: Mapping[str, PurePosixPath], name: str) -> str:
    what = {
        "onnxruntime": "float32 ONNX, on a GPU or a CPU",
        "onnxruntime_int8": "INT8 ONNX, on a CPU",
        "tensorrt": f"the engine, built as `triton/tensorrt/{name}/1/model.plan` (`--saveEngine`) "
        "with the TensorRT of the server",
    }
    there = repositories(placed)
    rows = [(f"`triton/{repository}`", what[repository]) for repository in there]
    table = _table(("model repository", "what runs"), rows)
    return f"""{table}

```sh
docker run --rm -p 8000:8000 -v $PWD/triton/onnxruntime:/models \\
    nvcr.io/nvidia/tritonserver:25.10-py3 tritonserver --model-repository=/models
```"""


def _terms(contract: ModelContract) -> str:
    weights = contract.extra.get("model_licence") or "not stated"
    data = contract.extra.get("data_licence") or "not stated"
    rows = [
        ("sources and programs", "Apache-2.0, see `LICENSE`"),
        ("the network's weights", weights),
        ("the data that it was trained on", data),
    ]
    return _table(("of", "licence"), rows)
