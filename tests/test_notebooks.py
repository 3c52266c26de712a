"""The notebooks are valid, hold no outputs, and their command lines are what bpnet understands.

``BPNET_NOTEBOOKS=1 pytest tests/test_notebooks.py`` executes them too, small, in many minutes.
"""

import ast
import json
import os
import re
import shlex
import string
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from bpnet.cli import command_parser
from bpnet.commands.quickstart_specs import write_specs

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / "notebooks"
NOTEBOOKS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.ipynb"))}
IN_CELLS = r"\A%%bash[^\n]*\n(.*)"
IN_TEXT = r"```bash\n(.*?)```"
EXECUTED = "BPNET_NOTEBOOKS"

Cell = dict[str, Any]


def cells_of(name: str, kind: str) -> list[Cell]:
    return [cell for cell in NOTEBOOKS[name]["cells"] if cell["cell_type"] == kind]


def text_of(cell: Cell) -> str:
    return "".join(cell["source"])


def commands_of(name: str) -> list[str]:
    """Every command line of bpnet, in cells that run and in blocks of text that do not."""
    blocks = [
        block
        for kind, pattern in (("code", IN_CELLS), ("markdown", IN_TEXT))
        for cell in cells_of(name, kind)
        for block in re.findall(pattern, text_of(cell), flags=re.DOTALL)
    ]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("bpnet ")]


def settings_of(name: str) -> dict[str, str]:
    """What the first code cell puts into the environment."""
    tree = ast.parse(text_of(cells_of(name, "code")[0]))
    tree.body = [
        node
        for node in tree.body
        if isinstance(node, ast.Expr | ast.Assign)
        and "environ" in ast.unparse(node)
        and "PATH" not in ast.unparse(node)
    ]
    environment: dict[str, str] = {}
    names = {"os": SimpleNamespace(environ=environment), "Path": Path}
    exec(compile(tree, name, "exec"), names)
    return environment


def run_python(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def strip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_python("strip.py", *arguments)


def run_notebooks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_python("run.py", *arguments)


OTHER_SETTINGS = {"MINUTES": "1", "RETRAIN_MINUTES": "1", "PHOTOS": "1"}
LINES = [(name, line) for name in NOTEBOOKS for line in commands_of(name)]


def test_there_are_notebooks_with_commands() -> None:
    assert {name for name, _ in LINES} == set(NOTEBOOKS)
    assert len(NOTEBOOKS) == 5


@pytest.mark.parametrize(("name", "line"), LINES)
def test_a_command_of_a_notebook_parses(name: str, line: str) -> None:
    words = shlex.split(string.Template(line).substitute(settings_of(name)))
    command_parser(words[1]).parse_args(words[2:])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_valid(name: str) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.read(FOLDER / f"{name}.ipynb", as_version=nbformat.NO_CONVERT))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_cells_of_a_notebook_have_names_of_their_own(name: str) -> None:
    assert (NOTEBOOKS[name]["nbformat"], NOTEBOOKS[name]["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in NOTEBOOKS[name]["cells"]]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w-]{1,64}", name, flags=re.ASCII) for name in names)


def test_the_notebooks_hold_nothing_that_running_them_leaves() -> None:
    run = strip("--check")
    assert run.stdout == ""
    assert run.returncode == 0


def test_a_notebook_that_was_run_is_stripped_to_what_it_was(tmp_path: Path) -> None:
    before = FOLDER / "3_custom_skeleton.ipynb"
    notebook = json.loads(before.read_text())
    code = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    code["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["/home/me"]}]
    code |= {"execution_count": 3, "metadata": {"execution": {"iopub.execute_input": "now"}}}
    notebook["metadata"]["language_info"]["version"] = "3.13.1"
    path = tmp_path / "run.ipynb"
    path.write_text(json.dumps(notebook))
    assert strip("--check", str(path)).returncode == 1
    assert strip(str(path)).stdout == f"{path}\n"
    assert path.read_text() == before.read_text()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_command_that_fails_ends_its_cell(name: str) -> None:
    for cell in cells_of(name, "code"):
        first = text_of(cell).partition("\n")[0]
        assert first == "%%bash -e" or not first.startswith("%%")
        assert not re.search(r"^\s*!", text_of(cell), flags=re.MULTILINE)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_python_of_a_notebook_compiles(name: str) -> None:
    for cell in cells_of(name, "code"):
        text = re.sub(r"^%(?!%).*$", "", text_of(cell), flags=re.MULTILINE)
        if not text.startswith("%%"):
            compile(text, name, "exec")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_links_of_a_notebook_lead_somewhere(name: str) -> None:
    text = "\n".join(map(text_of, cells_of(name, "markdown")))
    headings = {
        line.lstrip("# ").replace(" ", "-") for line in text.splitlines() if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings
        else:
            assert (FOLDER / target).is_file()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_file_of_the_repository_that_a_notebook_names_exists(name: str) -> None:
    text = "\n".join(text_of(cell) for cell in NOTEBOOKS[name]["cells"])
    for path in re.findall(r"(?<![\w/])(?:specs|data_pose_config|model_pose_config)/[\w.]+", text):
        assert (REPOSITORY / path).is_file()


def test_the_quickstart_notebook_puts_files_where_its_specs_look(tmp_path: Path) -> None:
    paths = write_specs(tmp_path, seed=1)
    lines = [
        shlex.split(string.Template(line).substitute(RESULTS=tmp_path, **OTHER_SETTINGS))
        for line in commands_of("1_quickstart")
    ]
    flags = {word for words in lines for word in words if word.startswith(f"{tmp_path}/specs/")}
    assert flags <= set(map(str, paths.values()))
    (prune,) = [words for words in lines if words[1] == "prune"]
    retrain = yaml.safe_load(paths["retrain"].read_text())
    assert prune[prune.index("-o") + 1] == retrain["pretrained_weights"]


def test_every_setting_of_a_small_run_is_one_of_a_notebook() -> None:
    tree = ast.parse((FOLDER / "run.py").read_text())
    small = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SMALL"
    )
    known = set().union(*(settings_of(name) for name in NOTEBOOKS))
    assert set(small) <= known


def test_a_cell_that_fails_ends_the_run(tmp_path: Path) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    run = run_notebooks("4_int8_export", "--results", str(tmp_path / "out"))  # without the first
    assert run.returncode == 1
    assert "run 1_quickstart.ipynb first" in run.stderr
    assert "run 1_quickstart.ipynb first" in (tmp_path / "out" / "4_int8_export.ipynb").read_text()


@pytest.mark.skipif(EXECUTED not in os.environ, reason=f"set {EXECUTED}=1 to execute notebooks")
def test_the_notebooks_run_to_their_ends(tmp_path: Path) -> None:
    pytest.importorskip("nbclient")
    run = run_notebooks("--results", str(tmp_path))
    assert run.returncode == 0, run.stderr
    assert {path.stem for path in tmp_path.glob("*.ipynb")} == set(NOTEBOOKS)
