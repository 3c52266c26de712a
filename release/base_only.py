"""A plugin of pytest for the base install: what imports a library of the train extra is skipped.

pytest -p base_only, with this folder on PYTHONPATH.
"""

import importlib.abc
import sys
from collections.abc import Sequence
from types import ModuleType

import pytest

TRAIN = ("tensorflow", "keras", "matplotlib", "h5py")


class Skipping(importlib.abc.MetaPathFinder):
    """Found last: what nobody else has."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Skip the module or the test that imports a library of TRAIN."""
        if name in TRAIN:
            pytest.skip(f"the base install has no {name}", allow_module_level=True)


def pytest_configure() -> None:
    """Look for every module in the usual places first."""
    sys.meta_path.append(Skipping())
