"""A key of a spec either does something or says that it does nothing."""

import ast
import dataclasses
from pathlib import Path

import pytest

from bpnet.spec import dataloader, dataset, inference, network, optimizer, tracker, train

PACKAGE = Path(__file__).resolve().parents[1] / "bpnet"

SETTINGS = [
    pytest.param(kind, item, id=f"{kind.__name__}.{item.name}")
    for module in (train, dataloader, network, optimizer, inference, tracker, dataset)
    for kind in vars(module).values()
    if dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
    for item in dataclasses.fields(kind)
]
ABOUT_THE_FILE = {"supercategory", "id"}  # COCO's own keys, which say nothing about training


def attributes_read() -> set[str]:
    """Every name that stands after a dot in the package, its spec folder aside."""
    read = set()
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name != "spec":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            read |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return read


READ = attributes_read()


@pytest.mark.parametrize(("kind", "item"), SETTINGS)
def test_every_key_is_documented(kind, item):
    assert item.metadata["doc"].endswith((".", "true", "false"))


@pytest.mark.parametrize(("kind", "item"), SETTINGS)
def test_every_key_is_read_somewhere_or_says_that_it_has_no_effect(kind, item):
    only_one_value = len(item.metadata["choices"] or ()) == 1
    read = item.name in READ | ABOUT_THE_FILE
    assert read or only_one_value or item.metadata["no_effect"]
