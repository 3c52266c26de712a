"""The quickstart of a fixed seed that .ci/run holds to its baseline: both are of the same one."""

import re
from pathlib import Path

from bpnet.commands.quickstart_baseline import Beginning, QuickstartBaseline
from bpnet.commands.quickstart_specs import write_specs
from bpnet.data.rendered import GENERATOR_VERSION
from bpnet.model.description import structure_digest
from bpnet.model.network import build_network
from bpnet.spec.reader import read_spec
from bpnet.spec.train import BpNetTrainer

ROOT = Path(__file__).resolve().parents[2]
PATH = "tests/regression/quickstart.json"
BASELINE = QuickstartBaseline.read(ROOT / PATH)


def test_it_is_of_the_quickstart_that_ci_runs() -> None:
    line = next(x for x in (ROOT / ".ci/run").read_text().splitlines() if PATH in x)
    said = dict(re.findall(r"(STEPS|IMAGES)=(\d+)", line))
    found = Beginning(42, int(said["STEPS"]), int(said["IMAGES"]), GENERATOR_VERSION)
    BASELINE.check(found)


def test_it_is_of_the_network_that_the_quickstart_trains(tmp_path: Path) -> None:
    spec = read_spec(write_specs(tmp_path, seed=42)["train"], BpNetTrainer)
    network = build_network(spec.model, seed=42)
    assert structure_digest(network) == BASELINE.beginning.network_sha256
