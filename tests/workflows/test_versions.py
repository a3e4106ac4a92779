"""The versions that cards tell, even where a package does not tell its own."""

import importlib.metadata
import platform

import jax
import numpy as np
import pytest

import dst_jax
from dst_jax.workflows.versions import versions


def test_versions_are_those_of_what_is_imported():
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["numpy"] == np.__version__ and found["jax"] == jax.__version__
    assert found["dst-jax"] == dst_jax.__version__


@pytest.mark.parametrize(
    "error", [importlib.metadata.PackageNotFoundError("jax"), OSError(5, "x"), KeyError]
)
def test_missing_or_damaged_metadata_cost_only_the_version(monkeypatch, error):
    def broken(name):
        raise error

    monkeypatch.setattr(importlib.metadata, "version", broken)
    found = versions()
    assert found["jax"] == "unknown" and found["python"] == platform.python_version()
