"""The command line: dispatch, exit codes, messages, shared options and status.json."""

import argparse
import json
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from bpnet import __version__, cli
from bpnet.commands import options
from bpnet.commands.status import status
from bpnet.errors import DataError, ExportRejectedError, SpecError

ROOT = Path(__file__).resolve().parents[1]


def bpnet(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bpnet", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def command(monkeypatch) -> Callable[..., None]:
    """Makes a command named ``probe`` that does what the test says."""

    def make(run: Callable[[argparse.Namespace], int], used: tuple[str, ...] = ()) -> None:
        def add_arguments(parser: argparse.ArgumentParser) -> None:
            options.add_results(parser)
            options.add_key(parser)
            options.add_log_level(parser)
            options.add_launcher_options(parser, used=used)

        module = types.ModuleType("bpnet.commands.probe", "A probe.")
        module.__dict__.update(add_arguments=add_arguments, run=run)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(cli.COMMANDS, "probe", "a probe")

    return make


def raising(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


class TestTopLevel:
    def test_help_lists_every_command(self):
        shown = bpnet("--help")
        assert shown.returncode == 0
        for name, does in cli.COMMANDS.items():
            assert re.search(rf"^ +{name} +{re.escape(does)}$", shown.stdout, re.MULTILINE)

    def test_help_takes_less_than_a_tenth_of_a_second(self):
        def seconds() -> float:  # of the processor: other programs may keep it busy
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            bpnet("--help")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        assert min(seconds() for _ in range(5)) < 0.1

    def test_no_arguments_show_the_help(self):
        assert bpnet().stdout == bpnet("-h").stdout

    def test_version(self):
        assert bpnet("--version").stdout == f"bpnet {__version__}\n"

    def test_an_unknown_command_is_guessed_at(self, capsys):
        assert cli.main(["evalute"]) == 2
        assert "there is no command 'evalute'; did you mean evaluate?" in capsys.readouterr().err

    def test_a_command_unlike_any_gets_the_list(self, capsys):
        assert cli.main(["xyz"]) == 2
        assert "choose from dataset_convert, train" in capsys.readouterr().err

    def test_an_unknown_option_is_a_usage_error(self, capsys):
        assert cli.main(["--gpus", "2"]) == 2
        assert "usage: bpnet" in capsys.readouterr().err

    def test_a_reader_that_leaves_is_no_traceback(self):
        with subprocess.Popen(
            [sys.executable, "-m", "bpnet", "--help"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b""


class TestExitCodes:
    @pytest.mark.parametrize(
        ("error", "code"),
        [(SpecError("a"), 1), (DataError("a"), 1), (ExportRejectedError("a"), 4)],
    )
    def test_a_named_failure_is_one_sentence(self, command, capsys, error, code):
        command(raising(error))
        assert cli.main(["probe"]) == code
        assert capsys.readouterr().err == "bpnet probe: error: a\n"

    def test_what_run_returns_is_the_exit_code(self, command):
        command(lambda args: 3)
        assert cli.main(["probe"]) == 3

    def test_a_usage_error_is_2(self, command, capsys):
        command(lambda args: 0)
        assert cli.main(["probe", "--no_such_option"]) == 2
        assert "usage: bpnet probe" in capsys.readouterr().err

    def test_ctrl_c_is_130(self, command, capsys):
        command(raising(KeyboardInterrupt()))
        assert cli.main(["probe"]) == 130
        assert capsys.readouterr().err == "bpnet probe: interrupted\n"

    def test_sigterm_is_143_and_unwinds(self, command):
        unwound = []

        def run(args: argparse.Namespace) -> int:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            finally:
                unwound.append(True)
            return 0

        before = signal.getsignal(signal.SIGTERM)
        command(run)
        assert cli.main(["probe"]) == 143
        assert unwound
        assert signal.getsignal(signal.SIGTERM) is before

    def test_a_bug_keeps_its_traceback(self, command):
        command(raising(ZeroDivisionError("a bug")))
        with pytest.raises(ZeroDivisionError):
            cli.main(["probe"])

    @pytest.mark.parametrize(
        ("module", "said"),
        [
            ("tensorflow.data", "bpnet probe needs TensorFlow: pip install 'bpnet[train]'"),
            ("keras", "bpnet probe needs Keras: pip install 'bpnet[train]'"),
            ("tensorrt", "bpnet probe needs TensorRT: pip install 'bpnet[tensorrt]'"),
        ],
    )
    def test_a_missing_library_is_named_with_its_extra(self, command, capsys, module, said):
        command(raising(ModuleNotFoundError(f"No module named {module!r}", name=module)))
        assert cli.main(["probe"]) == 1
        assert said in capsys.readouterr().err

    def test_another_missing_module_is_a_bug(self, command):
        command(raising(ModuleNotFoundError("No module named 'x'", name="bpnet.x")))
        with pytest.raises(ModuleNotFoundError):
            cli.main(["probe"])


class TestMessages:
    def log(self, args: argparse.Namespace) -> int:
        logging.getLogger("bpnet.somewhere").debug("fine")
        logging.getLogger("bpnet.somewhere").info("plain")
        logging.getLogger("other").info("foreign")
        return 0

    def test_messages_go_to_stderr_from_the_level_up(self, command, capsys):
        command(self.log)
        cli.main(["probe"])
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "INFO plain" in shown.err
        assert "fine" not in shown.err
        assert "foreign" not in shown.err

    @pytest.mark.parametrize("option", ["-l", "-ll", "--log_level"])
    def test_every_spelling_of_the_level_is_known(self, command, capsys, option):
        command(self.log)
        cli.main(["probe", option, "debug"])
        assert "DEBUG fine" in capsys.readouterr().err

    def test_the_log_file_grows_and_handlers_do_not(self, command, tmp_path):
        command(self.log)
        log_file = tmp_path / "new" / "log.txt"
        before = list(logging.getLogger().handlers)
        for _ in range(2):
            cli.main(["probe", "--log_file", str(log_file)])
        assert log_file.read_text().count("INFO plain") == 2
        assert logging.getLogger().handlers == before

    def test_a_command_that_runs_another_shows_messages_once(self, command, capsys):
        depth = []

        def run(args: argparse.Namespace) -> int:
            depth.append(1)
            return cli.main(["probe"]) if len(depth) < 2 else self.log(args)

        command(run)
        assert cli.main(["probe"]) == 0
        assert capsys.readouterr().err.count("plain") == 1

    def test_a_log_file_that_cannot_be_written_is_a_failure(self, command, capsys, tmp_path):
        command(self.log)
        assert cli.main(["probe", "--log_file", str(tmp_path)]) == 1
        assert "cannot be written" in capsys.readouterr().err


class TestOptions:
    def test_launcher_options_without_effect_are_warned_of_once(self, command, capsys):
        command(lambda args: 0, used=("gpus",))
        assert cli.main(["probe", "--gpus", "2", "--use_amp", "--gpu_index", "0", "1"]) == 0
        error = capsys.readouterr().err
        assert error.count("WARNING") == 1
        assert "--gpu_index, --use_amp: no effect on this command" in error

    def test_launcher_options_at_their_defaults_are_silent(self, command, capsys):
        command(lambda args: 0)
        assert cli.main(["probe", "--gpus", "1", "-np", "-1"]) == 0
        assert capsys.readouterr().err == ""

    def test_zero_gpus_are_a_usage_error(self, command, capsys):
        command(lambda args: 0)
        assert cli.main(["probe", "--gpus", "0"]) == 2
        assert "expected 1 or more, found 0" in capsys.readouterr().err


class TestKey:
    def key(self, *arguments: str) -> str | None:
        parser = argparse.ArgumentParser()
        options.add_key(parser)
        return options.read_key(parser.parse_args(arguments))

    def test_the_option_beats_the_file_and_the_file_the_environment(self, tmp_path, monkeypatch):
        monkeypatch.delenv("BPNET_KEY", raising=False)
        assert self.key() is None
        monkeypatch.setenv("BPNET_KEY", "environment")
        file = tmp_path / "key"
        file.write_text("file\nsecond line\n")
        assert self.key() == "environment"
        assert self.key("--key_file", str(file)) == "file"
        assert self.key("--key_file", str(file), "-k", "option") == "option"

    def test_an_empty_key_is_none(self, monkeypatch):
        monkeypatch.setenv("BPNET_KEY", "")
        assert self.key("-k", "") is None

    @pytest.mark.parametrize("content", [None, b"", b"  \n", b"\xff\xfe"])
    def test_a_key_file_without_a_key_is_named(self, tmp_path, content):
        file = tmp_path / "key"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(SpecError, match=r"the key file .*key "):
            self.key("--key_file", str(file))


class TestStatus:
    def lines(self, folder: Path) -> list[dict[str, object]]:
        return [json.loads(line) for line in (folder / "status.json").read_text().splitlines()]

    def test_a_run_that_ends_well(self, tmp_path):
        with status(tmp_path / "new", "train") as write:
            write(kpi={"AP": 0.5}, message="measured", epoch=3)
        started, running, success = self.lines(tmp_path / "new")
        assert [line["status"] for line in (started, running, success)] == [
            "STARTED",
            "RUNNING",
            "SUCCESS",
        ]
        assert (running["kpi"], running["message"], running["epoch"]) == (
            {"AP": 0.5},
            "measured",
            3,
        )
        assert re.fullmatch(r"[1-9]\d?/[1-9]\d?/\d{4}", str(started["date"]))
        assert re.fullmatch(r"\d{1,2}:\d{1,2}:\d{1,2}", str(started["time"]))

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (DataError("a.jpg is cut"), "a.jpg is cut"),
            (KeyboardInterrupt(), "train was interrupted."),
            (SystemExit(143), "train ended with exit code 143."),
        ],
    )
    def test_a_run_that_fails_says_so_and_lets_the_error_pass(self, tmp_path, error, said):
        with pytest.raises(type(error)), status(tmp_path, "train"):
            raise error
        last = self.lines(tmp_path)[-1]
        assert (last["status"], last["message"], last["verbosity"]) == ("FAILURE", said, "ERROR")

    def test_a_failure_that_the_run_wrote_itself_is_the_last_word(self, tmp_path):
        with status(tmp_path, "evaluate") as write:
            write(status="FAILURE", message="AP fell below the baseline")
        assert [line["status"] for line in self.lines(tmp_path)] == ["STARTED", "FAILURE"]

    def test_lines_are_added_to_those_of_earlier_runs(self, tmp_path):
        for _ in range(2):
            with status(tmp_path, "prune"):
                pass
        assert len(self.lines(tmp_path)) == 4

    def test_without_a_folder_nothing_is_written(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with status(None, "prune") as write:
            write(kpi={"AP": 1})
        assert not list(tmp_path.iterdir())

    def test_a_folder_that_cannot_be_made_is_a_data_error(self, tmp_path):
        (tmp_path / "file").touch()
        with (
            pytest.raises(DataError, match="cannot be written"),
            status(tmp_path / "file", "prune"),
        ):
            pass
