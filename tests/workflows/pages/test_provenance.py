"""What a page says of the program, the device and the data."""

import subprocess

import numpy as np

import dst_jax
from dst_jax.data.sequence import Sequence
from dst_jax.workflows.pages import provenance


def repository(folder, *, holds):
    """A repository in which the package's file lies, and is known or not."""
    package = folder / "dst_jax"
    package.mkdir()
    (package / "__init__.py").write_text("x = 1\n")
    (folder / "README").write_text("hello\n")

    def git(*words):
        own = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e"]
        done = subprocess.run(
            [*own, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    git("add", "dst_jax" if holds else "README")
    git("commit", "-q", "-m", "first")
    return package, git("rev-parse", "HEAD")


def test_the_commit_is_that_of_the_source_and_a_plus_marks_changes(
    tmp_path, monkeypatch
):
    package, head = repository(tmp_path, holds=True)
    monkeypatch.setattr(dst_jax, "__file__", str(package / "__init__.py"))
    assert provenance.commit() == head[:12]
    (package / "__init__.py").write_text("x = 2\n")
    assert provenance.commit() == head[:12] + "+"


def test_a_repository_that_does_not_hold_the_package_has_no_say(tmp_path, monkeypatch):
    package, _ = repository(tmp_path, holds=False)
    monkeypatch.setattr(dst_jax, "__file__", str(package / "__init__.py"))
    assert provenance.commit() == "unknown"


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance.commit() == "unknown"
    assert "commit unknown" in provenance.program()["program"]


def test_data_are_told_by_number_and_hash():
    boxes = np.array([[5.0, 5, 4, 4]] * 3)
    one = Sequence("Deer", "Deer", (), boxes, np.ones(3, bool), source="otb:D")
    moved = Sequence("Deer", "Deer", (), boxes + 1, np.ones(3, bool), source="otb:D")
    told = provenance.data_facts("otb:D", [one])
    assert told.startswith("otb:D: 1 sequence, 3 frames, SHA-256 of its boxes ")
    assert provenance.data_facts("otb:D", [moved]) != told


def test_the_device_is_named_with_its_kernels():
    told = provenance.device({"onednn", "eigen"})["device"]
    assert " x " in told
    assert told.endswith(", kernels eigen, onednn")
