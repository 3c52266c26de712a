"""Builds ONNX files with the TensorRT that is on PYTHONPATH; run by ``test_tensorrt_nvidia.py``.

The argument is JSON: settings by file. What came of each is printed so: bytes, or a fault.
"""

import json
import sys
from pathlib import Path
from typing import Any

import onnx
import tensorrt

from bpnet.errors import ModelError
from bpnet.export.tensorrt import EngineBuild, EngineSettings


def build(path: Path, settings: dict[str, Any]) -> dict[str, object]:
    if "timing_cache" in settings:
        settings["timing_cache"] = Path(settings["timing_cache"])
    try:
        made = EngineBuild(tensorrt, onnx.load(path), EngineSettings(**settings), path)
        plan = made.run()
    except ModelError as error:
        return {"fault": str(error)}
    timings = len(made.timings()) if "timing_cache" in settings else 0
    return {"bytes": len(plan), "batches": made.batches, "timings": timings}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    found = {name: build(Path(name), settings) for name, settings in asked.items()}
    sys.stdout.write(json.dumps(found) + "\n")
