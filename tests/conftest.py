"""Fixtures of every test."""

from pathlib import Path

import pytest

from bpnet.cli import set_environment

# TensorFlow reads it once, when whichever test comes first loads it.
set_environment()

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout: ``coco``, ``models``, ``video``."""
    if not (SHARED / "coco").is_dir() or not (SHARED / "models").is_dir():
        pytest.skip("real data (../shared/coco and ../shared/models) is not on this machine")
    return SHARED
