"""Scripts are no package: they import one another from their own folder."""

import importlib
import pathlib
import sys

import pytest


@pytest.fixture(scope="module")
def script():
    """A function that imports a script by its name."""
    folder = str(pathlib.Path(__file__).parents[2] / "scripts")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(folder)
