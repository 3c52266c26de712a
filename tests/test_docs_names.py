"""Options and keys that pages speak of exist; the pages for TAO's users speak of all of TAO's."""

import re
import shlex

import pytest
from documents import DOCS, PAGES, REPOSITORY, reference
from test_shipped_specs import TAO_TRAIN
from test_tao_alias import LINES

from bpnet import cli
from bpnet.spec.dataset import DatasetSpec, SkeletonFile
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.reader import TAG_KEY
from bpnet.spec.source import Node, parse_tree
from bpnet.spec.train import BpNetTrainer

reference()
from reference_commands import options  # noqa: E402
from reference_specs import keys  # noqa: E402

KINDS = (BpNetTrainer, InferenceSpec, DatasetSpec, SkeletonFile)
KEYS = {key for kind in KINDS for key in keys(kind)}
SECTIONS = {key.partition(".")[0] for key in KEYS if "." in key}
OURS = {option for name in cli.COMMANDS for option in options(name)} | {"--version"}
OTHERS = {  # option: whose it is
    "--randomize": "TAO's sampler",
    "--fp16": "trtexec",
    "--int8": "trtexec",
    "--workspace": "trtexec",
    "--memPoolSize": "trtexec",
    "--stronglyTyped": "trtexec",
    "--group-add": "docker",
    "--target": "docker",
    "--user": "docker",
    "--fail-on-warning": "Sphinx",
    "--keep-going": "Sphinx",
}
OTHER_PROGRAMS = re.compile(
    r"\b(?:trtexec|docker|pip|pytest|git|python|cmake|make|tritonserver|perf_analyzer|apt|nvpmodel"
    r"|deepstream\S*|gst\S*|sudo|ruff|mypy|jupyter|tao-converter|nbstripout|pre-commit)\b"
)
FILES = re.compile(r"\.(?:py|json|yaml|md|cpp|h|onnx|keras|engine|etlt|tlt|hdf5|txt|csv|rejected)$")
BENCHMARKS = REPOSITORY / "benchmarks" / "README.md"  # of scripts with options of their own
HAND_WRITTEN = [page for page in PAGES if DOCS / "reference" not in page.parents]
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def code_of(page):
    """What stands between single backticks, blocks aside."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    return CODE.findall(text)


def name_of(page):
    return page.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("page", [page for page in HAND_WRITTEN if page != BENCHMARKS], ids=name_of)
def test_every_option_that_a_page_speaks_of_exists(page):
    said = {
        option
        for code in code_of(page)
        if not OTHER_PROGRAMS.search(code)
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", code)
    }
    assert said - OURS - set(OTHERS) == set()


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=name_of)
def test_every_key_that_a_page_speaks_of_exists(page):
    """``section.key`` in a page, where the section is one of a spec's."""
    paths = {
        found
        for code in code_of(page)
        for found in re.findall(r"(?<![\w./-])([a-z]\w*(?:\[\])?(?:\.\w+)+)(?![\w/(-])", code)
        if found.partition(".")[0] in SECTIONS and not found.endswith(TAG_KEY)
    }
    endings = {
        ".".join(key.split(".")[start:]) for key in KEYS for start in range(key.count(".") + 1)
    }
    files = {path for path in paths if FILES.search(path)}
    assert paths - endings - files == set()


FLAGS = (DOCS / "from_tao" / "flags.md").read_text()
TAO_KEYS = (DOCS / "from_tao" / "keys.md").read_text()

TAO_INFERENCE = """
model_path train_spec input_shape keep_aspect_ratio_mode output_stage_to_use
output_upsampling_factor heatmap_threshold paf_threshold multi_scale_inference scales
"""
TAO_DATASET = """
dataset root_directory_path duplicate_data_with_each_person_as_center
train_data.images_root_dir_path train_data.mask_root_dir_path train_data.annotation_root_dir_path
test_data.images_root_dir_path test_data.mask_root_dir_path test_data.annotation_root_dir_path
categories[].num_joints categories[].keypoints categories[].skeleton
categories[].skeleton_edge_names categories[].name categories[].id categories[].supercategory
visibility_flags.value visibility_flags.mapping data_filtering_params.min_acceptable_height
data_filtering_params.min_acceptable_width data_filtering_params.min_acceptable_kpts
data_filtering_params.min_acceptable_interperson_dist_ratio
"""
TAO_UNDOCUMENTED = """
optimizer.learning_rate_schedule.learning_rate optimizer.learning_rate_schedule.decay_epochs
optimizer.learning_rate_schedule.decay_rate optimizer.learning_rate_schedule.staircase
loss.focal_loss_params.use_focal_loss loss.focal_loss_params.alpha loss.focal_loss_params.beta
loss.focal_loss_params.bkg_thresh loss.focal_loss_params.gamma
"""


@pytest.mark.parametrize("line", LINES)
def test_every_flag_of_tao_is_in_its_table(line):
    command, *words = shlex.split(line)
    section = re.search(rf"^## {command}\n(.*?)(?=^## )", FLAGS, flags=re.S | re.M)
    of_all = re.search(r"^## Of every command\n(.*?)(?=^## )", FLAGS, flags=re.S | re.M)
    assert section
    assert of_all
    shown = set(CODE.findall(section[1])) | set(CODE.findall(of_all[1]))
    flags = {word for word in words if re.match(r"--?[a-z]", word)}
    assert flags - shown - {"--experiment_spec"} == set()


def test_every_key_of_taos_training_spec_is_in_the_table():
    faults: list[str] = []
    tree = parse_tree(TAO_TRAIN, source="tao.yaml", is_json=False, faults=faults)
    said = {key for key in leaves(tree) if not key.endswith("__class_name__")}
    shown = table_keys()
    assert faults == []
    assert {key for key in said if not key.startswith(KEYED_BY_NAME)} - shown == set()


@pytest.mark.parametrize(
    ("title", "keys"),
    [
        ("Inference spec", TAO_INFERENCE),
        ("Dataset spec", TAO_DATASET),
        ("`optimizer` and `loss`", TAO_UNDOCUMENTED),
    ],
)
def test_every_key_of_taos_other_specs_is_in_the_table(title, keys):
    body = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TAO_KEYS, flags=re.S | re.M)
    assert body
    assert set(keys.split()) - set(re.findall(r"^\| `(.*?)` \|", body[1], flags=re.M)) == set()


KEYED_BY_NAME = ("dataloader.dataset_config.dataset_specs.",)  # the names are the user's


def leaves(node: Node, path: str = ""):
    if not isinstance(node.value, dict):
        return [path]
    return [
        leaf
        for name, inner in node.value.items()
        for leaf in leaves(inner, f"{path}.{name}".lstrip("."))
    ]


def table_keys():
    """The keys of the page's tables, from the top of their files."""
    found = set()
    for title, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TAO_KEYS, flags=re.S | re.M):
        top = {"`dataloader`": "dataloader.", "`model`": "model."}.get(title, "")
        found |= {top + key for key in re.findall(r"^\| `(.*?)` \|", body, flags=re.M)}
    return found


def test_every_key_of_the_table_exists():
    assert {key.removesuffix("[]") for key in table_keys()} - KEYS == set()


def test_every_page_of_the_table_is_about_a_command_that_exists():
    titles = set(re.findall(r"^## ([a-z_]+)$", FLAGS, flags=re.M))
    assert titles <= set(cli.COMMANDS)
