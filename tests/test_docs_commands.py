"""What README and documentation tell to type is real: commands, options, files, keys, Python."""

import ast
import importlib
import re
import subprocess
from pathlib import Path

import pytest
from documents import BLOCK, DOCS, MARKS, PAGES, REPOSITORY, blocks, bpnet_arguments, reference

from bpnet import cli
from bpnet.errors import SpecError
from bpnet.spec.dataset import DatasetSpec, SkeletonFile
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.reader import parse_spec
from bpnet.spec.train import BpNetTrainer

SHELL = [(f"{block}: {line}", line) for block in blocks("bash") for line in block.lines()]
COMMANDS = [pytest.param(line, id=name) for name, line in SHELL if bpnet_arguments(line)]
SCRIPT = re.compile(
    r"\bpython3? ((?:benchmarks|docs|notebooks|release|examples)/\w+\.py\b[^`#|<>;&]*)"
)
SCRIPTS = sorted(
    {found for _, line in SHELL for found in SCRIPT.findall(line)}
    | {
        found
        for page in PAGES
        for code in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page.read_text(encoding="utf-8"))
        for found in SCRIPT.findall(code)
    }
)
LINE = re.compile(r"(?:\$ )?(?:bpnet|python3?|pip|make|docker|cmake|release/\w+)\b")
SPECS = [block for kind in ("yaml", "json") for block in blocks(kind)]
FOLDERS = "specs|data_pose_config|model_pose_config|benchmarks|examples|docs|release|notebooks"
FILE = re.compile(rf"(?<![\w/.-])(?:{FOLDERS})/[\w./-]*\w\.\w+")
reference()
from reference_specs import keys  # noqa: E402

KINDS = (BpNetTrainer, InferenceSpec, DatasetSpec, SkeletonFile)
KEYS = {"SECTION.KEY"} | {key for kind in KINDS for key in keys(kind)}
PARSERS = {name: cli.command_parser(name) for name in cli.COMMANDS}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_line_parses(line):
    arguments = bpnet_arguments(line)
    name, *rest = cli._without_launcher(arguments)
    if name.startswith("-"):
        assert name in ("--help", "--version")
        return
    if "--help" in rest:
        rest.remove("--help")
        assert not [word for word in rest if word.startswith("-")]
        return
    args = PARSERS[name].parse_args(rest)  # says why, and exits, where it cannot
    changed = {text.partition("=")[0] for text in getattr(args, "overrides", [])}
    assert changed - KEYS == set()


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("bpnet show -e 'a b.yaml' > log.txt 2>&1", ["show", "-e", "a b.yaml"]),
        ("BPNET_KEY=k bpnet doctor | less", ["doctor"]),
        ("docker run --gpus all bpnet train -e a.yaml", ["train", "-e", "a.yaml"]),
        ("bpnet tao model bpnet train", ["tao", "model", "bpnet", "train"]),
        ("docker build -t bpnet .", None),
        ("pip install .", None),
    ],
)
def test_what_of_a_line_is_the_command(line, arguments):
    assert bpnet_arguments(line) == arguments


def test_commands_stand_in_blocks_that_are_read_as_such():
    commands = re.compile(r"^(?:\$ )?bpnet [a-z_]+ (?:\w+ )?-{1,2}\w", re.MULTILINE)
    wrong = [
        str(block)
        for block in blocks()
        if block.language not in ("bash", "text") and commands.search(block.text)
    ]
    prompts = [name for name, line in SHELL if line.startswith("$ ")]
    assert wrong + prompts == []


def test_every_block_is_fenced_and_of_a_known_language():
    """Code that is indented or fenced otherwise would be seen by no test."""
    languages = {"bash", "python", "yaml", "json", "text", "{toctree}"}
    odd = [str(block) for block in blocks() if block.language not in languages]
    for page in PAGES:
        prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
        odd += re.findall(r"^\s*(?:~~~|```).*$|^<pre.*$", prose, re.MULTILINE)
        odd += [text for text in re.findall(r"\n\n(?: {4}|\t)(.*)", prose) if LINE.match(text)]
    assert odd == []


def test_every_page_of_the_repository_is_read():
    of_bundles = REPOSITORY / "bpnet" / "export" / "deployment"  # their tests fill them in
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a clone of the repository")
    there = {REPOSITORY / name for name in listed.stdout.splitlines()}
    assert {page for page in there if of_bundles not in page.parents} <= set(PAGES)


@pytest.mark.parametrize("line", SCRIPTS)
def test_a_script_has_the_options_that_a_line_gives_it(line):
    script, *words = line.split()
    source = (REPOSITORY / script).read_text(encoding="utf-8")
    given = {word for word in words if re.match(r"--?[a-z]", word)}
    known = set(re.findall(r"add_argument\(\s*((?:\"-[\w-]+\",?\s*)+)", source))
    names = {name for group in known for name in re.findall(r"-[\w-]+", group)}
    assert given - names - {"-h", "--help"} == set()


def test_every_mark_of_a_block_is_known():
    marks = {str(block): block.mark for block in blocks() if block.mark}
    assert {
        where: mark
        for where, mark in marks.items()
        if mark not in MARKS and not mark.startswith("file: ")
    } == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_file_of_the_repository_that_is_named_exists(page):
    named = set(FILE.findall(page.read_text(encoding="utf-8")))
    assert {name for name in named if not (REPOSITORY / name).exists()} == set()


def test_every_make_target_exists():
    """In the repository's Makefile, or in the one of a bundle that export writes."""
    files = [REPOSITORY / "Makefile", REPOSITORY / "bpnet" / "export" / "deployment" / "Makefile"]
    made = set(re.findall(r"^([a-z-]+):", "\n".join(map(Path.read_text, files)), re.MULTILINE))
    words = [line.split() for _, line in SHELL if line.startswith("make ")]
    assert {target for _, *more in words for target in more if "=" not in target} - made == set()


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_is_python_and_imports_what_is_there(block):
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bpnet"):
            module = importlib.import_module(node.module)
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


@pytest.mark.parametrize("block", SPECS, ids=str)
def test_a_spec_or_a_part_of_one_is_read_without_a_fault(block):
    """Parts lack keys that a whole file must have; nothing else may be wrong."""
    faults = {}
    for kind in KINDS:
        try:
            parse_spec(block.text, kind, source=f"block.{block.language}")
        except SpecError as error:
            said = [line for line in str(error).splitlines() if "block." in line]
            faults[kind.__name__] = [
                line
                for line in said
                if "missing, and required" not in line and "faults in" not in line
            ]
        else:
            return
    assert [] in faults.values(), faults


def test_the_readme_and_the_pages_are_read():
    assert len(PAGES) > 20
    assert len(COMMANDS) > 100
    assert DOCS / "start.md" in PAGES
