"""``bpnet doctor``: what it finds, what it concludes, and that it keeps keys to itself."""

import io
import json

import pytest

from bpnet import cli
from bpnet.commands.doctor import judge, wants_colours
from bpnet.commands.doctor_devices import check_providers, check_settings
from bpnet.commands.doctor_libraries import (
    BROKEN,
    MISSING,
    NOTE,
    OK,
    Check,
    check_machine,
    check_package,
    requirements,
    run_apart,
    version_of,
)

GOOD = [
    Check("machine", "Python", OK, "3.11"),
    Check("base install", "numpy", OK, "2"),
    Check("extra [train]", "keras", OK, "3"),
    Check("GPU", "NVIDIA GPU", OK, "T4"),
    Check("ONNX Runtime", "provider cpu", OK, "starts"),
    Check("ONNX Runtime", "provider cuda", OK, "starts"),
    Check("TensorRT", "runtime", OK, "10"),
    Check("TensorRT", "GPU memory", OK, "through cuda-python"),
    Check("video", "decoders", OK, "h264"),
]


def abilities_without(name: str, state: str = MISSING) -> dict[str, bool]:
    changed = [Check(c.area, c.name, state, "") if c.name == name else c for c in GOOD]
    return {ability.name: ability.works for ability in judge(changed)}


class TestJudgement:
    def test_a_machine_that_has_all_does_all(self):
        assert all(ability.works for ability in judge(GOOD))

    @pytest.mark.parametrize(
        ("name", "broken"),
        [
            ("numpy", {"base", "train", "gpu", "tensorrt", "video"}),
            ("provider cpu", {"base", "train", "gpu", "tensorrt", "video"}),
            ("keras", {"train"}),
            ("NVIDIA GPU", {"gpu", "tensorrt"}),
            ("provider cuda", {"gpu"}),
            ("runtime", {"tensorrt"}),
            ("GPU memory", {"tensorrt"}),
            ("decoders", {"video"}),
        ],
    )
    def test_what_is_missing_stops_what_needs_it(self, name, broken):
        works = abilities_without(name)
        assert {ability for ability, does in works.items() if not does} == broken

    def test_an_old_python_cannot_train(self):
        assert abilities_without("Python", NOTE)["train"] is False
        assert abilities_without("Python", NOTE)["base"] is True

    def test_training_on_a_gpu_is_enough(self):
        seen = Check("GPU", "TensorFlow", OK, "1")
        checks = [c for c in GOOD if c.name != "provider cuda"] + [seen]
        assert {a.name: a.works for a in judge(checks)}["gpu"]

    def test_what_stands_in_the_way_is_named(self):
        changed = [Check(c.area, c.name, MISSING, "") if c.name == "keras" else c for c in GOOD]
        assert next(a for a in judge(changed) if a.name == "train").lacks == ("keras",)


class TestLibraries:
    def test_the_base_install_is_that_of_the_package(self):
        assert dict(requirements(""))["onnxruntime"] == "1.20"
        assert "tensorflow" in dict(requirements("train"))
        assert "tensorflow" not in dict(requirements(""))

    def test_a_library_that_is_there_is_ok(self):
        check = check_package("pyyaml", "6.0", extra="", thorough=False)
        assert (check.state, check.found) == (OK, version_of("pyyaml", "yaml"))

    def test_an_old_one_is_broken(self):
        check = check_package("pyyaml", "600.1", extra="", thorough=False)
        assert check.state == BROKEN
        assert "older than 600.1" in check.found

    @pytest.mark.parametrize(("extra", "state"), [("", BROKEN), ("train", MISSING)])
    def test_what_is_not_there_matters_in_the_base_install_only(self, extra, state):
        check = check_package("no_such_package", "1", extra=extra, thorough=False)
        assert check.state == state
        assert "pip install" in check.remedy

    def test_one_that_cannot_be_imported_is_broken(self, tmp_path, monkeypatch):
        (tmp_path / "halfway.py").write_text("import no_such_module\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        for extra in ("", "train"):
            check = check_package("halfway", "0", extra=extra, thorough=True)
            assert check.state == BROKEN
            assert "no_such_module" in check.found

    def test_a_process_that_ends_badly_is_said(self):
        assert run_apart("raise SystemExit(7)").returncode == 7


class TestMachine:
    def instructions(self, tmp_path, text: str) -> dict[str, Check]:
        file = tmp_path / "cpuinfo"
        file.write_text(text)
        return {check.name: check for check in check_machine(file)}

    def test_instructions_are_read(self, tmp_path):
        found = self.instructions(tmp_path, "model name : Best\nflags : sse avx512_vnni amx_bf16\n")
        assert found["processor"].found.startswith("Best, ")
        assert (found["INT8"].state, found["INT8"].found) == (OK, "avx512_vnni")
        assert found["bfloat16"].found == "amx_bf16"

    def test_an_old_processor_is_told_what_that_means(self, tmp_path):
        found = self.instructions(tmp_path, "flags : sse avx2\n")
        assert found["INT8"].state == NOTE
        assert "--use_amp" in found["bfloat16"].remedy

    def test_a_system_without_the_file_is_unknown(self, tmp_path):
        found = {check.name: check for check in check_machine(tmp_path / "none")}
        assert found["INT8"].found.startswith("unknown")


class TestSettings:
    @pytest.fixture(autouse=True)
    def bare(self, monkeypatch):
        for name in ("BPNET_MOUNTS", "BPNET_KEY"):
            monkeypatch.delenv(name, raising=False)

    def test_a_mount_to_nowhere_is_noted(self, tmp_path, monkeypatch):
        monkeypatch.setenv("BPNET_MOUNTS", f"/a:{tmp_path};/b:{tmp_path}/none")
        _, good, bad = check_settings(tmp_path)
        assert (good.state, bad.state) == (OK, NOTE)

    def test_broken_mounts_are_broken(self, tmp_path, monkeypatch):
        monkeypatch.setenv("BPNET_MOUNTS", "nonsense")
        assert [check.state for check in check_settings(tmp_path)] == [OK, BROKEN]

    def test_the_file_of_taos_launcher_is_pointed_out(self, tmp_path):
        assert len(list(check_settings(tmp_path))) == 1
        (tmp_path / ".tao_mounts.json").write_text("{}")
        assert "BPNET_MOUNTS=~/.tao_mounts.json" in list(check_settings(tmp_path))[1].remedy


def test_onnx_runtimes_own_provider_starts():
    states = {check.name: check.state for check in check_providers()}
    assert states["provider cpu"] == OK
    assert set(states) == {f"provider {name}" for name in ("cpu", "cuda", "tensorrt", "openvino")}


class TestCommand:
    def test_json_and_exit_code_agree(self, capsys, monkeypatch):
        monkeypatch.setenv("BPNET_KEY", "a-secret-key")
        code = cli.main(["doctor", "--json", "--need", "base", "tensorrt"])
        shown = capsys.readouterr().out
        found = json.loads(shown)
        works = {ability["name"]: ability["works"] for ability in found["abilities"]}
        assert works["base"]
        assert found["failed"] == [name for name in ("tensorrt",) if not works[name]]
        assert code == (1 if found["failed"] else 0)
        assert "a-secret-key" not in shown

    def test_the_table_is_plain_where_nobody_sees_colours(self, capsys):
        assert cli.main(["doctor"]) == 0
        shown = capsys.readouterr().out
        assert "\x1b" not in shown
        assert "\nwhat works\n  yes      base " in shown

    @pytest.mark.parametrize(
        ("terminal", "variables", "coloured"),
        [
            (True, {}, True),
            (False, {}, False),
            (True, {"NO_COLOR": "1"}, False),
            (True, {"NO_COLOR": ""}, True),
            (True, {"TERM": "dumb"}, False),
        ],
    )
    def test_colours_are_for_terminals_that_want_them(
        self, terminal, variables, coloured, monkeypatch
    ):
        class Stream(io.StringIO):
            def isatty(self) -> bool:
                return terminal

        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert wants_colours(Stream()) is coloured
