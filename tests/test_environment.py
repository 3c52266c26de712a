"""What the commands set of the environment, before TensorFlow reads it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from spots import write_model

from bpnet.cli import ENVIRONMENT, set_environment

MEGABYTES, TIMES = 64, 20  # of a tensor; how often it is made
REPEAT = f"""
import resource

import tensorflow as tf

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

ones = tf.ones(({MEGABYTES}, 2**18))
ones + 1
before = faults()
for _ in range({TIMES}):
    ones + 1
print((faults() - before) * resource.getpagesize() // 2**20)
"""


def test_what_the_user_sets_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = ENVIRONMENT
    monkeypatch.setenv(first, "the user's")
    for name in others:
        monkeypatch.delenv(name, raising=False)
    set_environment()
    assert os.environ[first] == "the user's"
    assert {name: os.environ[name] for name in others} == {n: ENVIRONMENT[n] for n in others}


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
def test_memory_of_a_tensor_serves_the_next() -> None:
    pytest.importorskip("tensorflow")
    environment = {**os.environ, **ENVIRONMENT}
    command = [sys.executable, "-c", REPEAT]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(run.stdout) < MEGABYTES * TIMES // 4


def test_onnx_runtime_collects_nothing_about_its_use(tmp_path: Path) -> None:
    write_model(tmp_path / "model.onnx")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_"))}
    environment["HOME"] = str(tmp_path / "home")
    (tmp_path / "home").mkdir()
    code = f"import bpnet; bpnet.load({str(tmp_path / 'model.onnx')!r})"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not list((tmp_path / "home").rglob("*"))
