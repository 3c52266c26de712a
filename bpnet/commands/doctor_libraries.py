"""What ``bpnet doctor`` asks of the machine and of the libraries on it."""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OK, NOTE, MISSING, BROKEN = "ok", "note", "missing", "broken"

MODULES = {  # of the packages whose module has another name
    "opencv-python-headless": "cv2",
    "pyyaml": "yaml",
    "cuda-python": "cuda",
}
EXTRAS = ("", "export", "train", "tensorrt")  # looked for; the first is the base install
TRAINING_PYTHON = (3, 11)
BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")  # of x86, and the last of ARM
INT8 = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
REQUIREMENT = re.compile(r"^([\w.-]+)(?:>=([\w.]+))?$")  # as pyproject.toml has them
IMPORT_SECONDS = 120


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        area: The heading that it stands under.
        name: What was looked at.
        state: OK; NOTE: works, with a limit; MISSING: not there, and optional; BROKEN: not as
            bpnet needs it.
        found: What was found.
        remedy: What to do about it; nothing where nothing is to be done.
    """

    area: str
    name: str
    state: str
    found: str
    remedy: str = ""


def check_machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> Iterator[Check]:
    """bpnet, Python, the operating system and what the processor is good at.

    Args:
        cpuinfo: Linux's description of the processor.
    """
    from bpnet import __version__

    area = "machine"
    yield Check(area, "bpnet", OK, __version__)
    python = platform.python_version()
    old = sys.version_info < TRAINING_PYTHON
    remedy = "training needs Python 3.11 or newer; everything else works here" if old else ""
    yield Check(area, "Python", NOTE if old else OK, f"{python}, {sys.executable}", remedy)
    yield Check(area, "system", OK, platform.platform())
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    model = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    name = model[1] if model else platform.machine()
    yield Check(area, "processor", OK, f"{name}, {usable_cores()} cores")
    yield from _instructions(text)


def usable_cores() -> int:
    """The cores that this process may use, which in a container may be less than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _instructions(cpuinfo: str) -> Iterator[Check]:
    flags = set(re.findall(r"[a-z0-9_]+", cpuinfo))
    for name, wanted, without in (
        ("bfloat16", BFLOAT16, "--use_amp does nothing on this processor"),
        ("INT8", INT8, "INT8 files run here, but hardly faster than float ones"),
    ):
        found = [flag for flag in wanted if flag in flags]
        if found:
            yield Check("machine", name, OK, ", ".join(found))
        elif cpuinfo:
            yield Check("machine", name, NOTE, "not in the processor", without)
        else:
            yield Check("machine", name, NOTE, "unknown: this system does not list instructions")


def check_libraries(*, thorough: bool) -> Iterator[Check]:
    """The packages of the base install and of the extras, and the compiled decoder.

    Args:
        thorough: import those of the extras too, each in a process of its own, since the large
            ones take seconds and may end the process.
    """
    try:
        importlib.import_module("bpnet.decode._native")
    except ImportError as error:
        remedy = "install bpnet again: pip install --force-reinstall --no-deps bpnet"
        yield Check("base install", "decoder", BROKEN, str(error), remedy)
    else:
        yield Check("base install", "decoder", OK, "compiled for this Python")
    for extra in EXTRAS:
        for package, least in requirements(extra):
            yield check_package(package, least, extra=extra, thorough=thorough)


def requirements(extra: str) -> list[tuple[str, str]]:
    """Package and least version, of the base install or of an extra of bpnet."""
    try:
        lines = importlib.metadata.requires("bpnet") or []
    except importlib.metadata.PackageNotFoundError:  # run from a folder that is not installed
        return []
    found = []
    for line in lines:
        package, _, condition = line.partition(";")
        said = re.search(r"extra == ['\"]([\w-]+)['\"]", condition)
        match = REQUIREMENT.match(package.strip().replace(" ", ""))
        if match is not None and (said[1] if said else "") == extra:
            found.append((match[1], match[2] or "0"))
    return found


def check_package(package: str, least: str, *, extra: str, thorough: bool) -> Check:
    """Whether a package is there, new enough, and can be imported.

    Args:
        package: Its name for pip.
        least: The oldest version that will do.
        extra: Of bpnet, that brings it; nothing for the base install.
        thorough: import it even where that takes long.
    """
    area = f"extra [{extra}]" if extra else "base install"
    remedy = f"pip install 'bpnet[{extra}]'" if extra else "pip install --upgrade bpnet"
    if extra == "train" and sys.version_info < TRAINING_PYTHON:
        remedy += " on Python 3.11 or newer"
    module = MODULES.get(package, package)
    if importlib.util.find_spec(module) is None:
        state = MISSING if extra else BROKEN
        return Check(area, package, state, "not installed", remedy)
    fault = None
    if not extra:
        fault = _import_here(module)
    elif thorough:
        fault = _import_apart(module)
    version = version_of(package, module)
    if fault is not None:
        return Check(area, package, BROKEN, f"{version}: import fails: {fault}", remedy)
    if version and _numbers(version) < _numbers(least):
        return Check(area, package, BROKEN, f"{version}, older than {least}", remedy)
    return Check(area, package, OK, version or "installed, version unknown")


def version_of(package: str, module: str) -> str:
    """The version of the package, or of another that brings the same module."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    for other in importlib.metadata.packages_distributions().get(module, []):
        return f"{importlib.metadata.version(other)} ({other})"
    return str(getattr(sys.modules.get(module), "__version__", ""))


def run_apart(code: str) -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own."""
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code]
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=IMPORT_SECONDS,
            env=quiet,
        )
    except subprocess.TimeoutExpired:
        said = f"no end after {IMPORT_SECONDS} s"
        return subprocess.CompletedProcess(command, 1, "", said)


def _import_here(module: str) -> str | None:
    try:
        importlib.import_module(module)
    except (ImportError, OSError) as error:
        return str(error)
    return None


def _import_apart(module: str) -> str | None:
    run = run_apart(f"import {module}")
    if run.returncode == 0:
        return None
    lines = run.stderr.strip().splitlines()
    return lines[-1] if lines else f"it ends the process with code {run.returncode}"


def _numbers(version: str) -> tuple[int, ...]:
    """``2.21.0rc1`` as (2, 21, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("(")[0])[:3])
