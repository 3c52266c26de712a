"""Several devices, of this machine or of several, train as one does."""

from pathlib import Path

import numpy as np
import pytest
from processes import cluster, free_ports, kill_when, start, wait
from worms import draw_worms, weights_of

from bpnet.training.checkpoints import newest_checkpoint
from bpnet.training.reports import read_rows

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # Keras 3 with NumPy 2
)

TOLERANCE = 1e-4  # of a weight after 8 steps; 2e-5 was measured: sums over devices round otherwise
EMA = {"ema_decay": 0.9, "clip_gradient_norm": 50.0}


@pytest.fixture(scope="module")
def worms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_worms(tmp_path_factory.mktemp("worms"))


@pytest.fixture(scope="module")
def alone(worms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The final model of one device with the whole batch."""
    folder = tmp_path_factory.mktemp("alone") / "results"
    assert wait(start(worms, folder, spec=EMA)) == [0]
    return folder / "bpnet_model.keras"


def assert_close(one: Path, other: Path) -> None:
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE)


def test_two_devices_are_one(worms: Path, alone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    assert wait(start(worms, folder, devices=2, batch_size=2, spec=EMA)) == [0]
    assert_close(folder / "bpnet_model.keras", alone)
    ours, theirs = read_rows(folder / "results.csv"), read_rows(alone.parent / "results.csv")
    assert [row["loss"] for row in ours] == pytest.approx([row["loss"] for row in theirs], rel=1e-3)
    log = (tmp_path / "results.train.log").read_text()
    assert "2 devices: a step sees 4 images" in log


def test_a_training_goes_on_with_another_number_of_devices(
    worms: Path, alone: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    spec = {**EMA, "checkpoint_n_epoch": 1}
    first = start(worms, folder, spec=spec)
    kill_when(first, lambda: (folder / "model.epoch-2.state.npz").is_file())

    assert wait(start(worms, folder, devices=2, batch_size=2, spec=spec, log="again")) == [0]

    assert "Going on from" in (tmp_path / "results.again.log").read_text()
    assert_close(folder / "bpnet_model.keras", alone)


def test_two_workers_are_one_also_after_one_was_killed(
    worms: Path, alone: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "results"

    def both(**how: object) -> list:
        ports = free_ports(2)
        return [
            start(
                worms,
                folder,
                tf_config=cluster(index, ports),
                log=f"worker{index}",
                batch_size=2,
                spec={**EMA, "checkpoint_n_epoch": 1, **how},
            )
            for index in (0, 1)
        ]

    chief, other = both(num_epoch=4)
    kill_when(other, lambda: (folder / "model.epoch-1.state.npz").is_file())
    assert wait(chief) == [1]
    log = (tmp_path / "results.worker0.log").read_text()
    assert "another worker is gone" in log
    first = newest_checkpoint(folder)
    assert first is not None
    assert wait(*both(num_epoch=4)) == [0, 0]
    log = (tmp_path / "results.worker1.log").read_text()
    assert f"Going on from {first.model}, step {first.step}" in log
    assert_close(folder / "bpnet_model.keras", alone)
    assert [row["epoch"] for row in read_rows(folder / "results.csv")] == [1, 2, 3, 4]
