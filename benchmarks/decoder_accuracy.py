"""How right the people are that the decoder reads, against TAO's way of enlarging the maps first.

    python benchmarks/decoder_accuracy.py --root coco --model human-pose-estimation-0001.onnx \
        -i specs/infer_spec_lightweight_openpose.yaml --json

The folder holds ``annotations/person_keypoints_{train,val}.json``, ``train/`` and ``val/``. The
network runs over ``val`` at one height, one scale, unflipped, and both decoders read the same maps.
The ceiling is the AP of the labels themselves, drawn at stride 8 and decoded, for ``train`` and
``val`` together: what a perfect network would reach. AP in percent. ``--averaged`` adds the flip
test and three scales; ``--ablation`` instead compares the decoder's settings, on ``train`` alone.
"""

import argparse
import dataclasses
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow draws the maps

from ablation import VARIANTS, compare
from scenes import (
    Scene,
    Subset,
    average_precision,
    both_subsets,
    drawn_scenes,
    network_scenes,
    open_model,
    read_subset,
)
from x8_reference import X8Decoder, find_peaks_with_opencv

from bpnet.decode import Decoder
from bpnet.evaluation import CocoMetrics
from bpnet.inference.predictor import Predictor, predictor_of
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.reader import read_spec

HEIGHTS = (256, 368, 512)  # pixels of the network's input
SCALES = [0.75, 1.0, 1.5]  # of --averaged


def main() -> None:
    """Measure, and print tables."""
    args = _arguments()
    spec = read_spec(args.inference_spec, InferenceSpec)
    network = open_model(args.model, spec, args.threads)
    skeleton = network.backend.contract.skeleton
    if args.ablation:
        subset = read_subset(args.root, "train", args.images)
        scenes = {
            height: network_scenes(subset, network, _at(spec, height)) for height in args.heights
        }
        compare(scenes, subset, skeleton, only=args.only, as_json=args.json)
        return
    subsets = [read_subset(args.root, name, args.images) for name in ("train", "val")]
    figures = measure_network(subsets[1], network, _at(spec, args.height))
    figures["ceiling"] = {
        str(height): _ceiling(subsets, skeleton, height) for height in args.heights
    }
    print(f"\n{'ceiling at height':22}{'ours':>8}{'x8':>8}")
    for height, both in figures["ceiling"].items():
        print(f"{height:22}{both['ours']:8.2f}{both['x8_reference']:8.2f}")
    if args.averaged:
        figures["averaged"] = measure_averaged(subsets[1], network, _at(spec, args.height))
    if args.json:
        print(json.dumps(figures))


def measure_network(subset: Subset, network: Predictor, spec: InferenceSpec) -> dict[str, object]:
    """AP of both decoders on the same maps of the network."""
    skeleton = network.backend.contract.skeleton
    scenes = network_scenes(subset, network, spec)
    decoders = {
        "ours": predictor_of(network.backend, spec).decoder,
        "x8, Keras peaks": X8Decoder(skeleton, find_peaks_with_opencv),
        "x8, engine peaks": X8Decoder(skeleton),
    }
    print(f"{len(scenes)} images, network input {network.fit.height} pixels high")
    print(f"{'':22}{'AP':>8}{'AP50':>8}{'M':>8}{'L':>8}")
    metrics = {}
    for name, decode in decoders.items():
        metrics[name] = average_precision(scenes, decode, subset.dataset, skeleton)
        print(f"{name:22}{_columns(metrics[name])}")
    return {
        **_figures(metrics["ours"]),
        "ap_x8_reference": _percent(metrics["x8, Keras peaks"].ap),
        "ap_x8_engine_peaks": _percent(metrics["x8, engine peaks"].ap),
    }


def measure_averaged(
    subset: Subset, network: Predictor, spec: InferenceSpec
) -> dict[str, dict[str, float]]:
    """AP of our decoder on maps averaged with the mirrored image's and over scales."""
    several = {"multi_scale_inference": True, "scales": SCALES}
    kinds: dict[str, dict[str, object]] = {
        "flip": {"flip_test": True},
        "three scales": several,
        "flip, three scales": {"flip_test": True, **several},
    }
    skeleton = network.backend.contract.skeleton
    print(f"\n{'averaged over':22}{'AP':>8}{'AP50':>8}{'M':>8}{'L':>8}")
    figures = {}
    for name, changes in kinds.items():
        changed = dataclasses.replace(spec, **changes)
        scenes = network_scenes(subset, network, changed)
        decode = predictor_of(network.backend, changed).decoder
        metrics = average_precision(scenes, decode, subset.dataset, skeleton)
        print(f"{name:22}{_columns(metrics)}")
        figures[name] = _figures(metrics)
    return figures


def _ceiling(subsets: list[Subset], skeleton: Skeleton, height: int) -> dict[str, float]:
    """AP of the labels, drawn and decoded: ours, and the better of the two x8 ways."""
    dataset = both_subsets(subsets)
    scenes: list[Scene] = drawn_scenes(dataset, skeleton, height)

    def reached(decode: Decoder | X8Decoder) -> float:
        return _percent(average_precision(scenes, decode, dataset, skeleton).ap)

    x8 = [X8Decoder(skeleton), X8Decoder(skeleton, find_peaks_with_opencv)]
    return {"ours": reached(Decoder(skeleton)), "x8_reference": max(map(reached, x8))}


def _at(spec: InferenceSpec, height: int) -> InferenceSpec:
    """The spec for images of this height, their width in proportion, at one scale, unflipped."""
    return dataclasses.replace(
        spec,
        input_shape=[height, height],
        keep_aspect_ratio_mode="fit_height",
        multi_scale_inference=False,
        flip_test=False,
    )


def _figures(metrics: CocoMetrics) -> dict[str, float]:
    return {name: _percent(getattr(metrics, name)) for name in ("ap", "ap50", "ap_m", "ap_l")}


def _columns(metrics: CocoMetrics) -> str:
    return "".join(f"{value:8.2f}" for value in _figures(metrics).values())


def _percent(value: float) -> float:
    return round(100 * value, 2)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="COCO folder with train and val")
    parser.add_argument("--model", type=Path, required=True, help="a PAF network, ONNX or Keras")
    parser.add_argument(
        "-i", "--inference_spec", type=Path, required=True, help="how the network wants its pixels"
    )
    parser.add_argument("--height", type=int, default=368, help="of the input on val, pixels")
    parser.add_argument(
        "--heights", type=int, nargs="+", default=HEIGHTS, help="of ceiling and ablation, pixels"
    )
    parser.add_argument("--images", type=int, help="only the first so many of each subset")
    parser.add_argument("--averaged", action="store_true", help="also flip test and three scales")
    parser.add_argument("--ablation", action="store_true", help="compare settings on train instead")
    parser.add_argument(
        "--only", nargs="+", choices=VARIANTS, help="of the ablation; default: all", metavar="ROW"
    )
    parser.add_argument("--threads", type=int, help="of the network; default: all cores")
    parser.add_argument("--json", action="store_true", help="end with a line of JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
