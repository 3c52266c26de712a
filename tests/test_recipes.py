"""The recipes for GPUs say what their networks cost."""

import re
from pathlib import Path

import pytest

from bpnet.model.description import describe_network
from bpnet.model.network import build_network
from bpnet.spec.reader import read_spec
from bpnet.spec.train import BpNetTrainer

RECIPES = sorted((Path(__file__).resolve().parents[1] / "specs").glob("bpnet_train_*gpu.yaml"))
RECORDS = 115_250
ROW = re.compile(r"# +(?:(\d) x )?\w+ +(\d+) TFLOP/s +([\d,]+) images/s +([\d.]+) h")


def test_there_are_recipes_for_one_gpu_and_for_eight():
    names = {path.stem.removeprefix("bpnet_train_") for path in RECIPES}
    assert {"coco_1gpu", "coco_8gpu", "paf_first_coco_1gpu", "paf_first_coco_8gpu"} <= names


@pytest.mark.parametrize("path", [x for x in RECIPES if "1gpu" in x.name], ids=lambda x: x.stem)
def test_the_operations_of_a_recipe_are_counted(path):
    spec = read_spec(path, BpNetTrainer)
    said = float(re.search(r"([\d.]+) GFLOPs an image forward", path.read_text())[1])
    dims = spec.dataloader.image_config.image_dims

    counted = describe_network(build_network(spec.model), dims.height, dims.width).gflops

    assert said == pytest.approx(counted, abs=0.05)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_hours_of_a_recipe_follow_from_its_operations(path):
    text = path.read_text()
    spec = read_spec(path, BpNetTrainer)
    gflops = float(re.search(r"([\d.]+) GFLOPs an image forward", text)[1])
    rows = ROW.findall(text)

    assert len(rows) >= 2
    for gpus, peak, rate, hours in rows:
        flops = 0.25 * float(peak) * 1e12 * (0.9 * int(gpus) if gpus else 1)
        expected = flops / (3e9 * gflops)
        assert float(rate.replace(",", "")) == pytest.approx(expected, rel=0.01)
        assert float(hours) == pytest.approx(spec.num_epoch * RECORDS / expected / 3600, abs=0.06)


def test_eight_gpus_see_the_batches_that_one_sees():
    one, eight = (
        read_spec(next(x for x in RECIPES if x.stem == f"bpnet_train_{name}"), BpNetTrainer)
        for name in ("paf_first_coco_1gpu", "paf_first_coco_8gpu")
    )
    assert one.model == eight.model
    assert one.dataloader == eight.dataloader
