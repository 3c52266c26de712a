import json

import pytest

from bpnet.errors import SpecError
from bpnet.training.cluster import Worker, read_cluster
from bpnet.training.devices import _gpu_numbers


def config(cluster: dict, kind: str, index: int) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_without_a_cluster_there_is_one_worker() -> None:
    assert read_cluster({}) == Worker(0, 1)
    assert read_cluster({"TF_CONFIG": "{}"}).is_chief


def test_a_chief_comes_before_the_workers() -> None:
    cluster = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    assert read_cluster(config(cluster, "chief", 0)) == Worker(0, 3)
    assert read_cluster(config(cluster, "worker", 1)) == Worker(2, 3)
    assert not read_cluster(config({"worker": ["a:1", "b:1"]}, "worker", 1)).is_chief


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"TF_CONFIG": "{worker"}, "cannot be understood"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:1"]}}'}, "cannot be understood"),
        (config({"worker": ["a:1", "b:1"]}, "worker", 2), "worker 2, which its cluster does not"),
        (config({"worker": ["a:1"], "ps": ["b:1"]}, "ps", 0), "roles chief and worker"),
    ],
)
def test_a_wrong_cluster_is_named(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        read_cluster(environment)


def test_gpus_are_the_first_ones_or_those_that_are_named() -> None:
    assert _gpu_numbers(1, None, found=0) == []
    assert _gpu_numbers(2, None, found=4) == [0, 1]
    assert _gpu_numbers(1, [3, 1], found=4) == [3, 1]


@pytest.mark.parametrize(
    ("gpus", "indices", "sentence"),
    [
        (3, None, "--gpus 3: this machine has 2"),
        (1, [2], "--gpu_index 2: this machine has 2"),
        (2, [1], "disagree"),
        (1, [1, 1], "twice"),
    ],
)
def test_gpus_that_are_not_there_are_named(
    gpus: int, indices: list[int] | None, sentence: str
) -> None:
    with pytest.raises(SpecError, match=sentence):
        _gpu_numbers(gpus, indices, found=2)
