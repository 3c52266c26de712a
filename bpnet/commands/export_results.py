"""Comparing what ``bpnet export`` made with the trained network, and writing it."""

import argparse
import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpnet.commands.export_plan import Artefact
from bpnet.commands.export_source import Source
from bpnet.commands.prediction import read_test_data
from bpnet.errors import ExportRejectedError

if TYPE_CHECKING:
    import onnx

    from bpnet.data.coco import CocoDataset, CocoImage
    from bpnet.export.trial import Candidate, Photo
    from bpnet.export.verify import Comparison
    from bpnet.inference.predictor import Predictor

logger = logging.getLogger(__name__)

REJECTED = ".rejected"  # appended to the name of a file that is not the network


@dataclass(frozen=True)
class Exported:
    """A graph in memory, as it will be written."""

    artefact: Artefact
    model: "onnx.ModelProto"


@dataclass(frozen=True)
class Trials:
    """What networks are compared on.

    Attributes:
        open_photos: Makes the photos anew.
        count: How many there are.
        dataset: Their labels; None where there are none.
        name: Of the data set; nothing where there is none.
    """

    open_photos: "Callable[[], Iterable[Photo]]"
    count: int
    dataset: "CocoDataset | None" = None
    name: str = ""

    def photos(self) -> "Iterator[Photo]":
        """The photos, with a progress bar."""
        from tqdm import tqdm

        yield from tqdm(
            self.open_photos(), total=self.count, desc="comparing", unit="image", disable=None
        )


def choose_trials(args: argparse.Namespace, source: Source) -> Trials:
    """The images of --verify, else of --verify_image_dir, --cal_image_dir, or drawn ones.

    Raises:
        DataError: A folder or a file is not there.
        SpecError: The dataset spec has no test_data.
    """
    if args.verify is not None:
        return _labelled(args.verify, args.verify_limit)
    from bpnet.export.artefact import fixed_size
    from bpnet.export.images import choose_images, drawn_images
    from bpnet.inference.sources import read_image

    count, folder = args.verify_images, args.verify_image_dir
    if folder is None and args.cal_image_dir is not None:
        folder, count = args.cal_image_dir, min(count, args.batches * args.batch_size)
    if folder is None:
        height, width = fixed_size(source.contract)
        drawn = drawn_images(count, height=height, width=width)
        return Trials(lambda: enumerate(drawn), count)
    paths = choose_images(folder, count)
    return Trials(lambda: ((number, read_image(path)) for number, path in enumerate(paths)), count)


def _labelled(path: Path, limit: int | None) -> Trials:
    from bpnet.data.coco import read_subset
    from bpnet.errors import DataError
    from bpnet.export.trial import labelled_photos

    spec, section = read_test_data(path, user="--verify")
    dataset, folder = read_subset(spec, section)
    images: Sequence[CocoImage] = dataset.images[:limit]
    if not images:
        raise DataError(f"{path}: its test_data lists no images, so there is nothing to verify on")
    labels = Path(section.annotation_root_dir_path).name
    name = f"{spec.dataset}, {len(images)} images of {labels}"
    return Trials(lambda: labelled_photos(images, folder), len(images), dataset, name)


def open_trained(source: Source) -> "Predictor":
    """The trained network, for inputs of the export's size."""
    from bpnet.export.artefact import fixed_size
    from bpnet.export.trial import predictor_at

    height, width = fixed_size(source.contract)
    return predictor_at(source.trained, source.inference, height=height, width=width)


def compare_all(
    source: Source, trials: Trials, exported: Sequence[Exported]
) -> "dict[str, Comparison]":
    """Every exported graph beside the trained network, by label; the float32 graph in any case."""
    from bpnet.export.trial import compare_networks

    different = {one.artefact.label: one for one in exported}
    candidates = [
        _candidate(source, one.model, one.artefact.path, label, one.artefact.data_type)
        for label, one in different.items()
    ]
    if "fp32" not in different:
        candidates.insert(0, _candidate(source, source.graph, Path("fp32.onnx"), "fp32", "fp32"))
    found = compare_networks(
        open_trained(source), candidates, trials.photos(), dataset=trials.dataset
    )
    return {one.name: one for one in found}


def _candidate(
    source: Source, model: "onnx.ModelProto", path: Path, label: str, precision: str
) -> "Candidate":
    """A graph as ``bpnet inference`` would read it from ``path``, so its metadata is tried too."""
    from bpnet.export.artefact import fixed_size
    from bpnet.export.trial import Candidate, predictor_at
    from bpnet.inference.onnx_backend import OnnxBackend

    height, width = fixed_size(source.contract)
    backend = OnnxBackend(path, data=model.SerializeToString(), provider="cpu")
    predictor = predictor_at(backend, source.inference, height=height, width=width)
    return Candidate(label, precision, predictor)


def report(comparisons: "Iterable[Comparison]") -> None:
    """Print the tables; warn where they say nothing."""
    from bpnet.export.verify import describe_ap

    comparisons = list(comparisons)
    for comparison in comparisons:
        print("\n".join(comparison.lines()))
    ap = comparisons[0].ap
    if ap is not None and ap.before <= 0:
        logger.warning(
            "the trained network has no AP to lose on these images, so --verify proves nothing: %s",
            describe_ap(ap),
        )


def write_all(
    args: argparse.Namespace,
    exported: Sequence[Exported],
    comparisons: "dict[str, Comparison]",
    trials: Trials,
    *,
    key: str | None,
) -> list[str]:
    """Write every file, under another name where it is not the network; returns the faults."""
    from bpnet.export.graph import set_contract, write_onnx
    from bpnet.export.sidecar import write_sidecar

    faults = []
    conversion = comparisons["fp32"].fault(args.max_drop)
    for one in exported:
        path, comparison = one.artefact.path, comparisons[one.artefact.label]
        contract = _with_figures(one, comparison, trials)
        set_contract(one.model, contract)
        sealing = key if path.suffix == ".etlt" else None
        fault = comparison.fault(args.max_drop) or conversion
        rejected = path.with_name(f"{path.name}{REJECTED}")
        if fault is not None:
            write_onnx(one.model, rejected, key=sealing)
            faults.append(f"{fault}; it is kept as {rejected}")
            continue
        write_onnx(one.model, path, key=sealing)
        write_sidecar(path, contract, {"comparison": comparison.numbers()})
        rejected.unlink(missing_ok=True)
        print(f"wrote {path}: {describe(one.artefact, contract)}")
    return faults


def reject(faults: Sequence[str]) -> None:
    """Raises ExportRejectedError where there are faults."""
    if faults:
        raise ExportRejectedError(
            f"the exported model is not the trained network: {'; '.join(faults)}"
        )


def describe(artefact: Artefact, contract: Any) -> str:
    """Precision, layout, size and operators of a file in a line."""
    size = f"{contract.height}x{contract.width}"
    form = f" for {artefact.form}" if artefact.form else ""
    opset = contract.extra["opset"]
    return f"{artefact.data_type}{form}, {contract.layout}, {size}, opset {opset}"


def _with_figures(one: Exported, comparison: "Comparison", trials: Trials) -> Any:
    """The contract of a graph, and what was measured of it."""
    from bpnet.export.graph import get_contract

    contract = get_contract(one.model, one.artefact.path)
    assert contract is not None
    extra = {
        **contract.extra,
        "maps_cosine": f"{min(comparison.heatmaps.cosine, comparison.pafs.cosine):.6f}",
    }
    if comparison.ap is not None:
        extra |= {
            "dataset": trials.name,
            "ap": f"{comparison.ap.before:.4f}",
            "ap_exported": f"{comparison.ap.after:.4f}",
            "ap_difference_interval": f"{comparison.ap.low:+.4f} {comparison.ap.high:+.4f}",
        }
    return dataclasses.replace(contract, extra=extra)
