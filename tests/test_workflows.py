"""Workflows, ours and those for a user's CI: every command in them is real, and they compare AP."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from documents import REPOSITORY, bpnet_arguments
from spots import write_dataset, write_model, write_spots

from bpnet import cli
from bpnet.errors import ExitCode

OURS = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
EXAMPLES = REPOSITORY / "examples/ci"
GITHUB, GITLAB = EXAMPLES / "github.yml", EXAMPLES / "gitlab.yml"
MATRIX = {"python": "3.12", "machine": "x86_64", "kind": "train", "shard": "1"}
IMAGE = "bpnet:runtime"  # that a workflow builds
PARTS = range(1, 5)


def read(path: Path) -> dict[str, Any]:
    # "on" is a boolean to YAML 1.1, and a word to GitHub.
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def of_github(path: Path, **matrix: str) -> list[str]:
    """Every command of a GitHub workflow, with the variables put in that the workflow sets."""
    document, found = read(path), []
    for job in document["jobs"].values():
        variables = {**document.get("env", {}), **job.get("env", {})}
        for name, value in variables.items():
            variables[name] = re.sub(
                r"\$\{\{ matrix\.(\w+) \}\}", lambda key: {**MATRIX, **matrix}[key[1]], value
            )
        found += [_filled(step["run"], variables) for step in job["steps"] if "run" in step]
    return _split(found)


def of_gitlab(path: Path, index: str = "1") -> list[str]:
    """Every command of a GitLab pipeline, in the job of this number of four."""
    document, found = read(path), []
    jobs = [value for value in document.values() if isinstance(value, dict)]
    sizes = {job["parallel"] for job in jobs if "parallel" in job}
    (total,) = sizes
    variables = {**document["variables"], "CI_NODE_INDEX": index, "CI_NODE_TOTAL": total}
    for job in jobs:
        lines = [*job.get("before_script", []), *job.get("script", [])]
        found += [_filled(line, variables) for line in lines]
    return _split(found)


def _filled(line: str, variables: dict[str, str]) -> str:
    known = {**variables, "PWD": "."}
    return re.sub(r"\$(\w+)", lambda name: known[name[1]], line)


def _split(lines: list[str]) -> list[str]:
    assert not [line for line in lines if "${{" in line]  # would be put into the shell unquoted
    return [part.strip() for line in lines for part in line.split("&&")]


LINES = {
    **{path.name: of_github(path) for path in OURS},
    "examples/ci/github.yml": of_github(GITHUB),
    "examples/ci/gitlab.yml": of_gitlab(GITLAB),
}
EVERY = [pytest.param(line, id=f"{name}: {line}") for name in LINES for line in LINES[name]]


def bpnet_line(line: str) -> list[str] | None:
    if line.startswith("docker run") and f" {IMAGE} " in line and "--entrypoint" not in line:
        return shlex.split(line.partition(f" {IMAGE} ")[2])
    return bpnet_arguments(line)


@pytest.mark.parametrize("line", EVERY)
def test_a_command_of_a_workflow_is_real(line: str) -> None:
    arguments, words = bpnet_line(line), shlex.split(line)
    if arguments is not None:
        name, *rest = arguments
        cli.command_parser(name).parse_args(rest)  # exits where it cannot
    elif words[0] == "make":
        makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
        for word in words[1:]:
            name, is_variable, _ = word.partition("=")
            assert re.search(rf"^{name} *[?:]?=" if is_variable else rf"^{name}:", makefile, re.M)
    elif words[0] == "pip":
        extras = re.findall(r"bpnet\[(\w+)\]", line)
        project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
        assert [name for name in extras if not re.search(rf"^{name} = \[", project, re.M)] == []
    else:
        assert words[0] in (
            "docker",
            ".venv/bin/python",
            "ci/fetch_val2017",
            "release/test_wheel",
        )
    files = re.findall(r"(?<![\w-])(?:release|notebooks)/[\w.-]+|ci/fetch_val2017", line)
    assert [name for name in files if not _of_repository(name).is_file()] == []


def _of_repository(name: str) -> Path:
    return REPOSITORY / ("examples" if name.startswith("ci/") else "") / name


def test_the_workflows_hold_the_commands_that_matter() -> None:
    ours = {line for path in OURS for line in LINES[path.name]}
    assert {"make check PYTHON=python3.11", 'make test PYTHON="python3.12"'} <= ours
    assert any(line.startswith("make ci-full") for line in ours)
    assert any("release/build_wheels" in line for line in ours)
    assert 'release/test_wheel "python3.12" "train"' in ours
    assert any(bpnet_line(line) for line in ours)


@pytest.mark.parametrize("path", [*OURS, GITHUB], ids=lambda path: path.name)
def test_a_workflow_reads_only_ends_in_time_and_pins_its_actions(path: Path) -> None:
    document = read(path)
    assert document["permissions"] == {"contents": "read"}
    for name, job in document["jobs"].items():
        assert int(job["timeout-minutes"]) <= 240, name
        uses = [step["uses"] for step in job["steps"] if "uses" in step]
        assert [each for each in uses if not re.fullmatch(r"actions/[\w/-]+@v\d+", each)] == []


@pytest.fixture
def users_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model and four pictures, where the examples look for them."""
    (tmp_path / "models").mkdir()
    write_model(tmp_path / "models/pose.onnx")
    spec = write_dataset(tmp_path / "ci")
    spec.rename(tmp_path / "ci/coco_spec.json")
    labels = json.loads((tmp_path / "ci/labels.json").read_text())
    write_spots(tmp_path / "ci/images/7.png", [])
    labels["images"].append({"id": 7, "file_name": "7.png", "height": 256, "width": 256})
    (tmp_path / "ci/labels.json").write_text(json.dumps(labels))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_the_regression_of_a_users_ci_runs_and_fails_where_ap_fell(
    kind: str, users_repository: Path
) -> None:
    def commands(part: int) -> list[list[str]]:
        number = str(part)
        lines = of_github(GITHUB, shard=number) if kind == "github" else of_gitlab(GITLAB, number)
        return [found for line in lines if (found := bpnet_arguments(line))]

    for part in PARTS:
        assert cli.main(commands(part)[0]) == ExitCode.DONE
    _, write, compare = commands(1)
    assert cli.main(write) == ExitCode.DONE
    written = users_repository / "results/written_baseline.json"
    figures = json.loads(written.read_text())
    assert figures["images"] == 4

    baseline = users_repository / "ci/baseline.json"
    baseline.write_text(written.read_text())
    assert cli.main(compare) == ExitCode.DONE
    figures["metrics"]["AP_0.50:0.95_all"] += 0.01
    baseline.write_text(json.dumps(figures))
    assert cli.main(compare) == ExitCode.BELOW_BASELINE


FETCH = EXAMPLES / "fetch_val2017"


def fetch(folder: Path, tools: Path) -> subprocess.CompletedProcess[str]:
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(FETCH), str(folder)],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def curl(tools: Path, does: str) -> None:
    tools.mkdir()
    (tools / "curl").write_text(f"#!/usr/bin/env bash\n{does}\n")
    (tools / "curl").chmod(0o755)


def test_data_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "coco/val2017").mkdir(parents=True)
    (tmp_path / "coco/annotations").mkdir()
    (tmp_path / "coco/annotations/person_keypoints_val2017.json").write_text("{}")
    for number in range(5000):
        (tmp_path / f"coco/val2017/{number:012}.jpg").touch()
    curl(tmp_path / "tools", "exit 9")

    run = fetch(tmp_path / "coco", tmp_path / "tools")

    assert (run.returncode, run.stderr) == (0, "")
    assert "already" in run.stdout


def test_a_file_that_is_not_cocos_is_not_taken(tmp_path: Path) -> None:
    curl(tmp_path / "tools", 'while [ "$1" != --output ]; do shift; done; echo no zip >"$2"')

    run = fetch(tmp_path / "coco", tmp_path / "tools")

    assert run.returncode != 0
    assert "FAILED" in run.stdout + run.stderr
    assert list((tmp_path / "coco/annotations").iterdir()) == []
