"""DESIGN section 3: imports point one way, and the heavy ones stand only where they may."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from bpnet.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bpnet"

LAYERS = [  # outermost first; a module imports from the layers below its own
    {"__main__"},
    {"cli"},
    {"commands"},
    {"training", "export"},
    {"inference"},
    {"diagnosis"},
    {"evaluation", "drawing", "report", "sheet", "charts"},
    {"decode", "encode", "model", "data"},
    {"pose"},
    {"spec"},
    {"encryption", "files"},
    {"errors"},
]
TENSORFLOW = {"tensorflow", "keras"}
MAY_IMPORT_TENSORFLOW = (
    "data.records",
    "data.storage",  # for addresses such as gs://bucket only, when one is opened
    "data.augment",
    "data.pipeline",
    "data.image_check",
    "data.images",  # the pipeline's half that decodes and crops
    "encode",
    "model.",
    "training.",
    "inference.keras_backend",
    "export.onnx",
)
READS_THE_TABLE = {
    "commands.quickstart": {"cli"},  # runs command lines as a user would, one after the other
    "commands.completion": {"cli"},  # completes every command
}
LIGHT = {
    "spec": {"numpy", "cv2", "tensorflow", "keras"},
    "errors": {"yaml"},
    "encryption": {"numpy"},
}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Every module named in an import that can run, those inside functions included."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and is_for_types(node)]
    skipped = {inner for node in for_types for child in node.body for inner in ast.walk(child)}
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            assert node.module is not None
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_for_types(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


MODULES = {module_name(path): imports_of(path) for path in sorted(PACKAGE.rglob("*.py"))}
NAMED = {name: imports for name, imports in MODULES.items() if name}


def our_imports(name: str) -> set[str]:
    """The modules of ours, without the package's name, that a module imports."""
    found = set()
    for imported in MODULES[name]:
        parts = imported.split(".")
        if parts[0] == "bpnet":
            inner = [".".join(parts[1:end]) for end in range(len(parts), 1, -1)]
            found |= set([module for module in inner if module in NAMED][:1])
    return found


def layer_of(name: str) -> int:
    top = name.partition(".")[0]
    return next(i for i, layer in enumerate(LAYERS) if top in layer)


def test_every_module_has_a_layer():
    known = set().union(*LAYERS)
    assert {name.partition(".")[0] for name in NAMED} <= known


def test_the_tests_own_eyes_see_imports_inside_functions(tmp_path):
    source = tmp_path / "a.py"
    source.write_text(
        "if TYPE_CHECKING:\n    import keras\n"
        "def f():\n    import cv2.dnn\n    from bpnet.pose import maps\n"
    )
    assert imports_of(source) == {"cv2.dnn", "bpnet.pose.maps"}


@pytest.mark.parametrize("name", NAMED)
def test_imports_point_one_way(name):
    for imported in our_imports(name) - READS_THE_TABLE.get(name, set()):
        same_folder = name.partition(".")[0] == imported.partition(".")[0]
        assert same_folder or layer_of(imported) > layer_of(name), f"{name} imports {imported}"


def test_there_are_no_cycles():
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name not in done:
            for imported in sorted(our_imports(name) - {name}):
                visit(imported, (*above, name))
            done.add(name)

    for name in NAMED:
        visit(name, ())


@pytest.mark.parametrize("name", NAMED)
def test_tensorflow_stands_only_where_it_may(name):
    heavy = {imported.partition(".")[0] for imported in MODULES[name]} & TENSORFLOW
    assert not heavy or f"{name}.".startswith(MAY_IMPORT_TENSORFLOW), f"{name} imports {heavy}"


@pytest.mark.parametrize("name", [name for name in NAMED if name.partition(".")[0] in LIGHT])
def test_light_layers_stay_light(name):
    barred = LIGHT[name.partition(".")[0]]
    assert not {imported.partition(".")[0] for imported in MODULES[name]} & barred


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([c, "--help"] for c in COMMANDS)]
)
def test_help_imports_nothing_heavy(arguments):
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bpnet", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    modules = [line.rpartition("|")[2].strip() for line in run.stderr.splitlines()]
    heavy = {module.partition(".")[0] for module in modules}
    assert not heavy & {"numpy", "tensorflow", "keras", "cv2", "onnxruntime", "yaml"}
    if len(arguments) == 1:
        assert not [module for module in modules if module.startswith("bpnet.commands.")]


SOURCES = [
    path
    for folder in ("bpnet", "tests", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".pyi", ".cpp", ".h"}
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_fit_in_a_head(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 330
