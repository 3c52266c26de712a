"""A teacher teaches alike on one device, on several, by several workers, and after a stop."""

from pathlib import Path

import numpy as np
import pytest
from processes import cluster, free_ports, start, wait
from worms import SKELETON, draw_worms, run, spec_of, weights_of

from bpnet.model.files import save_model
from bpnet.model.network import build_network
from bpnet.pose.contract import ModelContract
from bpnet.spec.optimizer import BpNetLoss, Distillation
from bpnet.training.reports import read_rows

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # Keras 3 with NumPy 2
)

TOLERANCE = 1e-4  # of a weight; sums over devices round otherwise
SHORT = {"num_epoch": 2, "checkpoint_n_epoch": 1}


@pytest.fixture(scope="module")
def worms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_worms(tmp_path_factory.mktemp("worms"))


@pytest.fixture(scope="module")
def loss(worms: Path) -> BpNetLoss:
    spec = spec_of(worms)
    model = build_network(spec.model, seed=7)
    rng = np.random.default_rng(7)
    model.set_weights([x + rng.uniform(-0.2, 0.2, x.shape) for x in model.get_weights()])
    contract = ModelContract.trained_on(spec.dataloader, SKELETON)
    path = save_model(model, worms / "teacher.keras", contract)
    return BpNetLoss(distillation=Distillation(teacher=str(path)))


@pytest.fixture(scope="module")
def alone(worms: Path, loss: BpNetLoss, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The final model of one device in one go."""
    return run(spec_of(worms, loss=loss, **SHORT), tmp_path_factory.mktemp("alone"))


def assert_taught_alike(folder: Path, alone: Path) -> None:
    final = folder / "bpnet_model.keras"
    for a, b in zip(weights_of(final), weights_of(alone), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE)
    ours, theirs = (read_rows(path / "results.csv")[-1] for path in (folder, alone.parent))
    assert ours["distillation_loss"] > 0
    assert ours["distillation_loss"] == pytest.approx(theirs["distillation_loss"], rel=1e-3)


def test_a_stopped_training_goes_on_on_two_devices_and_is_taught_alike(
    worms: Path, loss: BpNetLoss, alone: Path, tmp_path: Path
) -> None:
    folder, how = tmp_path / "results", {"loss": loss, **SHORT}

    def stop(row: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(spec_of(worms, **how), folder, on_epoch=stop)
    assert len(read_rows(folder / "results.csv")) == 1
    assert wait(start(worms, folder, devices=2, batch_size=2, spec=how)) == [0]
    assert "teacher: " in (tmp_path / "results.train.log").read_text()
    assert_taught_alike(folder, alone)


def test_two_workers_are_taught_as_one(
    worms: Path, loss: BpNetLoss, alone: Path, tmp_path: Path
) -> None:
    folder, ports = tmp_path / "results", free_ports(2)
    workers = [
        start(
            worms,
            folder,
            tf_config=cluster(index, ports),
            log=f"worker{index}",
            batch_size=2,
            spec={"loss": loss, **SHORT},
        )
        for index in (0, 1)
    ]
    assert wait(*workers) == [0, 0]
    assert_taught_alike(folder, alone)
