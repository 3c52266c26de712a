"""A folder that DeepStream, Triton, a Jetson or a T4 can use as it is: models and all around them.

The decoder goes along as C++ sources, so that it is built where it runs; what is built of them
gives the same people as Python's decoder.
"""

import dataclasses
import importlib.metadata
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

import bpnet
from bpnet.decode import DecoderSettings
from bpnet.errors import DataError
from bpnet.export.bundle_files import copy, declared_shapes, place
from bpnet.export.bundle_readme import readme
from bpnet.export.bundle_sources import model_header, skeleton_file
from bpnet.export.deepstream import (
    LABELS,
    Target,
    configurations,
    missing_support,
    to_text,
    to_yaml,
)
from bpnet.export.engine_settings import EngineSettings
from bpnet.export.sidecar import versions
from bpnet.export.triton import FILES, PLATFORMS, config, repositories
from bpnet.files import digest, make_folder, replacing
from bpnet.inference.tensorrt_backend import SIDECAR_KEY
from bpnet.pose.contract import ModelContract

logger = logging.getLogger(__name__)

PACKAGE = Path(bpnet.__file__).parent
DECODER_SOURCES = PACKAGE / "decode/csrc"
OWN_SOURCES = PACKAGE / "export/deployment"
PYTHON_SOURCES = ("bindings.cpp",)  # of DECODER_SOURCES; the bundle's Python needs none
LABELS_OF_ONNX = ("fp32", "fp16", "int8 tensorrt", "int8+fp16", "int8 onnxruntime")
OTHER_LABELS = ("calibration cache", "engine")
COPIES = {  # of OWN_SOURCES: where in the bundle
    "Makefile": "Makefile",
    "network.h": "decoder/network.h",
    "network.cpp": "decoder/network.cpp",
    "bpnet_people.py": "decoder/bpnet_people.py",
    "nvdsinfer_bpnet.cpp": "deepstream/nvdsinfer_bpnet.cpp",
    "deepstream_app.py": "deepstream/app.py",
    "triton_client.py": "triton/client.py",
}


@dataclass(frozen=True)
class BundleSettings:
    """What the files of a bundle say besides the network.

    Attributes:
        name: Of the model in Triton's repository.
        label: Of what the network finds, in labels.txt; nothing: the skeleton's name.
        engine: How engines are built; its largest batch is DeepStream's and Triton's, too.
        decoder: How people are decoded; None: the defaults, with the contract's thresholds.
    """

    name: str = "bpnet"
    label: str = ""
    engine: EngineSettings = field(default_factory=EngineSettings)
    decoder: DecoderSettings | None = None


def write_bundle(
    folder: Path,
    artefacts: Mapping[str, Path],
    contract: ModelContract,
    *,
    settings: BundleSettings | None = None,
) -> list[Path]:
    """Write all around the exported files; files that are not in ``folder`` are copied into it.

    Args:
        folder: The bundle; made if it is not there, other files in it stay.
        artefacts: Exported files by label: fp32, and where there are fp16, "int8 tensorrt",
            int8+fp16, "int8 onnxruntime", "calibration cache" and "engine".
        contract: Of the fp32 file.
        settings: What else the files say.

    Returns:
        The files written or found in their place.

    Raises:
        DataError: A file cannot be read or written.
        ModelError: The fp32 file is encrypted, or is not what the contract says.
    """
    unknown = sorted(set(artefacts) - {*LABELS_OF_ONNX, *OTHER_LABELS})
    if unknown or "fp32" not in artefacts:
        raise ValueError(f"artefacts {sorted(artefacts)}: fp32 is needed, {unknown} is unknown")
    names = [path.name for path in artefacts.values()]
    if len(set(names)) < len(names):
        raise ValueError(f"two artefacts have the same name: {names}")
    said = settings or BundleSettings()
    shapes = declared_shapes(artefacts["fp32"], contract)
    make_folder(folder)
    placed = {label: place(path, folder) for label, path in artefacts.items()}
    written = [folder / path for path in placed.values()]
    texts = [
        *_network_files(folder, placed, contract, said),
        *_deepstream_files(placed, contract, shapes, said),
        *_triton_files(placed, contract, shapes, said),
        ("README.md", _readme(placed, contract, shapes, said)),
    ]
    for name, text in texts:
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        written.append(folder / name)
    copies = [*_sources(), *_repository_models(folder, placed, said.name)]
    for source, name in copies:
        copy(source, folder / name)
        written.append(folder / name)
    return written


def _network_files(
    folder: Path,
    placed: Mapping[str, PurePosixPath],
    contract: ModelContract,
    said: BundleSettings,
) -> Iterator[tuple[str, str]]:
    """Name and content of the files that say what the network is."""
    decoder = _decoder_settings(contract, said)
    files = {
        label: {"file": str(path), "sha256": digest(folder / path)}
        for label, path in placed.items()
    }
    document = {
        SIDECAR_KEY: contract.to_dict(),
        "decoder": asdict(decoder),
        "files": files,
        "versions": versions(),
    }
    yield "LICENSE", _licence()
    yield "contract.json", json.dumps(document, indent=1) + "\n"
    skeleton = skeleton_file(contract.skeleton, _label(contract, said))
    yield "skeleton.json", json.dumps(skeleton, indent=1) + "\n"
    yield "decoder/model.h", model_header(contract, decoder)


def _licence() -> str:
    """The text of the licence, as the installed package has it."""
    try:
        text = importlib.metadata.distribution("bpnet").read_text("licenses/LICENSE")
    except importlib.metadata.PackageNotFoundError:
        text = None
    if text is None:
        raise DataError(
            "bpnet's licence, which belongs into the bundle, is not there: install bpnet with pip"
        )
    return text


def _decoder_settings(contract: ModelContract, said: BundleSettings) -> DecoderSettings:
    """The settings asked for, else those of the contract; where the PAFs lie is the network's."""
    base = said.decoder or DecoderSettings(
        heatmap_threshold=contract.heatmap_threshold, paf_threshold=contract.paf_threshold
    )
    return dataclasses.replace(base, paf_cell_corners=contract.paf_cell_corners)


def _label(contract: ModelContract, said: BundleSettings) -> str:
    return said.label or contract.skeleton.name


def _batch(
    contract: ModelContract, shapes: Mapping[str, Sequence[int | None]], said: BundleSettings
) -> int:
    """Most images a run: what the file fixes, else what engines are built for."""
    return shapes[contract.input_name][0] or said.engine.max_batch


def _deepstream_files(
    placed: Mapping[str, PurePosixPath],
    contract: ModelContract,
    shapes: Mapping[str, Sequence[int | None]],
    said: BundleSettings,
) -> Iterator[tuple[str, str]]:
    """Name and content of the configurations; none, and a warning, where nvinfer cannot do it."""
    fault = missing_support(contract)
    if fault is not None:
        logger.warning("the bundle has no configuration for DeepStream: %s", fault)
        return
    yield f"deepstream/{LABELS}", f"{_label(contract, said)}\n"
    target = Target(_batch(contract, shapes, said), said.engine.dla_core)
    for name, sections in configurations(placed, contract, target).items():
        comment = "For Gst-nvinfer; README.md says which configuration is for what."
        yield f"deepstream/{name}.txt", to_text(sections, comment)
        yield f"deepstream/{name}.yml", to_yaml(sections, comment)


def _triton_files(
    placed: Mapping[str, PurePosixPath],
    contract: ModelContract,
    shapes: Mapping[str, Sequence[int | None]],
    said: BundleSettings,
) -> Iterator[tuple[str, str]]:
    """Name and content of the files of Triton's model repositories."""
    batch = _batch(contract, shapes, said)
    for repository in repositories(placed):
        text = config(repository, contract, shapes, name=said.name, batch=batch)
        yield f"triton/{repository}/{said.name}/config.pbtxt", text
    if "engine" not in placed:
        version = f"triton/tensorrt/{said.name}/1"
        yield f"{version}/README.txt", f"Build the engine as {version}/model.plan; see README.md.\n"


def _readme(
    placed: Mapping[str, PurePosixPath],
    contract: ModelContract,
    shapes: Mapping[str, Sequence[int | None]],
    said: BundleSettings,
) -> str:
    return readme(
        placed,
        contract,
        said.engine,
        name=said.name,
        batch=_batch(contract, shapes, said),
        fixed_batch=shapes[contract.input_name][0],
    )


def _sources() -> Iterator[tuple[Path, str]]:
    """The files that are the same in every bundle: where they are, and their names in it."""
    for path in sorted(DECODER_SOURCES.iterdir()):
        if path.suffix in (".cpp", ".h") and path.name not in PYTHON_SOURCES:
            yield path, f"decoder/{path.name}"
    for source, name in COPIES.items():
        yield OWN_SOURCES / source, name


def _repository_models(
    folder: Path, placed: Mapping[str, PurePosixPath], name: str
) -> Iterator[tuple[Path, str]]:
    """The models that Triton's repositories need copies of."""
    for repository, label in repositories(placed).items():
        if label in placed:
            file = FILES[PLATFORMS[repository]]
            yield folder / placed[label], f"triton/{repository}/{name}/1/{file}"
