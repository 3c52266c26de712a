"""What an exported file says of where it comes from."""

import dataclasses

from bpnet.commands.export_source import without_folders
from bpnet.spec.dataloader import BpNetDataloader, BpNetPoseConfig, DatasetConfig
from bpnet.spec.reader import dump_spec, parse_spec
from bpnet.spec.train import BpNetTrainer


def test_a_training_spec_is_carried_without_the_folders_of_its_machine():
    spec = BpNetTrainer(
        checkpoint_dir="/home/someone/my runs/3",
        pretrained_weights="~/first.keras",
        inference_spec="specs/infer_spec.yaml",
        random_seed=7,
        dataloader=BpNetDataloader(
            pose_config=BpNetPoseConfig(pose_config_path="C:\\someone\\four: new.json"),
            dataset_config=DatasetConfig(
                root_data_path="/data/coco/",
                train_records_folder_path="gs://bucket/records",
                train_records_path=["/data/train-*", "more/train-*"],
                dataset_specs={"coco": "/data/spec.json"},
            ),
        ),
    )
    carried = without_folders(dump_spec(spec))
    assert "someone" not in carried
    assert "/data" not in carried
    read = parse_spec(carried, BpNetTrainer, source="carried")
    config = read.dataloader.dataset_config
    assert (read.checkpoint_dir, read.pretrained_weights) == ("3", "first.keras")
    assert read.dataloader.pose_config.pose_config_path == "four: new.json"
    assert (config.root_data_path, config.dataset_specs) == ("coco", {"coco": "spec.json"})
    assert config.train_records_folder_path == "gs://bucket/records"
    assert config.train_records_path == ["train-*", "more/train-*"]
    kept = dataclasses.replace(
        spec,
        checkpoint_dir=read.checkpoint_dir,
        pretrained_weights=read.pretrained_weights,
        dataloader=read.dataloader,
    )
    assert read == kept  # all else is as it was
