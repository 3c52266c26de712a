"""The text of a model card, section by section, in the order of NVIDIA's cards on NGC."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bpnet import __version__
from bpnet.commands.card_facts import Measured, Model, Training
from bpnet.commands.card_figures import (
    accuracy_table,
    errors_table,
    keypoint_table,
    label_of,
    main_of,
    measured_limits,
    precision_table,
    protocol_table,
    speed_table,
)
from bpnet.commands.card_markdown import listed, table

NOT_STATED = "*Not stated.*"
REFERENCES = (
    "Z. Cao, T. Simon, S.-E. Wei, Y. Sheikh. Realtime Multi-Person 2D Pose Estimation using Part "
    "Affinity Fields. CVPR 2017.",
    "T.-Y. Lin et al. Microsoft COCO: Common Objects in Context. ECCV 2014. Keypoint evaluation: "
    "https://cocodataset.org/#keypoints-eval",
)


@dataclass(frozen=True)
class Words:
    """What no file knows; None or nothing: nobody said."""

    name: str
    version: str | None = None
    authors: str | None = None
    licence: str | None = None
    data: str | None = None
    data_licence: str | None = None
    intended_use: str | None = None
    limits: tuple[str, ...] = ()
    ethics: str | None = None
    references: tuple[str, ...] = ()


def write_card(
    models: Sequence[Model],
    *,
    training: Training,
    evaluations: Sequence[Measured],
    benchmarks: Sequence[Mapping[str, Any]],
    words: Words,
) -> tuple[str, list[str]]:
    """The card as Markdown, and what it does not state, each with the option that says it.

    Args:
        models: The model, then its variants.
        training: How it was trained.
        evaluations: Of any of them, or of the network that they were exported from.
        benchmarks: Files of ``bpnet benchmark --json``.
        words: What no file knows.
    """
    missing: list[str] = []
    sections = (
        _overview(models[0], words, missing),
        _architecture(models[0], training),
        _training(models, training, words, missing),
        _performance(models, evaluations, benchmarks, missing),
        _use(models[0]),
        _limits(main_of(models, evaluations), words, missing),
        _versions(models),
        ["## References", "", *listed([*REFERENCES, *words.references])],
        _licence(models[0], words, missing),
        _ethics(words, missing),
        [f"*Made by bpnet {__version__} from the model's metadata and results.*"],
    )
    lines: list[str] = []
    for section in sections:
        lines += [*section, ""]
    return "\n".join(lines).rstrip() + "\n", missing


def _stated(text: str | None, what: str, missing: list[str]) -> str:
    if not text:
        missing.append(what)
        return NOT_STATED
    return text


def _overview(model: Model, words: Words, missing: list[str]) -> Iterator[str]:
    contract = model.contract
    skeleton = contract.skeleton
    yield f"# {words.name} model card"
    yield ""
    yield "## Model overview"
    yield ""
    yield (
        f"The model finds the {len(skeleton.keypoints)} keypoints of every instance of "
        f"`{skeleton.name}` in an image, bottom-up: one run of the network for all of them."
    )
    yield ""
    rows = [
        ("version", _stated(words.version, "version (--model_version)", missing)),
        ("authors", _stated(words.authors, "authors (--authors)", missing)),
        ("intended use", _stated(words.intended_use, "intended use (--intended_use)", missing)),
    ]
    yield from table(("", ""), rows)


def _architecture(model: Model, training: Training) -> Iterator[str]:
    contract, extra = model.contract, model.contract.extra
    skeleton = contract.skeleton
    yield "## Model architecture"
    yield ""
    yield (
        "A fully convolutional network with two outputs: heatmaps, one for each keypoint and one "
        "for the background, and part affinity fields, two channels for each limb. A decoder reads "
        "the instances off them; it is part of bpnet, not of the network."
    )
    yield ""
    rows = [("parameters", _thousands(extra.get("parameters", "")))]
    if extra.get("parameters_before_pruning"):
        rows.append(("before pruning", _thousands(extra["parameters_before_pruning"])))
    if training.spec is not None:
        network = training.spec.model
        rows.append(("backbone", network.backbone_attributes.architecture))
        rows += [
            (item.name.replace("_", " "), str(getattr(network, item.name)))
            for item in dataclasses.fields(network)
            if item.name.endswith("stages")
        ]
    rows += [
        ("keypoints", ", ".join(skeleton.keypoints)),
        ("limbs", _limbs(model)),
        ("pixels a cell", f"heatmaps {contract.heatmap_stride:g}, PAFs {contract.paf_stride:g}"),
    ]
    yield from table(("", ""), [(title, text or NOT_STATED) for title, text in rows])


def _limbs(model: Model) -> str:
    skeleton = model.contract.skeleton
    pairs = (f"{skeleton.keypoints[a]}-{skeleton.keypoints[b]}" for a, b in skeleton.limbs)
    return ", ".join(pairs)


def _thousands(text: str) -> str:
    return f"{int(text):,}" if text.isdecimal() else text


def _training(
    models: Sequence[Model], training: Training, words: Words, missing: list[str]
) -> Iterator[str]:
    yield "## Training"
    yield ""
    yield "### Training algorithm"
    yield ""
    yield (
        "The network learns to draw heatmaps and part affinity fields; the loss is the squared "
        "difference to drawn targets, where the data labels everybody. The settings:"
    )
    yield ""
    if training.spec is None:
        yield _stated(None, "the training spec (--training)", missing)
    else:
        yield from table(("setting", "value"), _settings(training))
    yield ""
    yield "### Training data"
    yield ""
    data = words.data
    if data is None and training.spec is not None:
        data = ", ".join(training.spec.dataloader.dataset_config.dataset_specs)
    extra = models[0].contract.extra
    licence = words.data_licence or extra.get("data_licence")
    rows = [
        ("data", _stated(data, "training data (--data)", missing)),
        ("terms", _stated(licence, "terms of the data (--data_licence)", missing)),
    ]
    yield from table(("", ""), rows)


def _settings(training: Training) -> Iterator[tuple[str, str]]:
    """The settings of training that matter most, and where it ended."""
    spec = training.spec
    assert spec is not None
    loader, optimizer = spec.dataloader, spec.optimizer
    dims = loader.image_config.image_dims
    yield "input", f"{dims.height} x {dims.width}"
    yield "batch", f"{loader.batch_size} on each device"
    epoch, last = training.last.get("epoch"), training.last.get("max_epoch", spec.num_epoch)
    yield "epochs", f"{last}" if epoch in (None, last) else f"{epoch} of {last}"
    yield "optimizer", type(optimizer).__name__
    yield "learning rate", type(optimizer.learning_rate_schedule).__name__
    yield "augmentation", str(loader.augmentation_config.spatial_augmentation_mode)
    yield "random seed", str(spec.random_seed)
    if spec.loss.distillation is not None:
        yield "teacher", str(spec.loss.distillation.teacher).rpartition("/")[2]
    if spec.pretrained_weights:
        yield "starts from", str(spec.pretrained_weights).rpartition("/")[2]
    if "ap" in training.last:
        yield "AP while training", f"{100 * training.last['ap']:.1f}"


def _performance(
    models: Sequence[Model],
    evaluations: Sequence[Measured],
    benchmarks: Sequence[Mapping[str, Any]],
    missing: list[str],
) -> Iterator[str]:
    yield "## Performance"
    yield ""
    yield "### Evaluation data, methodology and KPI"
    yield ""
    if evaluations:
        yield "COCO's keypoint metrics (OKS), in points, over as many images as the table says."
        yield ""
        yield from accuracy_table(models, evaluations)
        yield ""
        yield from protocol_table(models, evaluations)
        main = main_of(models, evaluations)
        assert main is not None
        for title, lines in (("Keypoints", keypoint_table(main)), ("Errors", errors_table(main))):
            if lines:
                yield ""
                yield f"{title}, of {label_of(main, models)}:"
                yield ""
                yield from lines
    else:
        yield _stated(None, "accuracy (--evaluation)", missing)
    yield ""
    yield "### Precisions"
    yield ""
    yield from precision_table(models, evaluations)
    yield ""
    yield "### Real-time inference performance"
    yield ""
    rows = speed_table(models, benchmarks)
    if rows:
        yield from rows
    else:
        yield _stated(None, "speed (--benchmark)", missing)


def _use(model: Model) -> Iterator[str]:
    contract = model.contract
    size = "any size" if contract.height is None else f"{contract.height} x {contract.width}"
    scale = ", ".join(f"{value:g}" for value in contract.image_scale)
    offset = ", ".join(f"{value:g}" for value in contract.image_offset)
    yield "## How to use this model"
    yield ""
    yield from (
        "```bash",
        f"bpnet inference -m {model.path.name} --input_type dir --input photos -r results",
        "```",
        "",
    )
    rows = [
        ("input", f"`{contract.input_name}`, {size} (H x W), {contract.layout.upper()}"),
        ("pixels", f"{contract.channel_order.upper()}, (0 to 255) / [{scale}] - [{offset}]"),
        ("outputs", f"`{contract.heatmap_output}`, `{contract.paf_output}`"),
        (
            "channels",
            f"{contract.skeleton.heatmap_channels} and {contract.skeleton.paf_channels}",
        ),
        (
            "thresholds",
            f"keypoints {contract.heatmap_threshold:g}, PAFs {contract.paf_threshold:g}",
        ),
    ]
    yield from table(("", ""), rows)


def _limits(main: Measured | None, words: Words, missing: list[str]) -> Iterator[str]:
    yield "## Limitations"
    yield ""
    found = [*words.limits]
    if main is not None:
        found += measured_limits(main)
    if found:
        yield from listed(found)
    else:
        yield _stated(None, "limits (--limit, --evaluation)", missing)


def _versions(models: Sequence[Model]) -> Iterator[str]:
    yield "## Model versions"
    yield ""
    rows = [
        (f"`{model.path.name}`", model.contract.precision, f"`{model.sha256}`") for model in models
    ]
    yield from table(("file", "precision", "SHA-256"), rows)


def _licence(model: Model, words: Words, missing: list[str]) -> Iterator[str]:
    licence = words.licence or model.contract.extra.get("model_licence")
    yield "## Licence"
    yield ""
    yield f"Weights: {_stated(licence, 'licence of the weights (--licence)', missing)}"
    yield ""
    yield "bpnet, which trains and runs them: Apache-2.0."


def _ethics(words: Words, missing: list[str]) -> Iterator[str]:
    yield "## Ethical considerations"
    yield ""
    yield _stated(words.ethics, "ethical considerations (--ethics)", missing)
