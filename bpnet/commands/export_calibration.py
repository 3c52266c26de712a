"""The INT8 ranges of ``bpnet export``: from photos, a tensorfile or a calibration cache."""

import argparse
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bpnet.commands.export_plan import Plan
from bpnet.commands.export_source import Source

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from bpnet.pose.contract import ModelContract

    Inputs = Iterator[NDArray[np.float32]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ranges:
    """What INT8 needs beside the graph.

    Attributes:
        table: Largest absolute value of each activation, by tensor name.
        notes: How it came about, for the metadata.
        open_inputs: Makes the calibration inputs anew; None where a cache gave the ranges.
        count: How many inputs there are.
    """

    table: dict[str, float]
    notes: dict[str, str] = field(default_factory=dict)
    open_inputs: "Callable[[], Inputs] | None" = None
    count: int = 0


def find_table(args: argparse.Namespace, plan: Plan, source: Source) -> Ranges:
    """The ranges, and on the way the tensorfile and the cache that are to be written.

    Raises:
        DataError: Photos, tensorfile or cache cannot be used.
        SpecError: No TensorRT of that version reads a cache.
    """
    from bpnet.export.artefact import best_ranges, find_ranges
    from bpnet.export.calibration_cache import header, read_cache, write_cache

    if plan.cache is not None:
        header(args.tensorrt_version)  # refuses a version without caches before the work is done
    if plan.reused_cache is not None and not _needs_inputs(args):
        warn_of_lost_channels(plan.reused_cache, source.graph, args.model)
        said = {"calibration": f"the ranges of {plan.reused_cache.name}"}
        return Ranges(read_cache(plan.reused_cache), said)
    open_inputs, count, of = _open_inputs(args, plan, source.contract, _pad_value(source))
    if plan.reused_cache is not None:
        table, method = read_cache(plan.reused_cache), f"the ranges of {plan.reused_cache.name}"
    else:
        chosen = args.calibration_method
        if chosen == "best":
            forms = {one.form for one in plan.artefacts if one.is_int8}
            table, chosen = best_ranges(source.graph, open_inputs(), total=count, forms=forms)
        else:
            table = find_ranges(source.graph, open_inputs(), chosen, total=count)
        method = f"{chosen} of {of}"
    if plan.cache is not None:
        write_cache(plan.cache, table, tensorrt=args.tensorrt_version)
        print(f"wrote {plan.cache}: {len(table)} ranges for TensorRT {args.tensorrt_version}")
    return Ranges(table, {"calibration": method}, open_inputs, count)


def warn_of_lost_channels(cache: Path, graph: "onnx.ModelProto", model: Path) -> None:
    """A cache has one range an activation: what equalises channels is not in it."""
    from bpnet.export.equalisation import depthwise_inputs

    if depthwise_inputs(graph):
        logger.warning(
            "%s holds no ranges of single channels, which depthwise convolutions of %s need for "
            "their best INT8: calibrate with --cal_image_dir and another --cal_cache_file, and "
            "compare",
            cache,
            model,
        )


def _needs_inputs(args: argparse.Namespace) -> bool:
    return bool(args.sensitivity)


def _pad_value(source: Source) -> int:
    from bpnet.spec.inference import InferenceSpec

    return (source.inference or InferenceSpec()).pad_value


def _open_inputs(
    args: argparse.Namespace, plan: Plan, contract: "ModelContract", pad_value: int
) -> "tuple[Callable[[], Inputs], int, str]":
    """What opens the calibration inputs, how many there are, and what they are."""
    from bpnet.export.artefact import channels_last, photo_inputs, tensorfile_inputs
    from bpnet.export.images import choose_images
    from bpnet.export.tensorfile import tensorfile_shape, write_tensorfile

    asked = args.batches * args.batch_size
    tensorfile: Path | None = plan.reused_tensorfile
    if tensorfile is None:
        photos = choose_images(args.cal_image_dir, asked)
        if plan.tensorfile is None:
            return (
                lambda: photo_inputs(photos, contract, pad_value=pad_value),
                asked,
                f"{asked} images",
            )
        tensorfile = plan.tensorfile
        write_tensorfile(
            tensorfile,
            channels_last(photo_inputs(photos, contract, pad_value=pad_value), contract),
            dtype=args.cal_data_precision,
            batch_size=args.batch_size,
            total=asked,
        )
        print(f"wrote {tensorfile}: {asked} images, {args.cal_data_precision}")
    elif args.cal_image_dir is not None:
        logger.info("calibrating with %s, which exists, not with --cal_image_dir", tensorfile)
    found, _, _ = tensorfile_shape(tensorfile)
    read: Path = tensorfile
    return lambda: tensorfile_inputs(read, contract), found, f"{found} images of {read.name}"
