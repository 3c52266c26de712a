"""The command trains a network whose maps come from different stages."""

import yaml
from test_train_command import project, said, spec_of, train  # noqa: F401

from bpnet.cli import main
from bpnet.model.files import load_model
from bpnet.model.outputs import MapStages, stages_of
from bpnet.training.reports import read_rows


def test_pafs_first_train_resume_and_predict(project, capsys):  # noqa: F811
    spec = spec_of()
    spec["model"] = {
        "__class_name__": "BpNetPafFirstModel",
        "paf_stages": 1,
        "heatmap_stages": 2,
        "stage_kernel_sizes": [3],
        "heat_channels": 3,
        "paf_channels": 2,
        "width_multiplier": 0.0625,
    }
    (project / "train.yaml").write_text(yaml.safe_dump(spec))

    assert train("-r", "results", "--set", "num_epoch=1") == 0
    assert train("-r", "results", "--set", "num_epoch=2") == 0

    rows = read_rows(project / "results" / "results.csv")
    assert [row["epoch"] for row in rows] == [1, 2]
    assert {"paf_loss_stage1", "cmap_loss_stage2", "cmap_loss_stage3"} <= rows[0].keys()
    model, _ = load_model(project / "results" / "bpnet_model.keras")
    assert stages_of(model) == MapStages((2, 3), (1,))
    arguments = ["inference", "-m", "results/bpnet_model.keras", "--input", "worm0.png"]
    assert main([*arguments, "-r", "found"]) == 0
    said(capsys)
