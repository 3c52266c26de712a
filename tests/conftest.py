"""Fixtures of every test."""

import os
from pathlib import Path

import pytest

# As the command line sets it: TensorFlow reads it once, when whichever test comes first loads it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout: ``coco``, ``models``, ``video``."""
    if not (SHARED / "coco").is_dir() or not (SHARED / "models").is_dir():
        pytest.skip("real data (../shared/coco and ../shared/models) is not on this machine")
    return SHARED
