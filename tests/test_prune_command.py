import pytest

from bpnet.cli import main
from bpnet.model.files import load_model, save_model
from bpnet.model.network import build_network
from bpnet.spec.network import BpNetLiteModel

SECTION = BpNetLiteModel(stages=2, width_multiplier=0.125)


@pytest.fixture
def saved(tmp_path):
    return save_model(build_network(SECTION), tmp_path / "model.keras", None)


def test_command_prunes_a_file(saved, tmp_path, capsys):
    target = tmp_path / "pruned.hdf5"
    code = main(
        ["prune", "-m", str(saved), "-o", str(target), "-pth", "0.99", "-nf", "4", "-pg", "4",
         "-n", "max", "-eq", "union", "-el", "stage1/conv1", "-v", "-r", str(tmp_path / "results")]
    )  # fmt: skip

    assert code == 0
    pruned, _ = load_model(tmp_path / "pruned.keras")
    assert pruned.get_layer("stage1.conv1").filters == 16
    assert pruned.count_params() < 0.8 * build_network(SECTION).count_params()
    assert "stage1.conv1" in capsys.readouterr().out
    assert '"pruning_ratio"' in (tmp_path / "results" / "status.json").read_text()


def test_dry_run_prints_the_table_and_writes_nothing(saved, tmp_path, capsys):
    code = main(
        ["prune", "-m", str(saved), "-o", str(tmp_path / "pruned.keras"), "--target_params", "0.5",
         "-pth", "0.2", "-nf", "1", "-pg", "1", "--dry_run"]
    )  # fmt: skip

    assert code == 0
    said = capsys.readouterr()
    assert "parameters" in said.out
    assert "--pruning_threshold: no effect" in said.err
    assert [x.name for x in tmp_path.iterdir()] == ["model.keras"]


def test_command_does_not_overwrite_its_input(saved, capsys):
    before = saved.read_bytes()

    assert main(["prune", "-m", str(saved), "-o", str(saved.with_suffix(".hdf5"))]) == 1
    assert "is the network to prune" in capsys.readouterr().err
    assert saved.read_bytes() == before
