"""What the pages of deployment, architecture and how it works say is what the code does."""

import re
from pathlib import Path

import pytest
from bundles import CONTRACT, write_network
from test_layers import LAYERS

from bpnet.cli import command_parser, main
from bpnet.decode import DecoderSettings
from bpnet.export.bundle import write_bundle
from bpnet.export.calibration import METHODS
from bpnet.export.calibration_cache import write_cache
from bpnet.export.choices import FORMS
from bpnet.export.onnx import PLAIN_NAMES, TAO_NAMES
from bpnet.export.verify import MAXIMUM_DROP, MAXIMUM_ERROR, MEAN_ERROR
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.network import BackboneAttributes
from bpnet.spec.tracker import TrackerSettings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
CODE = re.compile(r"`([^`\n]+)`")
BLOCK = re.compile(r"```.*?```", re.DOTALL)


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def table(name: str, title: str) -> list[list[str]]:
    """The rows of the table of a page whose first heading cell is ``title``."""
    head = f"| {title} |"
    (start,) = [place.start() for place in re.finditer(re.escape(head), page(name))]
    lines = page(name)[start:].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(text: str) -> list[str]:
    return CODE.findall(BLOCK.sub("", text))


def test_the_decoders_defaults_are_those_of_its_page():
    ours, tao = DecoderSettings(), DecoderSettings.tao()
    rows = {names(row[0])[0]: row[1:3] for row in table("how_it_works/decoder", "key")}
    for key in ("heatmap_threshold", "paf_threshold"):
        assert [float(x) for x in rows[key]] == [getattr(ours, key), getattr(tao, key)]
    for key in ("min_keypoints", "min_mean_score", "small_person"):
        said = [float(x) for x in rows[f"decoder.{key}"]]
        assert said == pytest.approx([getattr(ours, key), getattr(tao, key)])
    spec = InferenceSpec()
    assert (spec.flip_test, spec.multi_scale_inference, spec.decoder.preset) == (
        rows["flip_test"][0] == "true",
        rows["multi_scale_inference"][0] == "true",
        names(rows["decoder.preset"][0])[0],
    )


@pytest.mark.parametrize("key", ["max_peaks", "min_sample_share", "min_samples", "max_samples"])
def test_the_decoders_page_names_its_other_numbers(key):
    steps = page("how_it_works/decoder").partition("## Why maps")[0]
    assert re.search(rf"(?<![\d.]){getattr(DecoderSettings(), key):g}(?![\d.]\d)", steps)


def test_the_trackers_defaults_are_those_of_its_page():
    shown = {}
    for keys, values, _ in table("how_it_works/tracking", "key"):
        shown |= zip(names(keys), values.split(", "), strict=True)
    defaults = {key: str(value).lower() for key, value in vars(TrackerSettings()).items()}
    assert {key: value.removesuffix(".0") for key, value in defaults.items()} == shown


def test_the_page_of_int8_has_the_limits_methods_and_forms():
    labels, exact, mean = table("how_it_works/int8", "option")
    drops = re.search(r"([\d.]+) point for INT8, ([\d.]+) for others", labels[2])
    assert drops
    assert [float(x) for x in drops.groups()] == [MAXIMUM_DROP["int8"], MAXIMUM_DROP["fp16"]]
    found = [float(x) for x in re.findall(r"\de-\d", exact[2])]
    assert found == [MAXIMUM_ERROR["fp32"], MAXIMUM_ERROR["fp16"]]
    assert float(re.findall(r"\de-\d", mean[2])[0]) == MEAN_ERROR["int8"]
    methods = [names(row[0])[0] for row in table("how_it_works/int8", "`--calibration_method`")]
    assert set(methods) == {*METHODS, "best"}
    forms = [names(row[0])[0] for row in table("how_it_works/int8", "`--int8_form`")]
    assert tuple(forms) == FORMS


def test_the_page_of_pruning_has_every_criterion_and_normalizer():
    options = {action.dest: action for action in command_parser("prune")._actions}
    shown = [names(row[0])[0] for row in table("how_it_works/pruning", "`--criterion`")]
    assert shown == list(options["criterion"].choices)
    assert set(options["normalizer"].choices) <= set(names(page("how_it_works/pruning")))


def test_the_page_of_the_network_has_every_backbone():
    choices = BackboneAttributes.__dataclass_fields__["architecture"].metadata["choices"]
    text = page("how_it_works/network")
    assert all(choice in text or choice.upper() in text for choice in choices)


def test_the_networks_of_the_page_cost_what_it_says(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    for spec, parameters, operations, field in table("how_it_works/network", "spec"):
        assert main(["train", "-e", names(spec)[0], "--dry_run"]) == 0
        said = capsys.readouterr().out
        counted = re.search(
            r"([\d,]+) parameters .*?, ([\d.]+ GFLOPs) an image of (\d+ x \d+)", said
        )
        assert counted
        assert f"{int(counted[1].replace(',', '')) / 1e6:.1f} million" == parameters
        assert f"{counted[2]} at {counted[3]}" == operations
        assert said.rstrip().endswith(field)


def test_the_tensors_of_an_exported_network_have_the_names_of_the_page():
    rows = table("deployment", "| default (`channels_last`)")
    for column, known in ((1, TAO_NAMES), (2, PLAIN_NAMES)):
        shown = [names(row[column])[0] for row in rows]
        assert shown == [known[key] for key in ("input", "paf", "heatmap", "upsampled_paf")]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """A bundle of all that export writes, by its names."""
    folder = tmp_path_factory.mktemp("documented") / "deployment"
    kinds = {
        "fp32": "fp32",
        "fp16": "fp16",
        "int8 onnxruntime": "int8_onnxruntime",
        "int8 tensorrt": "int8_tensorrt",
        "int8+fp16": "int8_fp16",
    }
    files = {
        label: write_network(folder / "models" / f"bpnet_model.{suffix}.onnx", CONTRACT)
        for label, suffix in kinds.items()
    }
    for path in files.values():
        path.with_name(f"{path.name}.json").write_text("{}")
    cache = folder / "models" / "calibration.cache"
    write_cache(cache, {"input_1:0": 0.5}, tensorrt="10.3.0")
    write_bundle(folder, {**files, "calibration cache": cache}, CONTRACT)
    return folder


def test_a_bundle_holds_what_the_page_says_and_nothing_else(bundle):
    patterns = [
        pattern if "/" in pattern or "*" not in pattern else f"models/{pattern}"
        for row in table("deployment", "in the bundle")
        for pattern in names(row[0])
    ]
    matched = set()
    for pattern in patterns:
        found = [*bundle.glob(f"{pattern}**/*" if pattern.endswith("/") else pattern)]
        assert found, pattern
        matched |= set(found)
    files = {path for path in bundle.rglob("*") if path.is_file()}
    assert files - matched == set()


def test_the_configurations_of_the_page_are_those_of_a_bundle(bundle):
    shown = [names(row[0])[0] for row in table("deployment", "configuration")]
    there = {path.stem for path in (bundle / "deepstream").glob("config_*.txt")}
    bare = {name for name in there if not name.endswith("_tensors")}
    assert {name for name in shown if name.startswith("config_")} == bare


def test_the_layers_of_the_map_are_those_that_are_enforced():
    text = page("architecture")
    block = re.search(r"```text\n(cli -> .*?)```", text, flags=re.S)
    assert block
    shown = [set(layer.split(", ")) for layer in re.sub(r"\s+", " ", block[1]).split("->")]
    shown = [{name.strip() for name in layer} for layer in shown]
    assert shown == [layer for layer in LAYERS if layer != {"__main__"}]


def test_every_module_that_the_map_names_is_there():
    folders = sorted(path for path in (ROOT / "bpnet").rglob("*") if path.is_dir())
    named = [
        name for name in names(page("architecture")) if re.fullmatch(r"[\w/]+\.(?:py|cpp|h)", name)
    ]
    places = [ROOT, ROOT / "bpnet", *folders]
    assert len(named) > 30
    assert [name for name in named if not any((place / name).is_file() for place in places)] == []
