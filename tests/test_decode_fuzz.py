"""The C++ core under sanitizers, fed by tests/fuzz, and the flags that it is compiled with.

A longer run: ``BPNET_FUZZ_RUNS=20000 BPNET_FUZZ_SEED=7 pytest tests/test_decode_fuzz.py``.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bpnet.decode import _native

FUZZ = Path(__file__).parent / "fuzz"
RUNS = {"address,undefined": 250, "thread": 60}
SEED = os.environ.get("BPNET_FUZZ_SEED", "1")
QUIET = {
    "ASAN_OPTIONS": "allocator_may_return_null=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}


@dataclass(frozen=True)
class Fuzzer:
    sanitizer: str
    build: Path
    prefix: list[str]

    def run(self, program: str, *arguments: str | Path) -> dict[str, int]:
        """What the program counted; fails where a sanitizer or the program itself complains."""
        last_input = self.build / "last_input.bin"
        command = [*self.prefix, str(self.build / program), *map(str, arguments)]
        environment = {**os.environ, **QUIET, "FUZZ_LAST_INPUT": str(last_input)}
        done = subprocess.run(
            command, env=environment, cwd=self.build, capture_output=True, text=True
        )
        if done.returncode != 0 or done.stderr:
            again = f"its input is in {last_input}, if that file exists"
            pytest.fail(f"exit code {done.returncode}; {again}\n{done.stderr[-8000:]}")
        words = done.stdout.split()
        return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def find_tool(name: str) -> str | None:
    """Its path: those that pip installed lie beside Python, which may not be on the PATH."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(name) or shutil.which(name, path=beside)


def find_prefix(compiler: str, sanitizer: str, folder: Path) -> list[str]:
    """What to put before a program built with the sanitizer, to run on this machine."""
    source, program = folder / "probe.cpp", folder / "probe"
    source.write_text("int main() { return 0; }\n")
    build = [compiler, f"-fsanitize={sanitizer}", str(source), "-o", str(program)]
    built = subprocess.run(build, capture_output=True, text=True)
    if built.returncode != 0:
        pytest.skip(f"{compiler} cannot build with -fsanitize={sanitizer}: {built.stderr[-300:]}")
    # Where addresses are spread too widely, older thread sanitizers do not start.
    fixed = [["setarch", platform.machine(), "-R"]] if shutil.which("setarch") else []
    for prefix in ([], *fixed):
        if subprocess.run([*prefix, str(program)], capture_output=True).returncode == 0:
            return prefix
    pytest.skip(f"programs built with -fsanitize={sanitizer} do not run on this machine")


@pytest.fixture(scope="session", params=list(RUNS))
def fuzzer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Fuzzer:
    compiler = os.environ.get("CXX") or find_tool("c++") or find_tool("g++")
    cmake, ninja = find_tool("cmake"), find_tool("ninja")
    if compiler is None or cmake is None or ninja is None:
        pytest.skip("the fuzz program needs a C++ compiler, cmake and ninja")
    folder = tmp_path_factory.mktemp("fuzz")
    prefix = find_prefix(compiler, request.param, folder)
    configure = [cmake, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    configure += ["-S", str(FUZZ), "-B", str(folder / "build")]
    configure += [f"-DSANITIZE={request.param}", f"-DCMAKE_CXX_COMPILER={compiler}"]
    for command in (configure, [cmake, "--build", str(folder / "build"), "--parallel", "2"]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return Fuzzer(request.param, folder / "build", prefix)


def test_sanitizers_find_nothing(fuzzer: Fuzzer) -> None:
    runs = int(os.environ.get("BPNET_FUZZ_RUNS", RUNS[fuzzer.sanitizer]))

    counted = fuzzer.run("decode_fuzz", str(runs), SEED)

    assert counted["cases"] == runs
    assert counted["people"] > runs  # or little was decoded, and nothing shown
    assert counted["dropped"] > runs
    assert 0 < counted["refused"] < runs / 2


def test_any_skeleton_file_is_read_or_refused(fuzzer: Fuzzer) -> None:
    runs = int(os.environ.get("BPNET_FUZZ_RUNS", 500))

    counted = fuzzer.run("skeleton_fuzz", str(runs), SEED)

    assert counted["cases"] == runs
    assert runs / 2 < counted["refused"] < runs


@pytest.mark.parametrize("content", [b"", b"\xff" * 3000, bytes(range(256)) * 8])
@pytest.mark.parametrize("program", ["decode_fuzz", "skeleton_fuzz"])
def test_any_file_is_an_input(fuzzer: Fuzzer, program: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(content)

    assert fuzzer.run(program, file)["cases"] == 1


def test_the_core_is_compiled_without_contraction(fuzzer: Fuzzer) -> None:
    entries = json.loads((fuzzer.build / "compile_commands.json").read_text())
    core = {Path(entry["file"]).name: entry["command"] for entry in entries}
    core = {name: line for name, line in core.items() if not (FUZZ / name).exists()}

    assert {"peaks.cpp", "limbs.cpp", "assembly.cpp"} <= set(core)
    for name, line in core.items():
        flags = line.split()
        last = [flag for flag in flags if flag.startswith("-ffp-contract")]
        assert last[-1:] == ["-ffp-contract=off"], name
        assert not {"-ffast-math", "-Ofast", "-march=native"} & set(flags), name


@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump is not on this machine")
def test_the_installed_module_has_no_fused_operations() -> None:
    dump = ["objdump", "-d", "--no-show-raw-insn", str(_native.__file__)]

    code = subprocess.run(dump, capture_output=True, text=True, check=True).stdout

    assert re.search(r"\s(mulss|fmul)\s", code)  # single multiplications: this is our code
    assert not re.search(r"\s(vfn?m(add|sub)\w+|fn?m(add|sub)|fml[as])\s", code)
