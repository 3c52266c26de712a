"""Command lines of TAO's launcher, pasted; container paths of theirs, mapped."""

import json
import os
import shlex

import pytest

from bpnet import cli
from bpnet.errors import SpecError
from bpnet.inference.sources import list_images
from bpnet.spec.dataset import DatasetSpec
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.mounts import VARIABLE, mounted, read_mounts
from bpnet.spec.reader import parse_spec

CONTAINER = "/workspace/tao-experiments"
LAUNCHER = (
    "--gpus 1 --gpu_index 0 -np 1 --num_processes -1 --use_amp --log_file l.txt "
    "--mpirun-arg x --multi-node --launch_cuda_blocking"
)
# Every flag that TAO's documentation, notebook or source has, in each of its spellings.
LINES = [
    "dataset_convert -d s.json -o d/train -m train -p 1 -s 0 --generate_masks --check_files -r r",
    "dataset_convert --dataset_spec s.json --output_filename d/val --mode test --num_partitions 2 "
    "--num_shards 3 --results_dir r",
    "train -e t.yaml -r r -k nvidia_tlt -ll INFO",
    "train --experiment_spec_file t.yaml --results_dir r --key k --log_level DEBUG",
    "train -e t.yaml -r r -k k -l error",
    "evaluate -i i.yaml -m m.hdf5 --dataset coco -d s.json -k k --results_dir r -ll WARNING",
    "evaluate --inference_spec i.yaml --model_filename m.tlt --dataset_spec s.json --key k -r r",
    "inference -i i.yaml -m m.hdf5 --input_type dir --input d --image_root_path p -k k "
    "--results_dir r --dump_visualizations -ll INFO",
    "inference --inference_spec i.yaml --model_filename m --input_type json --input l.json --key k",
    "inference -i i.yaml -m m --input_type image --input a.png --log_level CRITICAL",
    "prune -m m.hdf5 -o p.hdf5 -k k -n max -eq union -pg 8 -pth 0.05 -nf 16 -el a b -v -r r",
    "prune --model m.tlt --output_file p.tlt --key k --normalizer L2 "
    "--equalization_criterion geometric_mean --pruning_granularity 8 --pruning_threshold 0.1 "
    "--min_num_filters 16 --excluded_layers conv --verbose --results_dir r",
    "prune -m m -o p -eq intersection",
    "prune -m m -o p -eq arithmetic_mean",
    "export -m m.hdf5 -k k -o m.onnx -e t.yaml -t tfonnx -d 256,256,3 -i channels_last "
    "--data_type fp32 -s --cal_image_dir c --cal_data_file f --cal_cache_file b --batches 10 "
    "--batch_size 1 --max_batch_size 1 --opt_batch_size 1 --static_batch_size -1 "
    "--max_workspace_size 2147483648 --engine_file e --sdk_compatible_model -u 4 --force_ptq -v "
    "-r r",
    "export --model m.tlt --key k --output_file m.etlt --experiment_spec t.yaml --backend onnx "
    "--input_dims 288,384,3 --data_format channels_first --data_type int8 "
    "--strict_type_constraints --upsample_ratio 4 --verbose --results_dir r",
    "export -m m -t uff --data_type fp16",
]


@pytest.fixture(autouse=True)
def without_mounts(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.mark.parametrize("line", LINES)
def test_every_flag_of_tao_parses(line):
    name, *arguments = shlex.split(f"{line} {LAUNCHER}")
    parser = cli.command_parser(name)
    parser.exit_on_error = False
    args = parser.parse_args(arguments)
    assert args.gpu_index == [0]
    assert args.use_amp


@pytest.mark.parametrize("start", ["", "bpnet ", "model bpnet ", "tao bpnet ", "tao model bpnet "])
def test_what_taos_lines_begin_with_is_passed_over(start, capsys):
    assert cli.main(f"{start}train --help".split()) == 0
    assert capsys.readouterr().out.startswith("usage: bpnet train ")


def test_the_launcher_alone_gets_the_help(capsys):
    assert cli.main(["tao", "model", "bpnet"]) == 0
    assert "commands:" in capsys.readouterr().out


def test_taos_seventh_command_is_pointed_to_export(capsys):
    assert cli.main(["tao", "bpnet", "export_keras", "-m", "a.hdf5", "-o", "b"]) == 2
    assert "bpnet export writes ONNX" in capsys.readouterr().err


def test_options_without_effect_are_said(tmp_path, capsys):
    line = f"inference -m {tmp_path / 'no.onnx'} --input a.png --multi-node --mpirun-arg x"
    assert cli.main([*line.split(), "-r", str(tmp_path)]) == 1
    assert "--mpirun_arg, --multi_node: no effect" in capsys.readouterr().err


class TestMounts:
    @pytest.mark.parametrize(
        ("argument", "expected"),
        [
            (f"{CONTAINER}/a.yaml", "/data/a.yaml"),
            (CONTAINER, "/data"),
            (f"{CONTAINER}/", "/data/"),
            (f"{CONTAINER}-2/a.yaml", f"{CONTAINER}-2/a.yaml"),
            (f"here{CONTAINER}/a", f"here{CONTAINER}/a"),
            (f"--input={CONTAINER}/a", "--input=/data/a"),
            (f"dataset_config.root={CONTAINER}/a", "dataset_config.root=/data/a"),
            (f"{CONTAINER}/deep/a", "/elsewhere/a"),
            (f"{CONTAINER}/a=b/c", "/data/a=b/c"),
        ],
    )
    def test_a_path_below_a_mount_is_mapped(self, argument, expected):
        mounts = [f"--mount={CONTAINER}:/data/", "--mount", f"{CONTAINER}/deep:/elsewhere"]
        with mounted(["train", *mounts, argument]) as here:
            assert here == ["train", expected]

    def test_a_key_is_no_path(self):
        with mounted(["--mount", "/a:/b", "-k", "/a/c", "-r", "/a/c"]) as here:
            assert here == ["-k", "/a/c", "-r", "/b/c"]

    def test_the_command_line_comes_before_the_environment(self, monkeypatch):
        monkeypatch.setenv(VARIABLE, "/a:/1;/b:/2")
        with mounted(["--mount", "/a:/3"]):
            assert [read_mounts()(path) for path in ("/a/x", "/b/x")] == ["/3/x", "/2/x"]
        assert os.environ[VARIABLE] == "/a:/1;/b:/2"

    def test_the_environment_forgets_what_the_command_line_said(self):
        with mounted(["--mount", "/a:/3"]):
            pass
        assert VARIABLE not in os.environ

    def test_the_file_of_taos_launcher_is_read(self, tmp_path, monkeypatch):
        file = tmp_path / ".tao_mounts.json"
        pairs = [("/home/me/tao", CONTAINER), ("/home/me/specs", "/workspace/specs")]
        entries = [{"source": source, "destination": there} for source, there in pairs]
        file.write_text(json.dumps({"Mounts": entries, "DockerOptions": {"user": "1000:1000"}}))
        monkeypatch.setenv(VARIABLE, str(file))
        assert read_mounts()(f"{CONTAINER}/bpnet") == "/home/me/tao/bpnet"

    @pytest.mark.parametrize("text", ["/a", "a:/b", "/:/b", "/a:", ":"])
    def test_what_is_no_mount_is_refused(self, text, monkeypatch):
        monkeypatch.setenv(VARIABLE, text)
        with pytest.raises(SpecError, match="expected FROM:TO"):
            read_mounts()

    @pytest.mark.parametrize(
        ("content", "said"),
        [("{", "not JSON"), ("[]", "no list"), ('{"Mounts": [3]}', r"Mounts\[0\]")],
    )
    def test_a_broken_file_of_mounts_is_named(self, content, said, tmp_path, monkeypatch):
        file = tmp_path / "m.json"
        file.write_text(content)
        monkeypatch.setenv(VARIABLE, str(file))
        with pytest.raises(SpecError, match=said):
            read_mounts()

    def test_specs_and_their_overrides_are_mapped(self, monkeypatch):
        monkeypatch.setenv(VARIABLE, f"{CONTAINER}:/data")
        text = f"model_path: {CONTAINER}/m.hdf5\ntrain_spec: /workspace/other/t.yaml\n"
        override = f"pose_config_path={CONTAINER}/p.json"
        spec = parse_spec(text, InferenceSpec, source="i.yaml", overrides=[override])
        assert (spec.model_path, spec.pose_config_path) == ("/data/m.hdf5", "/data/p.json")
        assert spec.train_spec == "/workspace/other/t.yaml"

    def test_a_json_spec_is_mapped(self, monkeypatch):
        monkeypatch.setenv(VARIABLE, f"{CONTAINER}:/data")
        text = json.dumps(
            {"root_directory_path": f"{CONTAINER}/coco/", "categories": [{"keypoints": ["a"]}]}
        )
        assert parse_spec(text, DatasetSpec, source="d.json").root_directory_path == "/data/coco/"

    def test_a_list_of_images_is_mapped(self, tmp_path, monkeypatch):
        monkeypatch.setenv(VARIABLE, f"{CONTAINER}:{tmp_path}")
        listing = tmp_path / "l.json"
        listing.write_text(json.dumps([f"{CONTAINER}/a.png"]))
        assert list_images(listing, input_type="json").paths == (tmp_path / "a.png",)

    def test_a_pasted_line_reads_and_writes_here(self, tmp_path, capsys):
        (tmp_path / "a.png").touch()
        (tmp_path / "i.yaml").write_text(f"model_path: {CONTAINER}/m.onnx\n")
        line = f"tao model bpnet inference -i {CONTAINER}/i.yaml --input {CONTAINER}/a.png"
        line += f" --results_dir {CONTAINER}/found --mount {CONTAINER}:{tmp_path}"
        assert cli.main(line.split()) == 1
        assert f"{tmp_path}/m.onnx" in capsys.readouterr().err

    def test_an_abbreviated_option_is_not_lost(self, capsys):
        assert cli.main(["train", "-e", "a", "--moun", "/a:/b"]) == 2
        assert "write --mount in full" in capsys.readouterr().err
